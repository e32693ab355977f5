"""A load test's report: one HTML file that needs nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template

from loadtests.report.figures import ALL, PERCENTILES, Seen, Stretch
from loadtests.report.outcome import Outcome
from loadtests.report.plots.captioned import Picture
from loadtests.report.plots.style import as_svg, seconds_text
from loadtests.report.targets import Target

TEMPLATE = Path(__file__).with_name("report.html")
SHAPES = {"steps": "steps of rising load", "spike": "a spike", "soak": "the same load for long"}

Cells = Iterable[str]


def html_of(outcome: Outcome, pictures: Sequence[Picture]) -> str:
    """The whole page."""
    broken, asked = outcome.broken, len(outcome.targets)
    verdict = f"{len(broken)} of {asked} objectives broken" if broken else f"all {asked} objectives met"
    return Template(TEMPLATE.read_text()).substitute(
        verdict=verdict,
        verdict_class="bad" if broken else "good",
        facts=_facts(outcome),
        summary=_summary(outcome.stretches),
        pictures="\n".join(map(_picture, pictures)),
        objectives=_objectives(outcome),
        callers=_callers(outcome.stretches),
    )


def _facts(outcome: Outcome) -> str:
    plan, about = outcome.plan, outcome.machine
    facts: Mapping[str, str] = {
        "Load": f"{SHAPES[plan.shape]}: {', '.join(f'{each.name}' for each in plan.windows)}; "
        f"{plan.length_s:g} s each" + (f", {plan.pause_s:g} s of pause" if plan.shape == "steps" else ""),
        "Requests": f"{len(outcome.records):,}, sent at random moments (Poisson) whatever became of those before them",
        "Service": outcome.service,
        "Machine": f"{about['cores']} cores, {about['cpu']}; load average before: {about['load_before']:g}",
        "Versions": ", ".join(f"{name} {number}" for name, number in about["packages"].items()),
        "Written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    if plan.shape == "soak":
        facts = {**facts, "Load": f"{SHAPES[plan.shape]}: {plan.rates[0]:g} requests/s for {plan.length_s:g} s"}
    return "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in facts.items())


def _summary(stretches: Sequence[Stretch]) -> str:
    head = (
        "window",
        "offered/s",
        "answered/s",
        "refused",
        "failed",
        *(f"p{each}" for each in PERCENTILES),
        "sent late",
    )
    return _table(head, [(stretch.window.name, *_seen_cells(stretch.seen[ALL])) for stretch in stretches])


def _callers(stretches: Sequence[Stretch]) -> str:
    head = (
        *("window", "callers", "offered/s", "answered/s", "refused", "failed"),
        *(f"p{each}" for each in PERCENTILES),
        *("sent late", "first token p50", "p99", "per token p50", "p99"),
    )
    rows = [
        (stretch.window.name, seen.caller, *_seen_cells(seen), *_stream_cells(seen))
        for stretch in stretches
        for seen in stretch.seen.values()
    ]
    return _table(head, rows, names=2)


def _seen_cells(seen: Seen) -> list[str]:
    level = seen.level
    rates = [f"{level.offered:.1f}", f"{level.goodput:.1f}", _share(level.refused), _share(level.lost)]
    return [*rates, *(_time(seen.latency.get(each)) for each in PERCENTILES), _time(level.late_p99_s)]


def _stream_cells(seen: Seen) -> list[str]:
    return [_time(values.get(each)) for values in (seen.first_token, seen.token) for each in (50, 99)]


def _objectives(outcome: Outcome) -> str:
    def row(target: Target) -> tuple[str, ...]:
        mark = "met" if target.is_met else "<b class='bad'>broken</b>"
        return target.name, target.bound.replace("<=", "≤"), f"{target.measured:.3g}", mark

    ordered = sorted(outcome.targets, key=lambda target: target.is_met)
    table = _table(("objective", "wanted", "measured", ""), [row(target) for target in ordered])
    return f"<p>They hold where at most {outcome.objectives.up_to_rate:g} requests/s are offered.</p>{table}"


def _picture(picture: Picture) -> str:
    svg = as_svg(picture.figure, picture.name)
    width = round(picture.figure.get_figwidth() * 96)
    return (
        f"<figure id='{picture.name}'><h2>{escape(picture.title)}</h2><div style='max-width:{width}px'>{svg}</div>"
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )


def _table(head: Cells, rows: Iterable[Cells], names: int = 1) -> str:
    """Cells are HTML already; what is in them was made here."""
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
