"""`python -m loadtests.bench overhead | batching | media | generation | overload`."""

import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from loadtests.bench.batching import benchmark as batching
from loadtests.bench.batching import report as batching_report
from loadtests.bench.encoders import EncoderName
from loadtests.bench.generation import benchmark as generation
from loadtests.bench.generation import report as generation_report
from loadtests.bench.media import benchmark as media
from loadtests.bench.media import report as media_report
from loadtests.bench.overhead import benchmark as overhead
from loadtests.bench.overhead import report as overhead_report
from loadtests.bench.overload import benchmark as overload
from loadtests.bench.overload import plot as overload_plot
from loadtests.bench.overload import report as overload_report
from loadtests.report.progress import progress
from loadtests.report.report import Report

LOG_WIDTH = 160
RESULTS = Path(__file__).resolve().parents[1] / "results"

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console()
if not console.is_terminal:
    console = Console(width=LOG_WIDTH)  # a log has no edge that the tables would have to fit

Rounds = Annotated[int | None, typer.Option(min=1, help="How often everything is measured.")]
Quick = Annotated[bool, typer.Option("--quick", help="One round with less load: to see where things stand.")]
Output = Annotated[Path | None, typer.Option(help="JSON file; default: in loadtests/results.", show_default=False)]


@app.command("overhead")
def run_overhead(
    rounds: Rounds = None,
    quick: Quick = False,
    only: Annotated[str, typer.Option(help=f"Comma-separated, of {', '.join(overhead.PARTS)}.")] = "",
    output: Output = None,
) -> None:
    """A model that does nothing: what a request costs beside the model, here and elsewhere."""
    parts = _parts(only, overhead.PARTS)
    full = overhead.Plan(rounds=rounds or 3, parts=parts)
    plan = replace(full, single=300, many=2000, seconds=8.0, rounds=rounds or 1) if quick else full
    _finish(overhead_report.report(plan, overhead.run(plan, progress(console))), output)


@app.command("batching")
def run_batching(
    rounds: Rounds = None,
    quick: Quick = False,
    only: Annotated[str, typer.Option(help=f"Comma-separated, of {', '.join(batching.PARTS)}.")] = "",
    output: Output = None,
) -> None:
    """MiniLM and a DeBERTa-v2 under 32 callers, against other servers and against knowing all texts beforehand."""
    parts = _parts(only, batching.PARTS)
    full = batching.Plan(rounds=rounds or 3, parts=parts)
    plan = replace(full, texts=256, rounds=rounds or 1) if quick else full
    _finish(batching_report.report(plan, batching.run(plan, progress(console))), output)


@app.command("media")
def run_media(
    rounds: Rounds = None,
    quick: Quick = False,
    only: Annotated[str, typer.Option(help=f"Comma-separated, of {', '.join(media.PARTS)}.")] = "",
    output: Output = None,
) -> None:
    """Pictures and recordings under 64 callers, against knowing all files beforehand."""
    parts = _parts(only, media.PARTS)
    full = media.Plan(rounds=rounds or 2, parts=parts)
    plan = replace(full, files=100, requests=300, rounds=rounds or 1) if quick else full
    _finish(media_report.report(plan, media.run(plan, progress(console))), output)


@app.command("generation")
def run_generation(
    rounds: Rounds = None,
    quick: Quick = False,
    only: Annotated[str, typer.Option(help=f"Comma-separated, of {', '.join(generation.PARTS)}.")] = "",
    output: Output = None,
) -> None:
    """A small Llama and a small T5 with mixed lengths, against static batches and others that generate."""
    parts = _parts(only, generation.PARTS)
    full = generation.Plan(rounds=rounds or 1, parts=parts)
    plan = replace(full, saturated_s=5.0, settle_s=2.0, open_s=6.0, drain_s=2.0, longest=64) if quick else full
    _finish(generation_report.report(plan, generation.run(plan, progress(console))), output)


@app.command("overload")
def run_overload(
    rounds: Rounds = None,
    quick: Quick = False,
    model: Annotated[EncoderName, typer.Option(help="Which encoder.")] = "minilm",
    output: Output = None,
) -> None:
    """A model under half of what it can answer up to ten times of it, and afterwards; with a plot."""
    full = overload.Plan(rounds=rounds or 1, model=model)
    plan = replace(full, seconds=10.0, settle_s=6.0, capacity_s=6.0, after_s=15.0) if quick else full
    done = overload.run(plan, progress(console))
    written = output or RESULTS / f"overload-{model}.json"
    _finish(overload_report.report(plan, done), written)
    picture = written.with_suffix(".png")
    overload_plot.plot(done, picture)
    console.print(f"[dim]plot: {picture}[/]", highlight=False)


def _parts(only: str, known: tuple[str, ...]) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in only.split(",") if part.strip())
    if unknown := [part for part in parts if part not in known]:
        raise typer.BadParameter(f"{', '.join(unknown)}: not one of {', '.join(known)}", param_hint="--only")
    return parts or known


def _finish(report: Report, output: Path | None) -> None:
    path = output or RESULTS / f"{report.benchmark}.json"
    report.write(path)
    console.print()
    report.show(console)
    console.print(f"[dim]written to {path}[/]", highlight=False)


def main() -> None:
    # As Ctrl-C does: the servers are ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    app()


if __name__ == "__main__":
    main()
