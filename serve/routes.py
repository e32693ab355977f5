"""RouteTable: task, alias or model name to Serve application and path. THE router."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from deployments.contract.task import Task
from deployments.errors import LoadError, NotFound
from deployments.registry import ALIASES, names, task_of
from serve.config.service import Service

GATEWAY = "gateway"  # the application at "/"; no model may take its name


@dataclass(frozen=True, slots=True)
class Route:
    """One served model.

    Attributes:
        model: its name, which is also its Serve application's.
        kind: its task's class.
        is_default: the task's first model, which also answers at the task's own path.
    """

    model: str
    kind: type[Task[Any, Any]]
    is_default: bool

    @property
    def task(self) -> str:
        """The task's name."""
        return self.kind.name

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

    def __init__(self, models: Iterable[tuple[str, type[Task[Any, Any]]]]) -> None:
        """Take pairs of a model's name and its task; the first model of a task is its default."""
        self.routes: list[Route] = []
        tasks: set[str] = set()
        for model, kind in models:
            self.routes.append(Route(model, kind, is_default=kind.name not in tasks))
            tasks.add(kind.name)
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

        An alias of several tasks means the first that was configured.

        Raises:
            NotFound: naming the nearest task or model.
        """
        meant = [route for route in self.routes if route.task in names(name)]
        if not meant:
            aliases = [alias for alias, tasks in ALIASES.items() if self._default.keys() & set(tasks)]
            raise NotFound(f"no task {name!r} is served; {_nearest(name, [*self._default, *aliases])}")
        if model is None:
            return meant[0]
        found = next((route for route in meant if route.model == model), None)
        if found is None:
            served = [route.model for route in meant]
            raise NotFound(f"no model {model!r} of the task {name}; {_nearest(model, served)}")
        return found


def route_table(config: Service) -> RouteTable:
    """Which model answers where. Reads the checkpoints' `config.json` for tasks that are not configured.

    Raises:
        LoadError: a task is unknown, a checkpoint does not say its own, or a model has the gateway's name.
    """
    for model in config.models:
        if model.name == GATEWAY:
            raise LoadError(f"{model.model}: the name {GATEWAY!r} is taken by the gateway; give the model another")
    return RouteTable((model.name, task_of(model)) for model in config.models)


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
