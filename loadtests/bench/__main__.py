"""Benchmarks of the service. Each prints a table and writes all measurements as JSON."""

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from loadtests.bench.batching import benchmark as batching
from loadtests.bench.batching import report as batching_report
from loadtests.bench.compute import benchmark as compute
from loadtests.bench.compute import report as compute_report
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
from loadtests.bench.speech import benchmark as speech
from loadtests.bench.speech import report as speech_report
from loadtests.report.progress import Log, progress_log
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


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark that consists of parts."""

    help: str
    plan: Callable[..., Any]
    quick: dict[str, Any]
    parts: tuple[str, ...]
    run: Callable[[Any, Log], Any]
    report: Callable[[Any, Any], TableReport]


BENCHMARKS = {
    "overhead": Benchmark(
        "The cost of a request apart from the model, which does nothing, compared with other servers.",
        *(overhead.Plan, overhead.QUICK, overhead.PARTS, overhead.run, overhead_report.report),
    ),
    "batching": Benchmark(
        "MiniLM and a DeBERTa-v2 with 32 clients, compared with other servers and with offline batches.",
        *(batching.Plan, batching.QUICK, batching.PARTS, batching.run, batching_report.report),
    ),
    "media": Benchmark(
        "Image and audio tasks with 64 clients, compared with offline batches.",
        *(media.Plan, media.QUICK, media.PARTS, media.run, media_report.report),
    ),
    "generation": Benchmark(
        "A small Llama and a small T5 with mixed lengths, compared with static batches and other servers.",
        *(generation.Plan, generation.QUICK, generation.PARTS, generation.run, generation_report.report),
    ),
    "speech": Benchmark(
        "Words, times and speed of long recordings with known words, compared with transformers' own long form.",
        *(speech.Plan, speech.QUICK, speech.PARTS, speech.run, speech_report.report),
    ),
    "compute": Benchmark(
        "Forwards of text, picture and sound models by torch, OpenVINO and ONNX Runtime, without a service.",
        *(compute.Plan, compute.QUICK, compute.PARTS, compute.run, compute_report.report),
    ),
}


def _add_command(name: str, benchmark: Benchmark) -> None:
    only_help = f"Comma-separated parts to run: {', '.join(benchmark.parts)}. Default: all."

    @app.command(name, help=benchmark.help)
    def run(
        rounds: Rounds = None,
        quick: Quick = False,
        only: Annotated[str, typer.Option(help=only_help, show_default=False)] = "",
        output: Output = None,
    ) -> None:
        plan = _plan(benchmark.plan, benchmark.quick, rounds, quick, parts=_parts(only, benchmark.parts))
        _finish(benchmark.report(plan, benchmark.run(plan, progress_log(console))), output)


for _name, _benchmark in BENCHMARKS.items():
    _add_command(_name, _benchmark)


@app.command("overload")
def run_overload(
    rounds: Rounds = None,
    quick: Quick = False,
    model: Annotated[EncoderName, typer.Option(help="Which encoder.")] = "minilm",
    path: Annotated[overload.RoutePath, typer.Option(help="Which route gets the load.")] = overload.RoutePath.TASK,
    output: Output = None,
) -> None:
    """An encoder at half to ten times its capacity, and its recovery. Also writes a plot."""
    plan = _plan(overload.Plan, overload.QUICK, rounds, quick, model=model, path=path)
    done = overload.run(plan, progress_log(console))
    file = output or RESULTS / f"overload-{model}.json"
    _finish(overload_report.report(plan, done), file)
    plot = file.with_suffix(".png")
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
