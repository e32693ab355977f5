"""`automodel-serve plan`."""

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
from deployments.errors import LoadError, ServiceError
from deployments.replica.footprint import Footprint, measure
from serve.cli.embedded import build_embedded
from serve.cli.plan.plan import GIB, ModelPlan, Workers, plan_of, workers_needed
from serve.cli.terminal import fail
from serve.config.file import ConfigError, read_config_file
from serve.config.service import Service, embedded_config
from serve.kubernetes.worker_groups import Node
from serve.routes import Route, route_table

# Not the terminal's copies: Ray does not run here, and a caller may redirect the output.
console = Console(highlight=False)
error_console = Console(stderr=True, highlight=False)


def plan(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="[CONFIG]", help="YAML file; default: the embedded models.", show_default=False),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of workers.")] = 1,
    worker_cpus: Annotated[int, typer.Option(min=1, help="CPU cores of a worker.")] = 4,
    worker_memory: Annotated[int, typer.Option(min=1, metavar="GIB", help="Memory of a worker.")] = 16,
    worker_gpus: Annotated[int, typer.Option(min=0, help="GPUs of a worker.")] = 0,
    gpu_memory: Annotated[float, typer.Option(min=1, metavar="GIB", help="Memory of one GPU.")] = 24,
    accelerator_type: Annotated[
        str | None, typer.Option(help="Ray's accelerator type of the GPUs, if models request one.", show_default=False)
    ] = None,
) -> None:
    """Measure the resources of every model, and check whether the workers have them.

    Loads each model in a process of its own and fills its batches: seconds to minutes each.
    """
    planned = Workers(Node(worker_cpus, worker_memory, worker_gpus, accelerator_type), workers, gpu_memory)
    try:
        service = embedded_config() if config is None else read_config_file(config)
        build_embedded(console, [m.model for m in service.models if m.model.startswith(EMBEDDED_PREFIX)])
        plans = _measure_all(service, planned)
    except (ConfigError, LoadError) as error:
        fail(str(error), error_console)
    console.print(plans_table(plans, planned))
    console.print("[dim]memory_gib and GPU share: what a replica should request; ~: not measured on a GPU[/]")
    try:
        needed = workers_needed(plans, planned)
    except LoadError as error:
        fail(str(error), error_console)
    console.print(_verdict(plans, planned, needed))


def _measure_all(service: Service, workers: Workers) -> list[ModelPlan]:
    """Every model's plan, with a progress message."""
    plans: list[ModelPlan] = []
    routes = route_table(service).routes
    with console.status("measuring …") as status:
        for model, route in zip(service.models, routes, strict=True):
            status.update(f"measuring {escape(model.name)} ({len(plans) + 1} of {len(routes)}) …")
            plans.append(plan_of(model, route.task, footprint_of(model, route), workers))
    return plans


def footprint_of(model: ModelConfig, route: Route) -> Footprint:
    """The measured resources of one replica.

    It runs in a process of its own, so that the memory is the model's alone, and running out of it ends only that.

    Raises:
        LoadError: the model cannot be served as configured; the message begins with its name.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(measure, model, route.kind).result()
        except BrokenProcessPool:
            raise LoadError(f"{model.name}: its process ended during the measurement, probably out of memory") from None
        except (LoadError, ServiceError) as error:
            message = error.message if isinstance(error, ServiceError) else str(error)
            raise LoadError(message if message.startswith(model.name) else f"{model.name}: {message}") from None


def plans_table(plans: list[ModelPlan], workers: Workers) -> Table:
    """What each model needs and should request."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", overflow="fold")
    gpu = ["GPU share"] if workers.node.gpus else []
    for column in ("parameters", "weights", "peak memory", "ready", "memory_gib", *gpu, "per worker"):
        table.add_column(column, justify="right")
    for each in plans:
        footprint = each.footprint
        share = (
            [] if each.gpu_share is None else [f"{each.gpu_share:g}" if footprint.gpu_bytes else f"~{each.gpu_share:g}"]
        )
        table.add_row(
            each.model.name,
            _parameters(footprint.parameters),
            _size(footprint.weights_bytes),
            _size(footprint.memory_bytes),
            f"{footprint.load_s:.0f} s",
            f"{each.memory_gib:g}",
            *share,
            str(each.per_worker),
        )
    return table


def _verdict(plans: list[ModelPlan], workers: Workers, needed: int) -> str:
    replicas = sum(max(1, each.model.replicas.min) for each in plans)
    subject = "1 replica fits" if replicas == 1 else f"{replicas} replicas fit"
    return f"[green]✓[/] {subject} on {needed} of {workers.count} worker{'' if workers.count == 1 else 's'}"


def _parameters(count: int | None) -> str:
    if count is None:
        return "–"
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.1f} M"


def _size(count: int) -> str:
    return f"{count / GIB:.2f} GiB" if count >= GIB else f"{count / 2**20:.0f} MiB"
