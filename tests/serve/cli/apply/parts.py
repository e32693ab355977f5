"""Running services and changes without Ray."""

from typing import Any

from deployments.config import ModelConfig
from serve.applications import applications
from serve.cli.apply.changes import Change, differences
from serve.cli.apply.running_service import RunningApplication, RunningService
from serve.config.service import Service
from serve.routes import RouteTable, route_table

CORES = 2


def service(*models: dict[str, Any], **sections: Any) -> Service:
    """A service of models that need not be there."""
    given = [{"model": "none", "task": "text-classification"} | model for model in models]
    return Service(models=[ModelConfig.model_validate(model) for model in given], **sections)


def running(wanted: Service) -> RunningService:
    """The service as `up` would have started it."""
    table = route_table(wanted)
    gateway, *models = (
        RunningApplication(app, f"version of {app.name}") for app in applications(wanted, table, cores=CORES)
    )
    return RunningService(gateway, {each.app.name: each for each in models})


def changes(before: RunningService, wanted: Service, **options: Any) -> dict[str, Change]:
    """What an apply would do, by name."""
    return {change.name: change for change in differences(before, wanted, table_of(wanted), cores=CORES, **options)}


def table_of(wanted: Service) -> RouteTable:
    return route_table(wanted)
