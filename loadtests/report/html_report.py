"""The report of a load test: one self-contained HTML file."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template

from loadtests.report.plots.all_plots import Plot
from loadtests.report.plots.style import as_svg, seconds_text
from loadtests.report.result import LoadTestResult
from loadtests.report.targets import Target
from loadtests.report.windows import ALL, PERCENTILES, CallerResult, WindowResult

TEMPLATE = Path(__file__).with_name("report.html")
SHAPES = {"steps": "steps", "spike": "a spike", "soak": "a soak"}
CALLER_COLUMNS = (
    *("offered/s", "answered/s", "refused", "failed"),
    *(f"p{each}" for each in PERCENTILES),
    "p99 send delay",
)
STREAM_COLUMNS = ("first token p50", "p99", "per output token p50", "p99")

Cells = Iterable[str]


def html_report(result: LoadTestResult, plots: Sequence[Plot]) -> str:
    """The whole page."""
    missed, total = result.missed, len(result.targets)
    verdict = f"{len(missed)} of {total} objectives missed" if missed else f"all {total} objectives met"
    return Template(TEMPLATE.read_text()).substitute(
        verdict=verdict,
        verdict_class="bad" if missed else "good",
        facts=_facts(result),
        summary=_summary(result.windows),
        plots="\n".join(map(_plot, plots)),
        objectives=_objectives(result),
        callers=_callers(result.windows),
    )


def _facts(result: LoadTestResult) -> str:
    about = result.machine
    facts: Mapping[str, str] = {
        "Load": _load(result),
        "Requests": f"{len(result.records):,}, sent at random times (Poisson), however many are in flight",
        "Service": result.service,
        "Machine": f"{about['cores']} cores, {about['cpu']}; load average before the test: {about['load_before']:g}",
        "Versions": ", ".join(f"{name} {number}" for name, number in about["packages"].items()),
        "Written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    return "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts.items())


def _load(result: LoadTestResult) -> str:
    plan = result.plan
    if plan.shape == "soak":
        return f"{SHAPES[plan.shape]} of {plan.rates[0]:g} requests/s for {plan.length_s:g} s"
    pauses = f", with pauses of {plan.pause_s:g} s" if plan.shape == "steps" else ""
    return f"{SHAPES[plan.shape]}: {', '.join(each.name for each in plan.windows)}; {plan.length_s:g} s each{pauses}"


def _summary(results: Sequence[WindowResult]) -> str:
    rows = [(result.window.name, *_caller_cells(result.callers[ALL])) for result in results]
    return _table(("window", *CALLER_COLUMNS), rows)


def _callers(results: Sequence[WindowResult]) -> str:
    rows = [
        (result.window.name, each.caller, *_caller_cells(each), *_stream_cells(each))
        for result in results
        for each in result.callers.values()
    ]
    return _table(("window", "callers", *CALLER_COLUMNS, *STREAM_COLUMNS), rows, names=2)


def _caller_cells(result: CallerResult) -> list[str]:
    load = result.load
    rates = [f"{load.offered:.1f}", f"{load.goodput:.1f}", _share(load.refused), _share(load.lost)]
    return [*rates, *(_time(result.latency.get(each)) for each in PERCENTILES), _time(load.late_p99_s)]


def _stream_cells(result: CallerResult) -> list[str]:
    return [_time(values.get(each)) for values in (result.first_token, result.token) for each in (50, 99)]


def _objectives(result: LoadTestResult) -> str:
    def row(target: Target) -> tuple[str, ...]:
        verdict = "met" if target.is_met else "<b class='bad'>missed</b>"
        return target.name, target.bound.replace("<=", "≤"), f"{target.measured:.3g}", verdict

    ordered = sorted(result.targets, key=lambda target: target.is_met)
    table = _table(("objective", "bound", "measured", ""), [row(target) for target in ordered])
    rate = result.objectives.up_to_rate
    return f"<p>The objectives apply to windows with at most {rate:g} requests/s.</p>{table}"


def _plot(plot: Plot) -> str:
    svg = as_svg(plot.figure, plot.name)
    width = round(plot.figure.get_figwidth() * 96)
    return (
        f"<figure id='{plot.name}'><h2>{escape(plot.title)}</h2><div style='max-width:{width}px'>{svg}</div>"
        f"<figcaption>{escape(plot.caption)}</figcaption></figure>"
    )


def _table(head: Cells, rows: Iterable[Cells], names: int = 1) -> str:
    """Cells other than names are HTML already."""
    titles = "".join(f"<th>{cell}</th>" for cell in head)
    lines = ("".join(_cell(cell, place < names) for place, cell in enumerate(row)) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<div class='wide'><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>"


def _cell(text: str, is_name: bool) -> str:
    return f"<th scope='row'>{escape(text)}</th>" if is_name else f"<td>{text}</td>"


def _share(share: float) -> str:
    return f"{share:.1%}" if share else "–"


def _time(seconds: float | None) -> str:
    return "–" if seconds is None or seconds != seconds else seconds_text(seconds)
