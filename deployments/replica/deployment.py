"""The Ray Serve deployment around a Replica: placement, threads, scaling, and the ASGI application."""

import asyncio
import logging
import shlex
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from ray import serve
from ray.serve.config import BackpressureConfig
from ray.serve.schema import LoggingConfig

from deployments import asgi
from deployments.asgi import ASGIApp
from deployments.config import ModelConfig, Start, Watch
from deployments.contract.task import Task
from deployments.errors import LoadError
from deployments.openvino.backend import choose_backend
from deployments.replica import fork_client, stages
from deployments.replica.limits import ReplicaLimits
from deployments.replica.replica import Replica
from deployments.replica.scaling import scaling
from deployments.telemetry.logs import log_through_ray
from deployments.telemetry.metrics import MODEL_METRICS
from deployments.telemetry.model_meter import ModelMeter
from deployments.telemetry.observer import Observer
from deployments.telemetry.ray_internals import with_version
from deployments.telemetry.ray_metrics import RayExporter
from deployments.telemetry.tracing.attributes import model_attributes
from deployments.telemetry.tracing.setup import open_tracer

logger = logging.getLogger(__name__)

BuildEndpoint = Callable[[Replica], ASGIApp]

# Extra replicas during a rolling update, in percent: one for up to a hundred replicas.
SURGE_PERCENT = 1

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class ModelDeployment:
    """The actor of one replica. HAProxy reaches its ASGI application directly; the gateway calls `forward`."""

    async def __init__(  # type: ignore[misc]  # Ray awaits it, so that loading does not block the actor's loop
        self,
        config: ModelConfig,
        task: type[Task[Any, Any]],
        build_endpoint: BuildEndpoint,
        limits: ReplicaLimits,
        watch: Watch,
    ) -> None:
        log_through_ray(watch.logging)
        self._name = config.name
        self._exporter: RayExporter | None = None
        replica_id = serve.get_replica_context().replica_id.unique_id
        observer = Observer()
        if watch.metrics:
            observer = meter = ModelMeter(config.name, task.name)
            self._exporter = RayExporter(meter.meter, MODEL_METRICS, replica_id)
        self._tracer = observer.tracer = open_tracer(
            watch.tracing, replica_id, model_attributes(config.name, task.name, task.operation)
        )
        self._replica = Replica(
            config,
            task,
            limits=limits,
            stage=self._report,
            health=watch.health,
            observer=observer,
            owns_process=True,
        )
        self._endpoint = build_endpoint(self._replica)
        try:
            await asyncio.to_thread(self._replica.load)
        except Exception as error:
            stages.report(self._name, "failed", str(error))
            observer.failed_to_load()
            self._flush_telemetry()
            raise

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return self._endpoint

    async def check_health(self) -> None:
        self._replica.check_health()

    async def forward(
        self, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """What a direct request would get; (status, headers, body)."""
        return await asgi.request(self._endpoint, method, path, headers, body)

    async def forward_stream(
        self, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> AsyncGenerator[Any, None]:
        """The same as a stream: (status, headers), then pieces of the body. Closing it ends the request."""
        async with aclosing(asgi.stream(self._endpoint, method, path, headers, body)) as parts:
            async for part in parts:
                yield part

    def __del__(self) -> None:
        if hasattr(self, "_replica"):
            self._replica.stop()
            self._flush_telemetry()

    def _flush_telemetry(self) -> None:
        if self._exporter is not None:
            self._exporter.stop()
        if self._tracer is not None:
            self._tracer.close()

    def _report(self, stage: str, detail: str) -> None:
        stages.report(self._name, stage, detail)


def build_deployment(
    config: ModelConfig,
    task: type[Task[Any, Any]],
    build_endpoint: BuildEndpoint,
    *,
    limits: ReplicaLimits,
    cpu_threads: int,
    watch: Watch | None = None,
    start: Start = "spawn",
    shutdown_s: float = 20,
    version: str | None = None,
) -> serve.Application:
    """The Serve application of one model.

    Args:
        config: the model.
        task: its task.
        build_endpoint: builds the ASGI application from the replica; pickled, so this module need not import it.
        limits: of one replica.
        cpu_threads: compute threads of one replica if the configuration sets none.
        watch: health checks, metrics, logs and traces.
        start: how a replica's process starts.
        shutdown_s: seconds that a replica gets at shutdown to answer the requests in progress.
        version: identifies what running replicas were built from. Replicas of the same version are kept, and only
            their number, scaling and path change; without a version each is replaced.
    """
    watch = watch or Watch()
    modules = (Replica.__module__, task.__module__, build_endpoint.__module__)  # of this project, for the fork server
    forked = (_backend_of(config, task), *modules) if start == "fork" else ()
    threads = config.resources.cpu_threads or cpu_threads
    resources = config.resources.model_copy(update={"cpu_threads": threads})
    config = config.model_copy(update={"resources": resources})
    # The replica itself refuses requests, with a measured Retry-After; Ray's limits are only a backstop.
    deployment = serve.deployment(serve.ingress()(ModelDeployment)).options(
        name="model",
        max_ongoing_requests=limits.max_waiting + 256,
        max_queued_requests=4096,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=1),
        ray_actor_options=_actor_options(config, threads, forked),
        max_constructor_retry_count=2,
        graceful_shutdown_wait_loop_s=0.5,
        graceful_shutdown_timeout_s=shutdown_s,
        health_check_period_s=watch.health.period_s,
        logging_config=LoggingConfig(enable_access_log=False),
        max_replicas_per_node=config.replicas.max_per_node,
        # A replica stops once its successor is ready, or before it where `max_per_node` leaves no room for both.
        max_surge_percent=SURGE_PERCENT if config.replicas.max_per_node is None else 0,
        **scaling(config.replicas),
    )
    if version is not None:
        deployment = with_version(deployment, version)
    return deployment.bind(config, task, build_endpoint, limits, watch)


def _backend_of(config: ModelConfig, task: type[Task[Any, Any]]) -> str:
    """What the model's replicas will probably compute with, as far as this machine tells."""
    try:
        return "torch" if task.imports_torch or choose_backend(config, task).build is None else "openvino"
    except LoadError:  # the replica tells
        return "torch"


def _actor_options(config: ModelConfig, threads: int, forked: tuple[str, ...]) -> dict[str, Any]:
    """Placement, the thread variables, which must be set before torch is imported, and the interpreter.

    On Linux without GPUs, a worker is a fork of a process that has imported a backend and modules, if `forked` names
    them.
    """
    variables = dict.fromkeys(_THREAD_VARIABLES, str(threads)) | {"TOKENIZERS_PARALLELISM": "false"}
    options: dict[str, Any] = {
        "num_cpus": config.resources.num_cpus,
        "num_gpus": config.resources.num_gpus,
        "runtime_env": {"env_vars": variables},
    }
    if forked and sys.platform == "linux" and not config.resources.num_gpus:
        backend, *modules = forked
        interpreter = [sys.executable, "-I", "-S", fork_client.__file__, backend, ",".join(modules)]
        options["runtime_env"]["py_executable"] = shlex.join(interpreter)
    if config.resources.memory_gib is not None:
        options["memory"] = int(config.resources.memory_gib * 2**30)
    if config.resources.accelerator_type is not None:
        options["accelerator_type"] = config.resources.accelerator_type
    return options
