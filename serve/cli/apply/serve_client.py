"""ServeClient: the applications of a running service, read from Serve's controller and changed there."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ray import serve
from ray.serve._private.client import ServeControllerClient
from ray.serve.context import _get_global_client

from serve.applications import GATEWAY_IMPORT, MODEL, ServeApplication
from serve.apps import build_app
from serve.cli.apply.changes import Change, Kind
from serve.cli.apply.readiness import ApplicationStatus
from serve.cli.apply.running_service import ApplyError, RunningApplication, RunningService
from serve.config.service import Service
from serve.model.deployed import ModelEndpoint
from serve.routes import GATEWAY

FAILED_STATES = ("DEPLOY_FAILED", "UNHEALTHY")
BUSY_STATES = ("NOT_STARTED", "DEPLOYING", "DELETING")


class ServeClient:
    """Serve on the cluster that this process has joined."""

    def __init__(self) -> None:
        self._client: ServeControllerClient = _get_global_client()

    def read(self) -> RunningService:
        """What runs.

        Raises:
            ApplyError: no service of this kind, one that something else deploys, or one that is changing now.
        """
        details = self._client.get_serve_details()["applications"]
        found = {name: app for name, each in details.items() if (app := self._running(name, each)) is not None}
        gateway = found.pop(GATEWAY, None)
        if gateway is None:
            raise ApplyError("what is served there is no automodel-serve of this version")
        if any(_text(details[name]["source"]) == "declarative" for name in (GATEWAY, *found)):
            raise ApplyError(
                "this service was deployed from a serveConfigV2, by KubeRay or `serve deploy`, which would take every "
                "other change back; change the configuration, and deploy what `automodel-serve render k8s` makes of it"
            )
        busy = [name for name in (GATEWAY, *found) if _text(details[name]["status"]) in BUSY_STATES]
        if busy:
            raise ApplyError(f"the service starts or is being changed ({', '.join(busy)}); try again when it is done")
        return RunningService(gateway, found)

    def names(self) -> list[str]:
        """Of the service's applications, whatever becomes of them."""
        details = self._client.get_serve_details()["applications"]
        return [name for name, each in details.items() if self._running(name, each) is not None]

    def deploy(self, changes: Sequence[Change]) -> None:
        """Have Serve bring up what shall be; it goes on by itself."""
        targets = []
        for change in changes:
            assert change.after is not None
            stays = change.kind is Kind.RECONFIGURED and change.before is not None
            targets.append(build_app(change.after, change.before.version if stays and change.before else None))
        serve.run_many(targets, wait_for_applications_running=False)

    def delete(self, names: Iterable[str]) -> None:
        """Have Serve end applications; each replica first answers what it has begun."""
        self._client.delete_apps(list(names), blocking=False)

    def statuses(self) -> Mapping[str, ApplicationStatus]:
        """How each application is."""
        details = self._client.get_serve_details()["applications"]
        return {name: _seen(each) for name, each in details.items()}

    def _running(self, name: str, details: Mapping[str, Any]) -> RunningApplication | None:
        """One of ours, or None."""
        deployment = GATEWAY if name == GATEWAY else "model"
        if deployment not in details["deployments"]:
            return None
        info, _ = self._client.get_deployment_info(deployment, name)
        has_failed = _text(details["status"]) in FAILED_STATES
        for argument in info.replica_config.init_args:
            if isinstance(argument, Service):
                return RunningApplication(
                    ServeApplication(name, "/", GATEWAY_IMPORT, argument), info.version, has_failed
                )
            if isinstance(argument, ModelEndpoint):
                app = ServeApplication(name, argument.route.prefix, MODEL, argument.arguments)
                return RunningApplication(app, info.version, has_failed)
        return None


def _seen(details: Mapping[str, Any]) -> ApplicationStatus:
    deployments = details["deployments"].values()
    message = "\n".join(each["message"] for each in deployments if each["message"]) or details["message"]
    replicas = {each["replica_id"]: _text(each["state"]) for d in deployments for each in d["replicas"]}
    return ApplicationStatus(_text(details["status"]), message, replicas)


def _text(value: Any) -> str:
    """Of an enum's member, or of its value."""
    return str(getattr(value, "value", value))
