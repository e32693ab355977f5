"""RouteTable: task, alias or model name to Serve application and path. THE router."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from deployments.checkpoints.load import require_servable
from deployments.contract.task import Task
from deployments.errors import LoadError, NotFound, Unavailable, did_you_mean
from deployments.openvino.backend import require_backend
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
        """The application's route prefix; the proxy picks the application with the longest match."""
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

    def __init__(
        self,
        models: Iterable[tuple[str, type[Task[Any, Any]]]],
        sources: Mapping[str, str] | None = None,
        unserved: Mapping[str, str] | None = None,
    ) -> None:
        """Take pairs of a model's name and its task; the first model of a task is its default.

        Args:
            models: in the order of the configuration.
            sources: by name, the hub id that a client may name the model by.
            unserved: configured models that cannot be served, with the reason.
        """
        self.unserved: Mapping[str, str] = unserved or {}
        self.routes: list[Route] = []
        tasks: set[str] = set()
        for model, kind in models:
            self.routes.append(Route(model, kind, is_default=kind.name not in tasks))
            tasks.add(kind.name)
        self._by_model: Mapping[str, Route] = {route.model: route for route in self.routes}
        # Of several models of one id, the first.
        self._by_source = {source: self._by_model[name] for name, source in reversed([*(sources or {}).items()])}
        self._default: Mapping[str, Route] = {route.task: route for route in self.routes if route.is_default}

    def model(self, name: str) -> Route:
        """The route of a model, by its name or its hub id; `org/name` also means the model served as `name`.

        Raises:
            NotFound: no such model; the message names the nearest.
            Unavailable: it is configured, but cannot be served.
        """
        self._require_served(name)
        route = self._by_model.get(name) or self._by_source.get(name) or self._by_model.get(name.rpartition("/")[2])
        if route is None:
            raise NotFound(f"no model {name!r}; {did_you_mean(name, self._by_model)}")
        return route

    def task(self, name: str, model: str | None = None) -> Route:
        """The route of a task or alias: its default model, or the model named.

        An alias of several tasks means the first that was configured.

        Raises:
            NotFound: no such task or model; the message names the nearest.
            Unavailable: the model is configured, but cannot be served.
        """
        self._require_served(model)
        candidates = [route for route in self.routes if route.task in names(name)]
        candidates.sort(key=lambda route: name in ALIASES and name not in route.kind.aliases)  # a view may be of some
        if not candidates:
            aliases = [alias for alias, tasks in ALIASES.items() if self._default.keys() & set(tasks)]
            raise NotFound(f"no task {name!r} is served; {did_you_mean(name, [*self._default, *aliases])}")
        if model is None:
            return candidates[0]
        found = next((route for route in candidates if route.model == model), None)
        if found is None:
            served = [route.model for route in candidates]
            raise NotFound(f"no model {model!r} of the task {name}; {did_you_mean(model, served)}")
        return found

    def _require_served(self, model: str | None) -> None:
        if model is not None and model in self.unserved:
            raise Unavailable(f"{model} cannot be served: {self.unserved[model]}")


def unserved_models(config: Service, *, elsewhere: bool = False) -> dict[str, str]:
    """Models of which their files say that they cannot be served, with the reason. Loads none of them.

    Args:
        config: the models.
        elsewhere: they run on other machines; only files that tell a task are read here.
    """
    unserved = {}
    for model in config.models:
        try:
            if not elsewhere:
                require_servable(model)
            route_table(config.model_copy(update={"models": [model]}))
            if not elsewhere:
                require_backend(model, task_of(model))
        except LoadError as error:
            unserved[model.name] = str(error).removeprefix(f"{model.name}: ")
    return unserved


def route_table(config: Service, unserved: Mapping[str, str] | None = None) -> RouteTable:
    """The routes of a service. Reads the checkpoints' `config.json` for tasks that are not configured.

    Args:
        config: its models.
        unserved: others, that were configured but cannot be served, with the reason.

    Raises:
        LoadError: a task is unknown, a checkpoint does not determine its task, or a model has the gateway's name.
    """
    for model in config.models:
        if model.name == GATEWAY:
            raise LoadError(f"{model.model}: the name {GATEWAY!r} belongs to the gateway; give the model another")
    sources = {model.name: model.model for model in config.models}
    return RouteTable(((model.name, task_of(model)) for model in config.models), sources, unserved)
