"""The state of every model, from Serve's own status and what the replicas said while they loaded."""

from collections.abc import Iterable
from dataclasses import dataclass

from ray import serve

from deployments import stages


@dataclass(frozen=True, slots=True)
class ModelState:
    """How far a model is.

    Attributes:
        state: "waiting", "package", "loading", "checking", "warming", "ready" or "failed".
        detail: the reason where it failed.
        replicas: replicas that answer.
    """

    state: str
    detail: str
    replicas: int

    @property
    def is_ready(self) -> bool:
        return self.state == "ready"


def model_states(models: Iterable[str]) -> dict[str, ModelState]:
    """The state of each model, in the given order."""
    applications = serve.status().applications
    return {model: _state(model, applications.get(model)) for model in models}


def _state(model: str, application: object) -> ModelState:
    stage = stages.read(model)
    deployment = getattr(application, "deployments", {}).get("model")
    running = 0 if deployment is None else int(deployment.replica_states.get("RUNNING", 0))
    if running:
        return ModelState("ready", "", running)
    if stage is None:
        return ModelState("waiting", "", 0)
    if stage.stage == "ready":  # said by a replica that is no longer there, or that Serve has not taken up yet
        return ModelState("warming", "", 0)
    return ModelState(stage.stage, stage.detail, 0)
