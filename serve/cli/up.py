"""`automodel-serve up`: starts the service on this machine, follows its models and stops it at the end."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.markup import escape

from deployments.checkpoints.files import EMBEDDED_PREFIX
from deployments.errors import LoadError
from serve.cli.build.builds import make_builds, unbuilt, unserved_without_build
from serve.cli.embedded import build_embedded, show_notices
from serve.cli.terminal import console, error_console, stop_on_signals
from serve.cluster.launch import Cluster, cluster, uses_haproxy
from serve.config.service import ServiceConfig
from serve.routes import RouteTable, route_table, unserved_models

if TYPE_CHECKING:
    from serve.cli.apply.serve_client import ServeClient

SHUTDOWN_S = 20.0  # for requests in progress when the service ends


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the service listens, and on which cluster it runs.

    Attributes:
        host: address to listen on.
        port: to listen on.
        num_cpus: logical CPUs of a cluster of its own; None: all cores.
        address: of the cluster to join; None: a cluster of its own.
        verbose: show the logs of Ray and the models.
    """

    host: str
    port: int
    num_cpus: int | None = None
    address: str | None = None
    verbose: bool = False


class Up:
    """One run of the service.

    Args:
        service: its configuration.
        listening: where.
        strict: a model that cannot be served ends the service; else the others are served without it.
    """

    def __init__(self, service: ServiceConfig, listening: Listening, *, strict: bool) -> None:
        self._service = service
        self._listening = listening
        self._strict = strict
        self._unserved: dict[str, str] = {}  # why, by model
        self._stop = threading.Event()

    def run(self) -> None:
        """Start the service, and return once it has ended.

        Raises:
            LoadError: no model can be served, or `strict` and one cannot.
            StartError: the cluster or its proxy does not start.
        """
        self._build_embedded()
        self._leave_out(unserved_models(self._service, elsewhere=self._listening.address is not None))
        self._make_builds()
        self._stop = stop_on_signals()
        listening, service = self._listening, self._service
        starting = cluster(
            listening.host,
            listening.port,
            grpc_port=service.grpc.port,
            num_cpus=listening.num_cpus,
            address=listening.address,
            placement=service.placement,
            limits=service.limits,
            verbose=listening.verbose,
        )
        with starting as running:
            stop_on_signals(self._stop)  # Ray has installed its own handlers, which exit at once
            self._run(running)

    def _build_embedded(self) -> None:
        embedded = [m.model for m in self._service.models if m.model.startswith(EMBEDDED_PREFIX)]
        if self._listening.address is not None:  # they are built on the cluster's nodes
            show_notices(console, embedded)
            if self._service.placement != "spread":
                where = self._listening.address
                placement = self._service.placement
                console.print(f"placement: {placement} has no effect on {where}, as Ray reads it when it starts")
            return
        try:
            build_embedded(console, embedded)
        except LoadError:
            if self._strict:
                raise  # else it is found again, and left out

    def _make_builds(self) -> None:
        """Export models that have no build, on the machine that serves them."""
        service = self._service
        if self._listening.address is None and service.builds == "make" and (missing := unbuilt(service.models)):
            self._leave_out(unserved_without_build(missing, make_builds(console, missing)))

    def _leave_out(self, unserved: Mapping[str, str]) -> None:
        """Serve without these models.

        Raises:
            LoadError: none is left, or `strict`.
        """
        self._unserved |= unserved
        served = [model for model in self._service.models if model.name not in unserved]
        if not served or (unserved and self._strict):
            raise LoadError("\n".join(f"{name}: {reason}" for name, reason in unserved.items()))
        self._service = self._service.model_copy(update={"models": served})

    def _run(self, running: Cluster) -> None:
        """Deploy, show progress and routes, and wait for the end.

        Raises:
            LoadError: as `run`.
        """
        # Ray Serve reads its environment when it is imported, so not before `cluster` has set it.
        from ray import serve

        from serve.apps import build_apps
        from serve.cli.apply.serve_client import ServeClient
        from serve.cluster.placement import Nodes

        if not uses_haproxy():
            console.print(
                "[dim]HAProxy is not available; Ray's own proxy serves the same routes at a higher cost per request[/]"
            )
        if running.is_ours:  # it does not grow
            self._leave_out(Nodes().unplaceable(self._service.models))
        table = route_table(self._service, self._unserved)
        apps = build_apps(self._service, table)
        try:
            serve.run_many(apps, wait_for_applications_running=False)
            self._follow(table, running.url)
        finally:
            console.print("stopping …")
            _delete(ServeClient(), [app.name for app in apps], SHUTDOWN_S if running.is_ours else 0)

    def _follow(self, table: RouteTable, url: str) -> None:
        """Show progress until the models are ready, then the routes; wait for the end. Raises as `_run`."""
        from serve.cli.progress import Progress, routes_table
        from serve.cluster.states import StateReader

        read = StateReader(self._service.models).read
        progress = Progress(console, {route.model: route.task for route in table.routes})
        failed = progress.follow(read, self._stop.is_set, ends_at_failure=self._strict)
        if self._stop.is_set():
            return
        self._leave_out(failed)
        served = [route for route in table.routes if route.model not in failed]
        console.print()
        console.print(routes_table(served, url))
        if self._service.grpc.port is not None:
            console.print(f"[dim]gRPC on port {self._service.grpc.port}[/]")
        console.print("[dim]docs at /docs, models at /v1/models, health at /health/ready; Ctrl-C stops the service[/]")
        for name, reason in self._unserved.items():
            error_console.print(f"[red]error:[/] {escape(name)} is not served: {escape(reason)}", soft_wrap=True)
        self._stop.wait()


def _delete(client: "ServeClient", apps: Sequence[str], seconds: float) -> None:
    """Delete the applications, those that `apply` has added meanwhile, too; wait while they finish their requests."""
    names = {*client.names(), *apps}
    client.delete(names)
    until = time.monotonic() + seconds
    while time.monotonic() < until and client.statuses().keys() & names:
        time.sleep(0.1)
