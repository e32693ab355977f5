"""`python -m loadtests`: a load test with a report and objectives. `make loadtest` runs it."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from loadtests.locust_process import LocustFailed
from loadtests.measure import measure
from loadtests.plan import Plan
from loadtests.processes.server import ServerError
from loadtests.report import slo
from loadtests.report.output import show, write
from loadtests.report.progress import Log, progress_log
from loadtests.report.result import LoadTestResult
from loadtests.service.embedded import embedded_service
from loadtests.service.models import NotServed, served_models
from loadtests.smoke import SmokeTestFailed, smoke_test

DEFAULT = Plan()
FOLDER = Path(__file__).with_name("results") / "loadtest"
MISSED, NOT_RUN = 1, 2  # exit statuses

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console()
if not console.is_terminal:
    console = Console(width=160)


@app.command(
    help="Run a load test against a service, write an HTML report and CSV files, and compare the results with "
    f"objectives. Exits with {MISSED} if an objective is missed, and with {NOT_RUN} if the load test cannot run."
)
def run(
    url: Annotated[
        str,
        typer.Option(
            help="URL of a running service. Without it, a service with the embedded models is started for the test. "
            "The API key is read from AUTOMODEL_SERVE_API_KEY."
        ),
    ] = "",
    models: Annotated[
        str, typer.Option(help="Names of the models to call, separated by spaces or commas. Default: all models.")
    ] = "",
    shape: Annotated[
        Literal["steps", "spike", "soak"],
        typer.Option(help="steps: increasing rates; spike: a short peak; soak: one rate for a long time."),
    ] = DEFAULT.shape,
    rates: Annotated[
        str, typer.Option(help="Requests/s of the steps. A spike and a soak use the first rate.")
    ] = " ".join(f"{rate:g}" for rate in DEFAULT.rates),
    peak: Annotated[float, typer.Option(min=0.5, help="Requests/s at the peak of a spike.")] = DEFAULT.peak,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=4,
            max=86_400,
            help="Length of a step (default 25), of each part of a spike (25), or of a soak (180).",
            show_default=False,
        ),
    ] = None,
    pause: Annotated[float, typer.Option(min=6, help="Seconds between steps.")] = DEFAULT.pause_s,
    timeout: Annotated[float, typer.Option(min=1, help="Client timeout, in seconds.")] = DEFAULT.timeout_s,
    most_requests: Annotated[
        int, typer.Option(min=1, help="Refuse to run a plan with more requests than this.")
    ] = DEFAULT.max_requests,
    seed: Annotated[int, typer.Option(help="Seed of lengths, files and arrival times.")] = DEFAULT.seed,
    objectives: Annotated[
        Path, typer.Option("--slo", help="YAML file with the objectives.", show_default="loadtests/slo.yaml")
    ] = slo.DEFAULT,
    output: Annotated[
        Path, typer.Option(help="Folder for the report and the CSV files.", show_default="loadtests/results/loadtest")
    ] = FOLDER,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder for the plots as PNG files.", show_default=False)
    ] = None,
) -> None:
    plan = Plan(
        shape, _rates(rates), peak, seconds, pause, timeout, _names(models), seed=seed, max_requests=most_requests
    )
    try:
        bounds = slo.read(objectives)
        _check(plan, bounds)
        result = _run(plan, bounds, url.rstrip("/"), output, progress_log(console))
    except (slo.InvalidObjectives, ServerError, NotServed, SmokeTestFailed, LocustFailed) as error:
        _exit(str(error))
    report = write(result, output, pictures)
    show(result, console)
    console.print(f"[dim]report: {report}[/]", highlight=False, soft_wrap=True)
    if result.missed:
        raise typer.Exit(MISSED)


def _run(plan: Plan, objectives: slo.Objectives, url: str, output: Path, log: Log) -> LoadTestResult:
    output.mkdir(parents=True, exist_ok=True)
    with _service(url, plan, log) as (service_url, description):
        served = served_models(service_url, plan.models)
        log(f"smoke test: {smoke_test(service_url, served, plan.seed)} requests answered by {len(served)} models")
        log(f"load: about {plan.requests:,} requests in {plan.total_s:.0f} s")
        windows, records = measure(plan, service_url, output, log)
        names = ", ".join(each.model for each in served)
        return LoadTestResult(plan, objectives, windows, records, f"{description}: {names}")


@contextmanager
def _service(url: str, plan: Plan, log: Log) -> Iterator[tuple[str, str]]:
    """The URL and a description of the service; it is started if there is no URL."""
    if url:
        yield url, url
        return
    log("starting the service")
    with embedded_service(plan.models) as started:
        log(f"ready at {started}")
        yield started, "started for this test, on the same machine"


def _check(plan: Plan, objectives: slo.Objectives) -> None:
    if plan.requests > plan.max_requests:
        _exit(f"the plan has about {plan.requests:,} requests, more than --most-requests {plan.max_requests:,}")
    if all(window.rate > objectives.up_to_rate for window in plan.windows):
        _exit(f"the objectives apply up to {objectives.up_to_rate:g} requests/s (up_to_rate), and all rates are higher")


def _rates(text: str) -> tuple[float, ...]:
    try:
        rates = tuple(float(each) for each in _names(text))
    except ValueError:
        rates = ()
    if not rates or min(rates) < 0.5:
        raise typer.BadParameter(f"{text!r}: expected numbers of at least 0.5, e.g. '5 10 20'", param_hint="--rates")
    return rates


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _exit(message: str) -> NoReturn:
    console.print(f"[red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(NOT_RUN)


def main() -> None:
    # SIGTERM ends the processes that were started, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    app()


if __name__ == "__main__":
    main()
