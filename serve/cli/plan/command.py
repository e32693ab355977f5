"""`automodel-serve plan`."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments.checkpoint import EMBEDDED_PREFIX
from deployments.errors import LoadError
from serve.cli.embedded import build_embedded
from serve.cli.plan.measuring import footprint_of
from serve.cli.plan.plan import GIB, ModelPlan, Workers, plan_of, workers_needed
from serve.config.file import ConfigError, read_config_file
from serve.config.service import Service, embedded_config
from serve.kubernetes.worker_groups import Node
from serve.routes import route_table

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def plan(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="[CONFIG]", help="YAML file; without one, the embedded models.", show_default=False),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="How many workers there are.")] = 1,
    worker_cpus: Annotated[int, typer.Option(min=1, help="Cores of a worker.")] = 4,
    worker_memory: Annotated[int, typer.Option(min=1, metavar="GIB", help="Memory of a worker.")] = 16,
    worker_gpus: Annotated[int, typer.Option(min=0, help="GPUs of a worker.")] = 0,
    gpu_memory: Annotated[float, typer.Option(min=1, metavar="GIB", help="Memory of one of them.")] = 24,
    accelerator_type: Annotated[
        str | None, typer.Option(help="Ray's name of the GPUs, where models ask for one.", show_default=False)
    ] = None,
) -> None:
    """Measure what every model takes, and say whether some workers hold them.

    Loads each model in a process of its own and fills its batches: seconds to minutes each.
    """
    planned = Workers(Node(worker_cpus, worker_memory, worker_gpus, accelerator_type), workers, gpu_memory)
    try:
        service = embedded_config() if config is None else read_config_file(config)
        build_embedded(console, [m.model for m in service.models if m.model.startswith(EMBEDDED_PREFIX)])
        plans = _measured(service, planned)
    except (ConfigError, LoadError) as error:
        _end(str(error))
    console.print(plans_table(plans, planned))
    console.print("[dim]memory_gib and GPU share: what a replica should ask for; ~: not measured on a GPU[/]")
    try:
        needed = workers_needed(plans, planned)
    except LoadError as error:
        _end(str(error))
    console.print(_verdict(plans, planned, needed))


def _measured(service: Service, workers: Workers) -> list[ModelPlan]:
    """Every model's plan; says which one is being measured."""
    plans: list[ModelPlan] = []
    routes = route_table(service).routes
    with console.status("measuring …") as status:
        for model, route in zip(service.models, routes, strict=True):
            status.update(f"measuring {escape(model.name)} ({len(plans) + 1} of {len(routes)}) …")
            plans.append(plan_of(model, route.task, footprint_of(model, route), workers))
    return plans


def plans_table(plans: list[ModelPlan], workers: Workers) -> Table:
    """What each model takes, and should ask for."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", overflow="fold")
    gpu = ["GPU share"] if workers.node.gpus else []
    for column in ("parameters", "weights", "most memory", "ready", "memory_gib", *gpu, "per worker"):
        table.add_column(column, justify="right")
    for each in plans:
        took = each.footprint
        share = [] if each.gpu_share is None else [f"{each.gpu_share:g}" if took.gpu_bytes else f"~{each.gpu_share:g}"]
        table.add_row(
            each.model.name,
            _parameters(took.parameters),
            _size(took.weights_bytes),
            _size(took.memory_bytes),
            f"{took.load_s:.0f} s",
            f"{each.memory_gib:g}",
            *share,
            str(each.per_worker),
        )
    return table


def _verdict(plans: list[ModelPlan], workers: Workers, needed: int) -> str:
    replicas = sum(max(1, each.model.replicas.min) for each in plans)
    held = "1 replica fits" if replicas == 1 else f"{replicas} replicas fit"
    return f"[green]✓[/] {held} on {needed} of {workers.count} worker{'' if workers.count == 1 else 's'}"


def _parameters(count: int) -> str:
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.1f} M"


def _size(count: int) -> str:
    return f"{count / GIB:.2f} GiB" if count >= GIB else f"{count / 2**20:.0f} MiB"


def _end(message: str) -> NoReturn:
    errors.print(f"[red]error:[/] {escape(message)}", soft_wrap=True)
    raise typer.Exit(1)
