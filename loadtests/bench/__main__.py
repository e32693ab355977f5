"""Benchmarks of the service. Each prints a table and writes all measurements as JSON."""

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

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
from loadtests.report.progress import progress_log
from loadtests.report.table import TableReport

LOG_WIDTH = 160
RESULTS = Path(__file__).resolve().parents[1] / "results"

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console()
if not console.is_terminal:
    console = Console(width=LOG_WIDTH)  # so that tables are not wrapped in a log

P = TypeVar("P")

Rounds = Annotated[int | None, typer.Option(min=1, help="Number of rounds; every round measures everything.")]
Quick = Annotated[bool, typer.Option("--quick", help="A short run with one round, for a first impression.")]
Output = Annotated[Path | None, typer.Option(help="JSON file. Default: in loadtests/results.", show_default=False)]


def _only(parts: Sequence[str]) -> Any:
    return typer.Option(help=f"Comma-separated parts to run: {', '.join(parts)}. Default: all.", show_default=False)


@app.command("overhead")
def run_overhead(
    rounds: Rounds = None,
    quick: Quick = False,
    only: Annotated[str, _only(overhead.PARTS)] = "",
    output: Output = None,
) -> None:
    """The cost of a request apart from the model, which does nothing, compared with other servers."""
    plan = _plan(overhead.Plan, overhead.QUICK, rounds, quick, parts=_parts(only, overhead.PARTS))
    _finish(overhead_report.report(plan, overhead.run(plan, progress_log(console))), output)


@app.command("batching")
def run_batching(
    rounds: Rounds = None,
    quick: Quick = False,
    only: Annotated[str, _only(batching.PARTS)] = "",
    output: Output = None,
) -> None:
    """MiniLM and a DeBERTa-v2 with 32 clients, compared with other servers and with offline batches."""
    plan = _plan(batching.Plan, batching.QUICK, rounds, quick, parts=_parts(only, batching.PARTS))
    _finish(batching_report.report(plan, batching.run(plan, progress_log(console))), output)


@app.command("media")
def run_media(
    rounds: Rounds = None,
    quick: Quick = False,
    only: Annotated[str, _only(media.PARTS)] = "",
    output: Output = None,
) -> None:
    """Image and audio tasks with 64 clients, compared with offline batches."""
    plan = _plan(media.Plan, media.QUICK, rounds, quick, parts=_parts(only, media.PARTS))
    _finish(media_report.report(plan, media.run(plan, progress_log(console))), output)


@app.command("generation")
def run_generation(
    rounds: Rounds = None,
    quick: Quick = False,
    only: Annotated[str, _only(generation.PARTS)] = "",
    output: Output = None,
) -> None:
    """A small Llama and a small T5 with mixed lengths, compared with static batches and other servers."""
    plan = _plan(generation.Plan, generation.QUICK, rounds, quick, parts=_parts(only, generation.PARTS))
    _finish(generation_report.report(plan, generation.run(plan, progress_log(console))), output)


@app.command("overload")
def run_overload(
    rounds: Rounds = None,
    quick: Quick = False,
    model: Annotated[EncoderName, typer.Option(help="Which encoder.")] = "minilm",
    output: Output = None,
) -> None:
    """An encoder at half to ten times its capacity, and its recovery. Also writes a plot."""
    plan = _plan(overload.Plan, overload.QUICK, rounds, quick, model=model)
    done = overload.run(plan, progress_log(console))
    path = output or RESULTS / f"overload-{model}.json"
    _finish(overload_report.report(plan, done), path)
    plot = path.with_suffix(".png")
    overload_plot.plot(done, plot)
    console.print(f"[dim]plot: {plot}[/]", highlight=False)


def _plan(plan: Callable[..., P], short: dict[str, Any], rounds: int | None, quick: bool, **settings: Any) -> P:
    """A benchmark's plan, with its settings for `--quick` and the number of rounds if they are asked for."""
    if quick:
        settings |= short
    if rounds is not None:
        settings["rounds"] = rounds
    return plan(**settings)


def _parts(only: str, known: tuple[str, ...]) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in only.split(",") if part.strip())
    if unknown := [part for part in parts if part not in known]:
        raise typer.BadParameter(f"{', '.join(unknown)}: not one of {', '.join(known)}", param_hint="--only")
    return parts or known


def _finish(report: TableReport, output: Path | None) -> None:
    path = output or RESULTS / f"{report.benchmark}.json"
    report.write(path)
    console.print()
    report.show(console)
    console.print(f"[dim]written to {path}[/]", highlight=False)


def main() -> None:
    # SIGTERM ends the servers, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    app()


if __name__ == "__main__":
    main()
