"""What is to be changed, model by model: pure functions of what runs and what is wanted."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from deployments.config import Settings
from deployments.replica import scaling
from serve.applications import ModelArguments, ServeApplication, applications
from serve.cli.apply.running_service import ApplyError, RunningApplication, RunningService
from serve.config.service import Service
from serve.routes import GATEWAY, Route, RouteTable

# What Serve changes of a model without a new replica.
IN_PLACE = frozenset(f"replicas.{key}" for key in scaling.IN_PLACE)


class Kind(StrEnum):
    """What happens to a model."""

    ADDED = "added"
    UPGRADED = "upgraded"  # new replicas take the place of the old ones
    RECONFIGURED = "reconfigured"  # the replicas stay
    REMOVED = "removed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one application.

    Attributes:
        name: the model's, or the gateway's.
        kind: what happens.
        before: as it runs; None where it does not yet.
        after: as it will; None where it is removed.
        what: the parts that differ, in words.
    """

    name: str
    kind: Kind
    before: RunningApplication | None
    after: ServeApplication | None
    what: tuple[str, ...] = ()


def differences(
    running: RunningService,
    wanted: Service,
    table: RouteTable,
    *,
    cores: int | None = None,
    restarted: Collection[str] = (),
) -> list[Change]:
    """What happens to each model, in the order of the configuration, then to those that are removed, and the gateway.

    A model keeps the path that it has. Its threads stay as well, unless new replicas are started anyway.

    Args:
        running: what runs.
        wanted: what shall.
        table: its routes.
        cores: of the only machine; as in `applications`.
        restarted: names of models that get new replicas even if nothing differs.

    Raises:
        ApplyError: a path would go from one running model to another, a model would change its task, or one that
            is to be started anew does not run.
    """
    gateway, *models = applications(_with_what_up_decided(running.service, wanted), table, cores=cores)
    if unknown := sorted(set(restarted) - running.models.keys()):
        raise ApplyError(f"no model {unknown[0]!r} runs; there are {', '.join(running.models)}")
    changes = [
        _change(running, route, app, route.model in restarted) for route, app in zip(table.routes, models, strict=True)
    ]
    kept = {route.model for route in table.routes}
    gone = [now for name, now in running.models.items() if name not in kept]
    changes += [Change(now.app.name, Kind.REMOVED, now, None, _left_behind(now, table)) for now in gone]
    kind = Kind.UNCHANGED if gateway.arguments == running.service else Kind.UPGRADED
    return [*changes, Change(GATEWAY, kind, running.gateway, gateway)]


def through_gateway(changes: Sequence[Change], table: RouteTable) -> Iterator[Route]:
    """The default models that answer at their task's own path only by way of the gateway, after these changes."""
    prefixes = {change.name: change.after.route_prefix for change in changes if change.after is not None}
    return (route for route in table.routes if route.is_default and prefixes[route.model] != route.prefix)


def _with_what_up_decided(running: Service, wanted: Service) -> Service:
    """`up` chooses the form of the log lines by the terminal, and may have been told the port of gRPC."""
    logging, grpc = wanted.logging, wanted.grpc
    if logging.format == "auto":
        logging = logging.model_copy(update={"format": running.logging.format})
    if grpc.port is None:
        grpc = running.grpc
    return wanted.model_copy(update={"logging": logging, "grpc": grpc})


def _change(running: RunningService, route: Route, app: ServeApplication, is_restarted: bool) -> Change:
    now = running.models.get(route.model)
    if now is None:
        is_first = all(other.arguments.model.task != route.task for other in running.models.values())
        app = _placed(app, route, at_task=route.is_default and is_first)
        return Change(app.name, Kind.ADDED, None, app, (f"{route.task} at {app.route_prefix}",))
    _require_same_path(now, route)
    after = _placed(app, route, at_task=now.arguments.is_default)
    differs = _differing(now.arguments, _arguments(after))
    what = tuple(differs.values())
    if is_restarted or now.has_failed:
        return Change(app.name, Kind.UPGRADED, now, after, (*what, "started anew"))
    if not differs.keys() <= IN_PLACE:
        return Change(app.name, Kind.UPGRADED, now, after, what)
    kind = Kind.RECONFIGURED if differs else Kind.UNCHANGED
    kept = _arguments(after).model_copy(update={"cpu_threads": now.arguments.cpu_threads})
    return Change(app.name, kind, now, replace(after, arguments=kept), what)


def _require_same_path(now: RunningApplication, route: Route) -> None:
    """A path that went from one replica to another would be nobody's for a moment."""
    task = now.arguments.model.task
    if task != route.task:
        raise ApplyError(
            f"{route.model} is served for {task} and cannot become one for {route.task}; give the new one another name"
        )
    if now.arguments.is_default and not route.is_default:
        raise ApplyError(
            f"{route.model} answers at /tasks/{task} and has to be the first model of this task in the configuration, "
            "for as long as it is served; put it first, remove it, or end the service and start it with this one"
        )


def _placed(app: ServeApplication, route: Route, *, at_task: bool) -> ServeApplication:
    """The application at the task's own path, or at the model's."""
    arguments = _arguments(app).model_copy(update={"is_default": at_task})
    return replace(app, route_prefix=replace(route, is_default=at_task).prefix, arguments=arguments)


def _left_behind(now: RunningApplication, table: RouteTable) -> tuple[str, ...]:
    """Who gets the path of a task's default model that is removed."""
    task = now.arguments.model.task
    heir = next((route.model for route in table.routes if route.task == task and route.is_default), None)
    return (f"/tasks/{task} goes to {heir}",) if heir is not None and now.arguments.is_default else ()


def _arguments(app: ServeApplication) -> ModelArguments:
    assert isinstance(app.arguments, ModelArguments)
    return app.arguments


def _differing(before: ModelArguments, after: ModelArguments) -> dict[str, str]:
    """The keys of model and service that differ, each with both values in words."""
    old, new = (dict(_flat(each.model)) | dict(_flat(each.options)) for each in (before, after))
    return {
        key: f"{key}: {_words(old.get(key))} → {_words(new.get(key))}"
        for key in {**old, **new}
        if old.get(key) != new.get(key)
    }


def _flat(section: Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key in type(section).model_fields:
        value = getattr(section, key)
        if isinstance(value, Settings):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _words(value: Any) -> str:
    """As a configuration file has it."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_words, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
