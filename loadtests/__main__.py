"""`python -m loadtests`: a load test, its report, and whether the objectives were met. `make loadtest` runs it."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from loadtests.measure import measure
from loadtests.plan import Plan
from loadtests.processes.locust_process import LocustFailed
from loadtests.processes.server import ServerError
from loadtests.report import slo
from loadtests.report.outcome import Outcome
from loadtests.report.progress import Say, progress
from loadtests.report.terminal import show
from loadtests.report.write import write
from loadtests.service.embedded import embedded_service
from loadtests.service.served_models import NotServed, what_runs
from loadtests.service.smoke import Refused, ask_each_once

DEFAULT = Plan()
FOLDER = Path(__file__).with_name("results") / "loadtest"
BROKEN, NOT_RUN = 1, 2  # exit statuses

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console()
if not console.is_terminal:
    console = Console(width=160)


@app.command(
    help="Put a load on a service, write an HTML report and CSV files, and hold it to objectives. Exits with "
    f"{BROKEN} where one is broken, with {NOT_RUN} where the load could not be put on."
)
def run(
    url: Annotated[
        str,
        typer.Option(
            help="A running service; without one the embedded models are served for the test. A key for it is taken "
            "from AUTOMODEL_SERVE_API_KEY."
        ),
    ] = "",
    models: Annotated[
        str, typer.Option(help="Names of the models to ask, with spaces or commas between; all where none is given.")
    ] = "",
    shape: Annotated[
        Literal["steps", "spike", "soak"],
        typer.Option(help="Rates one after the other; calm, a peak and calm again; or the same for long."),
    ] = DEFAULT.shape,
    rates: Annotated[
        str, typer.Option(help="Requests/s of the steps; a spike and a soak take the first as theirs.")
    ] = " ".join(f"{rate:g}" for rate in DEFAULT.rates),
    peak: Annotated[float, typer.Option(min=0.5, help="Requests/s of the spike.")] = DEFAULT.peak,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=4, max=86_400, help="Of a step (25), of each part of a spike (25), of a soak (180).", show_default=False
        ),
    ] = None,
    pause: Annotated[float, typer.Option(min=6, help="Seconds between steps.")] = DEFAULT.pause_s,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds after which a caller gives up.")] = DEFAULT.timeout_s,
    most_requests: Annotated[
        int, typer.Option(min=1, help="A plan that would send more is refused.")
    ] = DEFAULT.most_requests,
    seed: Annotated[int, typer.Option(help="Of lengths, files and moments.")] = DEFAULT.seed,
    objectives: Annotated[
        Path, typer.Option("--slo", help="The objectives.", show_default="loadtests/slo.yaml")
    ] = slo.DEFAULT,
    output: Annotated[
        Path, typer.Option(help="Folder for report and CSV files.", show_default="loadtests/results/loadtest")
    ] = FOLDER,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder for the plots as PNG files, too.", show_default=False)
    ] = None,
) -> None:
    plan = Plan(
        shape, _rates(rates), peak, seconds, pause, timeout, _names(models), seed=seed, most_requests=most_requests
    )
    try:
        held = slo.read(objectives)
        _check(plan, held)
        outcome = _measure(plan, held, url.rstrip("/"), output, progress(console))
    except (slo.NoObjectives, ServerError, NotServed, Refused, LocustFailed) as error:
        _end(str(error))
    written = write(outcome, output, pictures)
    show(outcome, console)
    console.print(f"[dim]report: {written}[/]", highlight=False, soft_wrap=True)
    if outcome.broken:
        raise typer.Exit(BROKEN)


def _measure(plan: Plan, held: slo.Objectives, url: str, output: Path, say: Say) -> Outcome:
    output.mkdir(parents=True, exist_ok=True)
    with _service(url, plan, say) as (at, about):
        served = what_runs(at, plan.models)
        say(f"{ask_each_once(at, served, plan.seed)} kinds of requests are answered by {len(served)} models")
        say(f"about {plan.requests:,} requests in {plan.total_s:.0f} s")
        stretches, records = measure(plan, at, output, say)
        return Outcome(plan, held, stretches, records, f"{about}: {', '.join(each.model for each in served)}")


@contextmanager
def _service(url: str, plan: Plan, say: Say) -> Iterator[tuple[str, str]]:
    """Where it answers, and what it is."""
    if url:
        yield url, "a running one"
        return
    say("starting the service")
    with embedded_service(plan.models) as started:
        say(f"ready at {started}")
        yield started, "started for this test, on the same machine"


def _check(plan: Plan, held: slo.Objectives) -> None:
    if plan.requests > plan.most_requests:
        _end(f"this would send about {plan.requests:,} requests; --most-requests is {plan.most_requests:,}")
    if all(window.rate > held.up_to_rate for window in plan.windows):
        _end(f"the objectives hold up to {held.up_to_rate:g} requests/s (up_to_rate), and no part offers as little")


def _rates(text: str) -> tuple[float, ...]:
    try:
        rates = tuple(float(each) for each in _names(text))
    except ValueError:
        rates = ()
    if not rates or min(rates) < 0.5:
        raise typer.BadParameter(f"{text!r}: numbers of at least 0.5, such as '5 10 20'", param_hint="--rates")
    return rates


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _end(message: str) -> NoReturn:
    console.print(f"[red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(NOT_RUN)


def main() -> None:
    # As Ctrl-C does: what was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    app()


if __name__ == "__main__":
    main()
