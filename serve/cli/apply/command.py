"""`automodel-serve apply`."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from pydantic_settings import SettingsError
from rich.markup import escape

from deployments.checkpoint import EMBEDDED_PREFIX
from deployments.errors import LoadError
from serve.applications import ModelArguments
from serve.cli.apply.changes import Change, Kind, differences, through_gateway
from serve.cli.apply.discovery import running_service
from serve.cli.apply.executor import Outcome
from serve.cli.apply.executor import apply as apply_steps
from serve.cli.apply.report import note, plan_table, summary
from serve.cli.apply.running_service import ApplyError
from serve.cli.apply.steps import Step, steps
from serve.cli.embedded import build_embedded, show_notices
from serve.cli.terminal import console, end, errors, log, stop_on_signals
from serve.cluster.launch import Cluster, StartError
from serve.config.file import ConfigError, read_config_file
from serve.config.service import ServiceConfig
from serve.middleware.api_keys import check_keys
from serve.routes import RouteTable, route_table

if TYPE_CHECKING:
    from serve.cli.apply.serve_client import ServeClient

INTERRUPTED = "interrupted"


def apply(
    config: Annotated[Path, typer.Argument(help="YAML file of the service as it shall be.", show_default=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Port of the service, where several run on this machine.", show_default=False
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="RAY_ADDRESS", help="Ray cluster of the service; default: of this machine.", show_default=False
        ),
    ] = None,
    restart: Annotated[
        list[str] | None,
        typer.Option(
            "--restart",
            metavar="NAME",
            help="Start this model anew even if nothing differs, as when its folder has other weights; repeatable.",
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, metavar="SECONDS", help="Longest time for each change.")] = 600.0,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what Ray logs.")] = False,
) -> None:
    """Change a running service to what a file says, model by model, while it answers.

    Models that do not differ are not touched. One that differs gets new
    replicas, and the old ones answer until those are ready; where only
    `replicas` differs, its replicas stay. If a new version does not become
    ready, everything is taken back, and the command says why.
    """
    log(verbose)
    try:
        service = read_config_file(config)
        check_keys(service.auth.api_keys_file)
        table = route_table(service)
        with running_service(address, port, verbose=verbose) as cluster:
            _apply(service, table, cluster, restart or [], timeout, dry_run=dry_run, is_here=address is None)
    except (ConfigError, SettingsError, LoadError, StartError, ApplyError) as error:
        end(str(error))


def _apply(
    service: ServiceConfig,
    table: RouteTable,
    cluster: Cluster,
    restarted: Sequence[str],
    timeout_s: float,
    *,
    dry_run: bool,
    is_here: bool,
) -> None:
    # Ray Serve reads its environment when it is imported: not before the cluster was joined.
    from serve.cli.apply.serve_client import ServeClient

    deployed = ServeClient()
    changes = differences(deployed.read(), service, table, cores=os.cpu_count() or 1, restarted=restarted)
    console.print(f"Service at {cluster.url}")
    console.print(plan_table(changes))
    planned = steps(changes)
    if dry_run or not planned:
        console.print("[dim]nothing was changed[/]" if planned else "[green]✓[/] it is as it shall be")
        return
    _prepare(changes, is_here=is_here)
    stop = stop_on_signals()
    console.print()
    outcome = apply_steps(
        planned,
        deployed,
        follow=_Following(deployed, timeout_s, stop.is_set, note),
        rollback=_Following(deployed, timeout_s, lambda: False, lambda change: "taken back"),
    )
    if outcome.failed:
        _end_with(outcome)
    console.print(f"[green]✓[/] {summary(changes)}")
    for route in through_gateway(changes, table):
        words = f"/tasks/{route.task} leads to {route.model} through the gateway until the service is started anew"
        console.print(words, style="dim", soft_wrap=True)


def _end_with(outcome: Outcome) -> NoReturn:
    """Say why changes were not made, and what is so now."""
    for name, reason in outcome.failed.items():
        errors.print(f"[red]error:[/] {name}: {escape(reason)}", soft_wrap=True)
    for name, reason in outcome.stuck.items():
        errors.print(f"[red]error:[/] {name} cannot be taken back: {escape(reason)}", soft_wrap=True)
    if outcome.is_rolled_back and not outcome.stuck:
        errors.print("what was changed has been taken back; the service answers as before", style="dim")
    if not outcome.is_rolled_back:
        errors.print("all else was changed", style="dim")
    raise typer.Exit(1)


def _prepare(changes: Sequence[Change], *, is_here: bool) -> None:
    """What can be found out or done before anything is touched.

    Raises:
        LoadError: a model has no place on any node, or cannot be built.
    """
    from serve.cluster.placement import Nodes

    apps = [change.after for change in changes if change.kind in (Kind.ADDED, Kind.UPGRADED)]
    models = [app.arguments.model for app in apps if app is not None and isinstance(app.arguments, ModelArguments)]
    if impossible := Nodes().impossible(models):
        raise LoadError("\n".join(f"{name}: {reason}" for name, reason in impossible.items()))
    embedded = [model.model for model in models if model.model.startswith(EMBEDDED_PREFIX)]
    if is_here:
        build_embedded(console, embedded)
    else:  # they are built on the cluster's nodes
        show_notices(console, embedded)


class _Following:
    """Shows how far the changes of a step are, until all are done or one has failed."""

    def __init__(
        self, deployed: "ServeClient", timeout_s: float, stopped: Callable[[], bool], told: Callable[[Change], str]
    ) -> None:
        self._deployed = deployed
        self._timeout_s = timeout_s
        self._stopped = stopped
        self._told = told

    def __call__(self, step: Step, begin: Callable[[], None]) -> Mapping[str, str]:
        from deployments.replica import stages
        from serve.cli.apply.readiness import ChangeReader
        from serve.cli.progress import Progress

        reader = ChangeReader(
            step,
            statuses=self._deployed.statuses,
            stage=stages.read,
            placement_obstacle=_obstacle,
            timeout_s=self._timeout_s,
        )
        try:
            begin()
        except Exception as error:  # whatever it is, what was changed before has to be taken back
            return {change.name: str(error) for change in step}
        failed = Progress(console, {change.name: self._told(change) for change in step}).follow(
            reader.read, self._stopped
        )
        return failed or ({change.name: INTERRUPTED for change in step} if self._stopped() else {})


def _obstacle(change: Change) -> str:
    """Why a replica of a model is not placed."""
    from serve.cluster.placement import Nodes

    assert change.after is not None
    arguments = change.after.arguments
    return Nodes().placement_obstacle(arguments.model) if isinstance(arguments, ModelArguments) else ""
