"""ServeApplication: what Serve is told of one application, as data. `up` builds it at once, `render` writes it down.

Here and in the arguments stands nothing that only this machine knows, so that a laptop and a cluster build the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from deployments.config import ModelConfig, Settings
from deployments.registry import find_task, names, task_of
from serve.config.service import Options, Service
from serve.routes import GATEWAY, RouteTable

MODEL = "serve.apps:model_app"
GATEWAY_IMPORT = "serve.apps:gateway_app"


class ModelArguments(Settings):
    """Of one model's application: nothing of other models, so that it stays as it is when they change.

    Attributes:
        model: the model, with its task.
        is_default: it answers at its task's own path, too.
        cpu_threads: compute threads of a replica where the model names none.
        options: what holds for every model.
    """

    model: ModelConfig
    is_default: bool
    cpu_threads: int
    options: Options = Options()


@dataclass(frozen=True, slots=True)
class ServeApplication:
    """One application: its name, its path, and the builder in `serve/apps.py` with what it takes."""

    name: str
    route_prefix: str
    import_path: str
    arguments: ModelArguments | Service


def route_table_from_config(service: Service) -> RouteTable:
    """Which model answers where, where the checkpoints need not be at hand: they are read only if no task is named.

    Raises:
        LoadError: a task is unknown, or neither configured nor readable from the checkpoint.
    """
    return RouteTable(
        (model.name, find_task(model.task) if model.task and len(names(model.task)) == 1 else task_of(model))
        for model in service.models
    )


def applications(service: Service, table: RouteTable, *, cores: int | None = None) -> Sequence[ServeApplication]:
    """The gateway, and one application for each model.

    Args:
        service: what is served.
        table: its routes.
        cores: of the only machine, which its replicas share fairly where they name no threads. Without it they take
            as many as the CPUs that they ask of the cluster.
    """
    models = [
        model.model_copy(update={"task": route.task}) for model, route in zip(service.models, table.routes, strict=True)
    ]
    others = {name: getattr(service, name) for name in Service.model_fields if name != "models"}
    whole = Service(models=models, **others)
    fair = cores and max(1, cores // sum(max(1, model.replicas.min) for model in models))
    served = [ServeApplication(GATEWAY, "/", GATEWAY_IMPORT, whole)]
    for model, route in zip(models, table.routes, strict=True):
        threads = fair or max(1, int(model.resources.num_cpus))
        arguments = ModelArguments(
            model=model, is_default=route.is_default, cpu_threads=threads, options=service.options
        )
        served.append(ServeApplication(route.model, route.prefix, MODEL, arguments))
    return served
