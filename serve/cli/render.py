"""`automodel-serve render k8s`."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.errors import LoadError
from serve.applications import route_table_from_config
from serve.config.file import ConfigError, read_config_file
from serve.config.service import Service
from serve.kubernetes.manifest import as_yaml
from serve.kubernetes.pod import PodPlan, on_cluster
from serve.kubernetes.ray_service import ray_service
from serve.kubernetes.serve_config import serve_config
from serve.kubernetes.worker_groups import worker_groups
from serve.observability.commands import render_dashboards, render_rules

HEADER = "# Written by `automodel-serve render k8s`; change the configuration and render again.\n"


def render_ray_service(
    service: Service,
    *,
    name: str = "automodel-serve",
    image: str = "automodel-serve",
    cpus: int = 4,
    memory_gib: int = 16,
) -> str:
    """The RayService of a service as YAML.

    Raises:
        LoadError: the service cannot run on such workers.
    """
    service = on_cluster(service)
    groups = worker_groups(service.models, cpus=cpus, memory_gib=memory_gib)
    return HEADER + as_yaml(ray_service(PodPlan(name, image, service), route_table_from_config(service), groups))


def render_k8s(
    config: Annotated[Path, typer.Argument(help="YAML file.", show_default=False)],
    name: Annotated[str, typer.Option(help="Name of the RayService and its resources.")] = "automodel-serve",
    image: Annotated[str, typer.Option(help="Image of head and workers; kustomize's `images` can replace it.")] = (
        "automodel-serve"
    ),
    worker_cpus: Annotated[int, typer.Option(min=1, help="CPU cores of a worker.")] = 4,
    worker_memory: Annotated[int, typer.Option(min=2, metavar="GIB", help="Memory of a worker.")] = 16,
    serve_config_only: Annotated[
        bool, typer.Option("--serve-config", help="Only the input of `serve deploy`, for a cluster without KubeRay.")
    ] = False,
) -> None:
    """Print a configuration as KubeRay's RayService."""
    try:
        service = read_config_file(config)
        if serve_config_only:
            text = HEADER + as_yaml(serve_config(service, route_table_from_config(service)))
        else:
            text = render_ray_service(service, name=name, image=image, cpus=worker_cpus, memory_gib=worker_memory)
    except (ConfigError, LoadError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(text, nl=False)


render = typer.Typer(no_args_is_help=True, help="Render manifests, dashboards and rules.")
render.command("k8s")(render_k8s)
render.command("dashboards")(render_dashboards)
render.command("rules")(render_rules)
