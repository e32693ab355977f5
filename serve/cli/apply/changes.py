"""The changes from the running service to the desired state: pure functions."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from deployments.config import Settings
from deployments.errors import did_you_mean
from deployments.replica import scaling
from serve.applications import ModelArguments, ServeApplication, applications
from serve.cli.apply.running_service import ApplyError, RunningApplication, RunningService
from serve.config.service import Service
from serve.routes import GATEWAY, Route, RouteTable

# Keys that Serve changes without new replicas.
IN_PLACE = frozenset(f"replicas.{key}" for key in scaling.IN_PLACE)


class Kind(StrEnum):
    """The kind of a change."""

    ADDED = "added"
    UPGRADED = "upgraded"  # new replicas replace the old ones
    RECONFIGURED = "reconfigured"  # the replicas are kept
    REMOVED = "removed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one application.

    Attributes:
        name: of the model or the gateway.
        kind: of the change.
        before: the running application; None if it is added.
        after: the desired application; None if it is removed.
        details: the keys that differ, with their values.
    """

    name: str
    kind: Kind
    before: RunningApplication | None
    after: ServeApplication | None
    details: tuple[str, ...] = ()


def differences(
    running: RunningService,
    desired: Service,
    table: RouteTable,
    *,
    cores: int | None = None,
    restarted: Collection[str] = (),
) -> list[Change]:
    """The change of each model in the order of the configuration, of each removed model, and of the gateway.

    A model keeps its path. It also keeps its number of threads, unless it gets new replicas anyway.

    Args:
        running: the running service.
        desired: the desired state.
        table: the routes of the desired state.
        cores: of a single machine; as in `applications`.
        restarted: names of models that get new replicas even if nothing differs.

    Raises:
        ApplyError: a path would move from one running model to another, a model would change its task, or a model to
            restart does not run.
    """
    gateway, *models = applications(_with_up_options(running.service, desired), table, cores=cores)
    if unknown := sorted(set(restarted) - running.models.keys()):
        raise ApplyError(f"no model {unknown[0]!r} runs; {did_you_mean(unknown[0], running.models)}")
    changes = [
        _change(running, route, app, route.model in restarted) for route, app in zip(table.routes, models, strict=True)
    ]
    kept = {route.model for route in table.routes}
    removed = [now for name, now in running.models.items() if name not in kept]
    changes += [Change(now.app.name, Kind.REMOVED, now, None, _new_default(now, table)) for now in removed]
    kind = Kind.UNCHANGED if gateway.arguments == running.service else Kind.UPGRADED
    return [*changes, Change(GATEWAY, kind, running.gateway, gateway)]


def through_gateway(changes: Sequence[Change], table: RouteTable) -> Iterator[Route]:
    """The default models that, after these changes, are reached at their task's own path only through the gateway."""
    prefixes = {change.name: change.after.route_prefix for change in changes if change.after is not None}
    return (route for route in table.routes if route.is_default and prefixes[route.model] != route.prefix)


def _with_up_options(running: Service, desired: Service) -> Service:
    """Keep what `up` decided: the log format, and the gRPC port if it was an option."""
    logging, grpc = desired.logging, desired.grpc
    if logging.format == "auto":
        logging = logging.model_copy(update={"format": running.logging.format})
    if grpc.port is None:
        grpc = running.grpc
    return desired.model_copy(update={"logging": logging, "grpc": grpc})


def _change(running: RunningService, route: Route, app: ServeApplication, is_restarted: bool) -> Change:
    now = running.models.get(route.model)
    if now is None:
        is_first = all(other.arguments.model.task != route.task for other in running.models.values())
        app = _placed(app, route, at_task=route.is_default and is_first)
        return Change(app.name, Kind.ADDED, None, app, (f"{route.task} at {app.route_prefix}",))
    _require_same_path(now, route)
    after = _placed(app, route, at_task=now.arguments.is_default)
    differences = _differing_keys(now.arguments, _arguments(after))
    details = tuple(differences.values())
    if is_restarted or now.has_failed:
        return Change(app.name, Kind.UPGRADED, now, after, (*details, "restarted"))
    if not differences.keys() <= IN_PLACE:
        return Change(app.name, Kind.UPGRADED, now, after, details)
    kind = Kind.RECONFIGURED if differences else Kind.UNCHANGED
    kept = _arguments(after).model_copy(update={"cpu_threads": now.arguments.cpu_threads})
    return Change(app.name, kind, now, replace(after, arguments=kept), details)


def _require_same_path(now: RunningApplication, route: Route) -> None:
    """A path that moved from one model to another would be unserved for a moment."""
    task = now.arguments.model.task
    if task != route.task:
        raise ApplyError(
            f"{route.model} serves {task} and cannot change to {route.task}; give the new model another name"
        )
    if now.arguments.is_default and not route.is_default:
        raise ApplyError(
            f"{route.model} answers at /tasks/{task} and must stay the first model of this task in the configuration; "
            "put it first, remove it, or restart the service with this configuration"
        )


def _placed(app: ServeApplication, route: Route, *, at_task: bool) -> ServeApplication:
    """The application at the task's own path, or at the model's."""
    arguments = _arguments(app).model_copy(update={"is_default": at_task})
    return replace(app, route_prefix=replace(route, is_default=at_task).prefix, arguments=arguments)


def _new_default(now: RunningApplication, table: RouteTable) -> tuple[str, ...]:
    """The model that takes over the path of a removed default model."""
    task = now.arguments.model.task
    successor = next((route.model for route in table.routes if route.task == task and route.is_default), None)
    return (f"/tasks/{task} moves to {successor}",) if successor is not None and now.arguments.is_default else ()


def _arguments(app: ServeApplication) -> ModelArguments:
    assert isinstance(app.arguments, ModelArguments)
    return app.arguments


def _differing_keys(before: ModelArguments, after: ModelArguments) -> dict[str, str]:
    """The keys of model and service that differ, each with a line that has both values."""
    old, new = (dict(_flat(each.model)) | dict(_flat(each.options)) for each in (before, after))
    return {
        key: f"{key}: {_format(old.get(key))} → {_format(new.get(key))}"
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


def _format(value: Any) -> str:
    """A value as in a configuration file."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_format, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
