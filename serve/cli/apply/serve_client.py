"""ServeClient: reads and changes the applications of a running service through Serve's controller."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ray import serve

from serve.applications import GATEWAY_IMPORT, MODEL, ServeApplication
from serve.apps import build_app
from serve.cli.apply.changes import Change, Kind
from serve.cli.apply.readiness import ApplicationStatus
from serve.cli.apply.running_service import ApplyError, RunningApplication, RunningService
from serve.cluster import ray_internals
from serve.config.service import Service
from serve.model.endpoint import EndpointFactory
from serve.routes import GATEWAY

FAILED_STATES = ("DEPLOY_FAILED", "UNHEALTHY")
BUSY_STATES = ("NOT_STARTED", "DEPLOYING", "DELETING")


class ServeClient:
    """Serve on the cluster that this process has joined."""

    def read(self) -> RunningService:
        """The running service.

        Raises:
            ApplyError: no service of this kind runs, something else deploys it, or it is changing now.
        """
        details = ray_internals.application_details()
        found = {name: app for name, each in details.items() if (app := _running(name, each)) is not None}
        gateway = found.pop(GATEWAY, None)
        if gateway is None:
            raise ApplyError("the cluster runs no automodel-serve of this version")
        if any(_text(details[name]["source"]) == "declarative" for name in (GATEWAY, *found)):
            raise ApplyError(
                "this service was deployed from a serveConfigV2, by KubeRay or `serve deploy`, which would revert any "
                "other change; change the configuration, and deploy the output of `automodel-serve render k8s`"
            )
        busy = [name for name in (GATEWAY, *found) if _text(details[name]["status"]) in BUSY_STATES]
        if busy:
            raise ApplyError(f"the service is starting or changing ({', '.join(busy)}); retry when that is done")
        return RunningService(gateway, found)

    def names(self) -> list[str]:
        """The names of the service's applications, whatever their status."""
        details = ray_internals.application_details()
        return [name for name, each in details.items() if _running(name, each) is not None]

    def deploy(self, changes: Sequence[Change]) -> None:
        """Start to deploy the desired state, without waiting."""
        targets = []
        for change in changes:
            assert change.after is not None
            keeps_replicas = change.kind is Kind.RECONFIGURED and change.before is not None
            targets.append(build_app(change.after, change.before.version if keeps_replicas and change.before else None))
        serve.run_many(targets, wait_for_applications_running=False)

    def delete(self, names: Iterable[str]) -> None:
        """Start to delete applications; each replica first finishes its requests."""
        ray_internals.delete_applications(names)

    def statuses(self) -> Mapping[str, ApplicationStatus]:
        """The status of each application."""
        return {name: _status(each) for name, each in ray_internals.application_details().items()}


def _running(name: str, details: Mapping[str, Any]) -> RunningApplication | None:
    """One of our applications; None if it is not ours."""
    deployment = GATEWAY if name == GATEWAY else "model"
    if deployment not in details["deployments"]:
        return None
    arguments, version = ray_internals.deployment_arguments(deployment, name)
    has_failed = _text(details["status"]) in FAILED_STATES
    for argument in arguments:
        if isinstance(argument, Service):
            return RunningApplication(ServeApplication(name, "/", GATEWAY_IMPORT, argument), version, has_failed)
        if isinstance(argument, EndpointFactory):
            app = ServeApplication(name, argument.route.prefix, MODEL, argument.arguments)
            return RunningApplication(app, version, has_failed)
    return None


def _status(details: Mapping[str, Any]) -> ApplicationStatus:
    deployments = details["deployments"].values()
    message = "\n".join(each["message"] for each in deployments if each["message"]) or details["message"]
    replicas = {each["replica_id"]: _text(each["state"]) for d in deployments for each in d["replicas"]}
    return ApplicationStatus(_text(details["status"]), message, replicas)


def _text(value: Any) -> str:
    """The value of an enum's member, or the value itself."""
    return str(getattr(value, "value", value))
