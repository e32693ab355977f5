"""RouteTable: task, alias or model name to Serve application and path. THE router."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from deployments.errors import LoadError, NotFound
from deployments.registry import ALIASES, task_of
from serve.config import ServiceConfig

GATEWAY = "gateway"  # the application at "/"; no model may take its name


@dataclass(frozen=True, slots=True)
class Route:
    """One served model.

    Attributes:
        model: its name, which is also its Serve application's.
        task: its task.
        is_default: the task's first model, which also answers at the task's own path.
    """

    model: str
    task: str
    is_default: bool

    @property
    def prefix(self) -> str:
        """The application's route prefix; the front picks the application by the longest one."""
        return f"/tasks/{self.task}" if self.is_default else f"/tasks/{self.task}/{self.model}"

    @property
    def path(self) -> str:
        """The path that names the model."""
        return f"/tasks/{self.task}/{self.model}"

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that reaches the model without the gateway, shortest first."""
        return (f"/tasks/{self.task}", self.path) if self.is_default else (self.path,)


class RouteTable:
    """All served models, in the order of the configuration."""

    def __init__(self, models: Iterable[tuple[str, str]]) -> None:
        """Take (model name, task name) pairs; the first model of a task is its default."""
        self.routes: list[Route] = []
        tasks: set[str] = set()
        for model, task in models:
            self.routes.append(Route(model, task, is_default=task not in tasks))
            tasks.add(task)
        self._by_model: Mapping[str, Route] = {route.model: route for route in self.routes}
        self._default: Mapping[str, Route] = {route.task: route for route in self.routes if route.is_default}

    def model(self, name: str) -> Route:
        """The route of a model.

        Raises:
            NotFound: naming the nearest model.
        """
        route = self._by_model.get(name)
        if route is None:
            raise NotFound(f"no model {name!r}; {_nearest(name, list(self._by_model))}")
        return route

    def task(self, name: str, model: str | None = None) -> Route:
        """The route of a task or alias: its default model, or the model named.

        Raises:
            NotFound: naming the nearest task or model.
        """
        task = ALIASES.get(name, name)
        if task not in self._default:
            aliases = [alias for alias, of in ALIASES.items() if of in self._default]
            raise NotFound(f"no task {name!r} is served; {_nearest(name, [*self._default, *aliases])}")
        if model is None:
            return self._default[task]
        route = self._by_model.get(model)
        if route is None or route.task != task:
            served = [route.model for route in self.routes if route.task == task]
            raise NotFound(f"no model {model!r} of the task {task}; {_nearest(model, served)}")
        return route


def route_table(config: ServiceConfig) -> RouteTable:
    """Which model answers where. Reads the checkpoints' `config.json` for tasks that are not configured.

    Raises:
        LoadError: a task is unknown, a checkpoint does not say its own, or a model has the gateway's name.
    """
    for model in config.models:
        if model.name == GATEWAY:
            raise LoadError(f"{model.model}: the name {GATEWAY!r} is taken by the gateway; give the model another")
    return RouteTable((model.name, task_of(model).name) for model in config.models)


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
