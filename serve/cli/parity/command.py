"""`automodel-serve parity`."""

import json
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments.checkpoints.files import EMBEDDED_PREFIX
from deployments.config import ModelConfig
from deployments.errors import LoadError, ServiceError, did_you_mean
from serve.cli.embedded import build_embedded
from serve.cli.parity.measurement import RUNS, Parity, Service, parity_of
from serve.cli.terminal import fail
from serve.config import service as settings
from serve.config.file import ConfigError, read_config_file
from serve.routes import Route, route_table

# Not the terminal's copies: Ray does not run here, and a caller may redirect the output.
console = Console(highlight=False)
error_console = Console(stderr=True, highlight=False)

WIDTH = 160  # of the table in a file or a pipe, where rich would fold it at 80
COLOURS = {"equal": "green", "measured": "green", "no reference": "yellow", "differs": "red", "failed": "red"}


def parity(
    config: Annotated[Path, typer.Argument(help="YAML file.", show_default=False)],
    url: Annotated[
        str | None,
        typer.Option(help="URL of a running service; default: load each model in a process.", show_default=False),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            envvar="AUTOMODEL_SERVE_API_KEY", help="API key, if the service requires one.", show_default=False
        ),
    ] = None,
    inputs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="One input per line: a text, a JSON object, or an image's or a recording's path; default: our own.",
            show_default=False,
        ),
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this model; repeatable.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the result to this file.")
    ] = None,
) -> None:
    """Compare every model's answers with those of transformers: alone, in a crowd and reordered.

    Exits with status 1 if a number differs by more than the tolerance of its precision, or a label, text or offset
    differs. A build in int8 or bfloat16 is compared with float32, and its differences are shown, not judged.
    """
    try:
        service = read_config_file(config)
        chosen = _chosen(service, models or [])
        lines = None if inputs is None else _lines(inputs)
        build_embedded(console, [model.model for model, _ in chosen if model.model.startswith(EMBEDDED_PREFIX)])
    except (ConfigError, LoadError) as error:
        fail(str(error), error_console)
    found = _measure_all(chosen, lines, Service(url, key, service.limits))
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    console.print(parity_table(found))
    if output is not None:
        output.write_text(json.dumps([each.as_json() for each in found], indent=2) + "\n", encoding="utf-8")
    for each in found:
        _explain(each)
    if any(each.is_wrong for each in found):
        raise typer.Exit(1)


def _chosen(service: settings.Service, names: list[str]) -> list[tuple[ModelConfig, Route]]:
    """The models of these names, all if there are none, with their routes.

    Raises:
        LoadError: there is no model of a name, or a task cannot be found.
    """
    known = [model.name for model in service.models]
    if unknown := [name for name in names if name not in known]:
        raise LoadError(f"--models: no model {unknown[0]!r}; {did_you_mean(unknown[0], known)}")
    pairs = zip(service.models, route_table(service).routes, strict=True)
    return [(model, route) for model, route in pairs if not names or model.name in names]


def _lines(path: Path) -> list[str]:
    """The lines of a file that are not empty.

    Raises:
        LoadError: it cannot be read, or has none.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise LoadError(f"--inputs: {path} cannot be read ({error})") from None
    if not any(lines):
        raise LoadError(f"--inputs: {path} has no lines")
    return [line for line in lines if line]


def _measure_all(chosen: list[tuple[ModelConfig, Route]], lines: list[str] | None, service: Service) -> list[Parity]:
    """Every model's parity, with a progress message. A model that fails does not end the others."""
    found: list[Parity] = []
    with console.status("comparing …") as status:
        for model, route in chosen:
            status.update(f"comparing {escape(model.name)} ({len(found) + 1} of {len(chosen)}) …")
            try:
                found.append(in_own_process(model, route, lines, service))
            except LoadError as error:
                failed = Parity(model.name, route.task, route.kind.auto_model, verdict="failed", reason=str(error))
                found.append(failed)
    return found


def in_own_process(model: ModelConfig, route: Route, lines: list[str] | None, service: Service) -> Parity:
    """The parity of one model, which a process of its own loads.

    Raises:
        LoadError: the model cannot be loaded or asked.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(parity_of, model, route, lines, service).result()
        except BrokenProcessPool:
            raise LoadError("its process ended, probably out of memory") from None
        except ServiceError as error:
            raise LoadError(error.message) from None


def parity_table(found: list[Parity]) -> Table:
    """A row for each model."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("model", "task", "architecture", "mode"):
        table.add_column(column, overflow="fold")
    for column in ("inputs", *RUNS, "agreement"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    for each in found:
        differences = [number_of(each, name) for name in RUNS]
        verdict = f"[{COLOURS[each.verdict]}]{each.verdict}[/]"
        table.add_row(
            each.model,
            each.task,
            each.architecture,
            each.mode,
            inputs_of(each),
            *differences,
            agreement_of(each),
            verdict,
        )
    return table


def inputs_of(found: Parity) -> str:
    """How many inputs were compared, and of how many if some had no reference."""
    return f"{found.inputs} of {found.inputs + len(found.skipped)}" if found.skipped else str(found.inputs)


def number_of(found: Parity, run: str) -> str:
    """The largest difference in one run; `–` if there are no numbers."""
    difference = found.runs[run].difference if run in found.runs else None
    return "–" if difference is None else f"{difference:.1e}"


def agreement_of(found: Parity) -> str:
    """The share of answers whose labels, texts and offsets agree, over all runs."""
    answers = found.inputs * len(found.runs)
    return f"{sum(run.agreeing for run in found.runs.values()) / answers:.1%}" if answers else "–"


def _explain(found: Parity) -> None:
    """What the table does not say: the first input that differs, or that had no reference."""
    name = escape(found.model)
    for run, result in found.runs.items():
        if result.wrong:
            count = f"{len(result.wrong)} of {found.inputs} inputs"
            error_console.print(f"[red]{name}:[/] {run}: {count}, first {escape(result.wrong[0])}", soft_wrap=True)
            break
    if found.build is not None:
        text = f"its build in {found.dtype} differs from torch in float32 {found.build}; no difference counts as wrong"
        error_console.print(f"[dim]{name}: {text}[/]", soft_wrap=True)
    if found.reason:
        error_console.print(f"[{COLOURS[found.verdict]}]{name}:[/] {escape(found.reason)}", soft_wrap=True)
    elif found.skipped:
        first = escape(found.skipped[0])
        error_console.print(f"[dim]{name}: {len(found.skipped)} without a reference, first {first}[/]", soft_wrap=True)
