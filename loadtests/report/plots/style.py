"""The common style of the plots, and their export as SVG and PNG."""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtests.plan import Plan
from loadtests.report.windows import WindowResult

PERCENTILE_COLOURS = {50: "#1b6ca8", 90: "#e09f3e", 99: "#d1495b"}
ANSWERED, REFUSED, LOST, GREY, LIGHT = "#1b6ca8", "#e09f3e", "#d1495b", "#6b7280", "#e6e6e6"
_SETTINGS: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa0a6",
    "axes.labelcolor": "#333333",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "svg.hashsalt": "automodel-serve",
}


def new_figure(width: float, height: float) -> Any:
    """An empty figure, in inches."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update(_SETTINGS)
    return Figure(figsize=(width, height), layout="constrained")


def as_svg(figure: Any, name: str) -> str:
    """An element for a page with several plots: the ids in it are prefixed with its name."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
    return re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)  # so that it fills the width of the page


def as_png(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def x_axis(plan: Plan, results: Sequence[WindowResult]) -> tuple[list[float], list[str], str]:
    """Positions, labels and title of an axis with the windows: by offered load if the load is stepped."""
    if plan.shape == "steps":
        rates = [each.window.rate for each in results]
        return rates, [f"{rate:g}" for rate in rates], "offered load, requests/s of all callers"
    names = [f"{each.window.name}\n{each.window.rate:g}/s" for each in results]
    return [float(number) for number in range(len(names))], names, ""


def label_x(axes: Any, plan: Plan, results: Sequence[WindowResult], *, titled: bool = True) -> list[float]:
    """Label an axis with the windows. Returns their positions."""
    places, labels, title = x_axis(plan, results)
    axes.set_xticks(places, labels)
    margin = (places[-1] - places[0]) * 0.06 if len(places) > 1 else 0.5
    axes.set_xlim(places[0] - margin, places[-1] + margin)
    if title and titled:
        axes.set_xlabel(title)
    axes.grid(axis="y", color=LIGHT)
    axes.set_axisbelow(True)
    return places


def log_seconds(axes: Any) -> None:
    """Make the y axis logarithmic, with labels such as `30 ms`."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 3.0), numticks=20))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda seconds, _: seconds_text(seconds)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()


def seconds_text(seconds: float) -> str:
    """Such as `30 ms` or `1.2 s`."""
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"
