"""The state of every model, from Serve's status and the stages that its replicas report while they load."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployments.config import ModelConfig
from deployments.replica import stages
from serve.cluster import ray_internals
from serve.cluster.placement import Nodes

# Replicas that requests are sent to. One that is updated, to other settings in place, is back in milliseconds; one that
# a new controller has not heard of yet (RECOVERING) answers meanwhile.
SERVING = ("RUNNING", "UPDATING", "RECOVERING", "PENDING_MIGRATION")
SETTLE_S = 1.5  # the proxy learns of a replica a little after Serve does, and answers 404 until then


@dataclass(frozen=True, slots=True)
class ModelState:
    """The state of a model.

    Attributes:
        state: "waiting", "loading", "downloading", "checking", "warming", "ready", "idle" (no replicas; the first
            request triggers a cold start) or "failed"; while `apply` changes it also "changing", "leaving" or "gone".
        detail: why it failed or waits for a node, or the progress of a download.
        replicas: that are running.
    """

    state: str
    detail: str
    replicas: int

    @property
    def is_ready(self) -> bool:
        return self.state in ("ready", "idle", "gone")


class StateReader:
    """Reads the states of some models, as often as needed. A model is ready `SETTLE_S` after its first replica."""

    def __init__(self, models: Sequence[ModelConfig]) -> None:
        self._models = models
        self._running_since: dict[str, float] = {}

    def read(self) -> dict[str, ModelState]:
        """The state of each model, in order. Calls Serve's controller: milliseconds."""
        applications = ray_internals.application_details()
        states = {model.name: self._state(model.name, applications.get(model.name)) for model in self._models}
        waiting = [model for model in self._models if states[model.name].state == "waiting"]
        if waiting:
            nodes = Nodes()
            states |= {model.name: ModelState("waiting", nodes.obstacle(model), 0) for model in waiting}
        return states

    def _state(self, model: str, application: Mapping[str, Any] | None) -> ModelState:
        deployment = None if application is None else application["deployments"].get("model")
        running = 0 if deployment is None else sum(each["state"] in SERVING for each in deployment["replicas"])
        if running:
            since = self._running_since.setdefault(model, time.monotonic())
            return ModelState("ready" if time.monotonic() - since > SETTLE_S else "warming", "", running)
        self._running_since.pop(model, None)
        if deployment is not None and deployment["status"] == "HEALTHY":
            return ModelState("idle", "", 0)
        stage = stages.read(model)
        if stage is None:
            return ModelState("waiting", "", 0)
        if stage.stage == "ready":  # reported by a replica that has ended, or that Serve does not count yet
            return ModelState("warming", "", 0)
        return ModelState(stage.stage, stage.detail, 0)
