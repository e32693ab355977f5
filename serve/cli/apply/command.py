"""`automodel-serve apply`."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from pydantic_settings import SettingsError
from rich.markup import escape

from deployments.checkpoints.files import EMBEDDED_PREFIX
from deployments.errors import LoadError
from serve.applications import ModelArguments
from serve.cli.apply import report
from serve.cli.apply.changes import Change, Kind, differences, through_gateway
from serve.cli.apply.discovery import running_service
from serve.cli.apply.executor import Outcome, execute
from serve.cli.apply.running_service import ApplyError
from serve.cli.apply.steps import Step, steps
from serve.cli.build.builds import make_builds, unbuilt, unserved_without_build
from serve.cli.embedded import build_embedded, show_notices
from serve.cli.terminal import configure_logging, console, error_console, fail, stop_on_signals
from serve.cluster.launch import Cluster, StartError
from serve.config.file import ConfigError, read_config_file
from serve.config.service import ServiceConfig
from serve.middleware.api_keys import check_keys
from serve.routes import RouteTable, route_table

if TYPE_CHECKING:
    from serve.cli.apply.serve_client import ServeClient

INTERRUPTED = "interrupted"


def apply(
    config: Annotated[Path, typer.Argument(help="YAML file describing the desired state.", show_default=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the changes.")] = False,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port of the service, if several run on this machine.", show_default=False),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="RAY_ADDRESS", help="Ray cluster of the service; default: on this machine.", show_default=False
        ),
    ] = None,
    restart: Annotated[
        list[str] | None,
        typer.Option(
            "--restart",
            metavar="NAME",
            help="Restart this model even if nothing differs, for example after its weights changed; repeatable.",
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Timeout for each change.")] = 600.0,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show Ray's log.")] = False,
) -> None:
    """Change a running service to the desired state, model by model, without downtime.

    Models that do not differ are not touched. A model that differs gets new
    replicas, and the old ones answer until those are ready; if only `replicas`
    differs, its replicas are kept. If a new version does not become ready,
    everything is rolled back, and the command prints the reason.
    """
    configure_logging(verbose)
    try:
        service = read_config_file(config)
        check_keys(service.auth.api_keys_file)
        table = route_table(service)
        with running_service(address, port, verbose=verbose) as cluster:
            _apply(service, table, cluster, restart or [], timeout, dry_run=dry_run, is_local=address is None)
    except (ConfigError, SettingsError, LoadError, StartError, ApplyError) as error:
        fail(str(error))


def _apply(
    service: ServiceConfig,
    table: RouteTable,
    cluster: Cluster,
    restarted: Sequence[str],
    timeout_s: float,
    *,
    dry_run: bool,
    is_local: bool,
) -> None:
    # Ray Serve reads its environment when it is imported, so not before the cluster is joined.
    from serve.cli.apply.serve_client import ServeClient

    client = ServeClient()
    changes = differences(client.read(), service, table, cores=os.cpu_count() or 1, restarted=restarted)
    console.print(f"Service at {cluster.url}")
    console.print(report.plan_table(changes))
    planned = steps(changes)
    if dry_run or not planned:
        console.print("[dim]dry run: nothing was changed[/]" if planned else "[green]✓[/] no changes")
        return
    _prepare(changes, is_local=is_local, makes_builds=service.builds == "make")
    stop = stop_on_signals()
    console.print()
    outcome = execute(
        planned,
        client,
        follow=_ProgressFollower(client, timeout_s, stop.is_set, report.label),
        follow_rollback=_ProgressFollower(client, timeout_s, lambda: False, lambda change: "rolled back"),
    )
    if outcome.failed:
        _fail_with(outcome)
    console.print(f"[green]✓[/] {report.summary(changes)}")
    for route in through_gateway(changes, table):
        message = f"/tasks/{route.task} reaches {route.model} through the gateway until the service is restarted"
        console.print(message, style="dim", soft_wrap=True)


def _fail_with(outcome: Outcome) -> NoReturn:
    """Print why changes failed, and the resulting state."""
    for name, reason in outcome.failed.items():
        error_console.print(f"[red]error:[/] {name}: {escape(reason)}", soft_wrap=True)
    for name, reason in outcome.rollback_failed.items():
        error_console.print(f"[red]error:[/] {name} cannot be rolled back: {escape(reason)}", soft_wrap=True)
    if outcome.is_rolled_back and not outcome.rollback_failed:
        error_console.print("all changes were rolled back; the service answers as before", style="dim")
    if not outcome.is_rolled_back:
        error_console.print("all other changes were applied", style="dim")
    raise typer.Exit(1)


def _prepare(changes: Sequence[Change], *, is_local: bool, makes_builds: bool) -> None:
    """Check placement, build embedded models and export models, before anything is changed.

    Raises:
        LoadError: a model fits on no node, or cannot be built.
    """
    from serve.cluster.placement import Nodes

    apps = [change.after for change in changes if change.kind in (Kind.ADDED, Kind.UPGRADED)]
    models = [app.arguments.model for app in apps if app is not None and isinstance(app.arguments, ModelArguments)]
    if unplaceable := Nodes().unplaceable(models):
        raise LoadError("\n".join(f"{name}: {reason}" for name, reason in unplaceable.items()))
    embedded = [model.model for model in models if model.model.startswith(EMBEDDED_PREFIX)]
    if is_local:
        build_embedded(console, embedded)
        if makes_builds and (missing := unbuilt(models)):
            unserved = unserved_without_build(missing, make_builds(console, missing))
            if unserved:
                raise LoadError("\n".join(f"{name}: {reason}" for name, reason in unserved.items()))
    else:  # they are built on the cluster's nodes
        show_notices(console, embedded)


class _ProgressFollower:
    """Shows the progress of a step until all its changes are done or one has failed."""

    def __init__(
        self, client: "ServeClient", timeout_s: float, stopped: Callable[[], bool], label: Callable[[Change], str]
    ) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._stopped = stopped
        self._label = label

    def __call__(self, step: Step, begin: Callable[[], None]) -> Mapping[str, str]:
        from deployments.replica import stages
        from serve.cli.apply.readiness import ChangeReader
        from serve.cli.progress import Progress

        reader = ChangeReader(
            step,
            statuses=self._client.statuses,
            stage=stages.read,
            obstacle=_obstacle,
            timeout_s=self._timeout_s,
        )
        try:
            begin()
        except Exception as error:  # of any kind, as earlier changes have to be rolled back
            return {change.name: str(error) for change in step}
        labels = {change.name: self._label(change) for change in step}
        failed = Progress(console, labels).follow(reader.read, self._stopped)
        return failed or ({change.name: INTERRUPTED for change in step} if self._stopped() else {})


def _obstacle(change: Change) -> str:
    """Why a replica of a model is not placed."""
    from serve.cluster.placement import Nodes

    assert change.after is not None
    arguments = change.after.arguments
    return Nodes().obstacle(arguments.model) if isinstance(arguments, ModelArguments) else ""
