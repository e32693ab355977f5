"""ServeApplication: one Serve application as data. `up` builds it, `render` writes it into a manifest.

It contains nothing that only this machine knows, so that a laptop and a cluster build the same.
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
    """The arguments of one model's application. They do not depend on the other models.

    Attributes:
        model: the model, with its task.
        is_default: whether it also answers at its task's own path.
        cpu_threads: compute threads of a replica, unless the model's configuration sets them.
        options: of the service.
    """

    model: ModelConfig
    is_default: bool
    cpu_threads: int
    options: Options = Options()


@dataclass(frozen=True, slots=True)
class ServeApplication:
    """One application: its name, its path, and its builder in `serve/apps.py` with the arguments."""

    name: str
    route_prefix: str
    import_path: str
    arguments: ModelArguments | Service


def route_table_from_config(service: Service) -> RouteTable:
    """The routes of a service whose checkpoints need not be available: they are read only if no task is configured.

    Raises:
        LoadError: a task is unknown, or neither configured nor found in the checkpoint.
    """
    return RouteTable(
        (model.name, find_task(model.task) if model.task and len(names(model.task)) == 1 else task_of(model))
        for model in service.models
    )


def applications(service: Service, table: RouteTable, *, cores: int | None = None) -> Sequence[ServeApplication]:
    """The gateway's application, and one for each model.

    Args:
        service: its configuration.
        table: its routes.
        cores: of a single machine, shared evenly by replicas without configured threads. Without it, a replica has as
            many threads as the CPUs that it requests.
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
