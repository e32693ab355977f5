"""The stage of a model's load, in the cluster's key-value store, since a replica that is not up answers no requests.

Written by replicas, read by the gateway and the command line.
"""

import time
from dataclasses import dataclass

import orjson

from deployments.telemetry import ray_internals

_NAMESPACE = b"automodel-serve"


@dataclass(frozen=True, slots=True)
class ModelStage:
    """The latest stage that a replica of a model reported.

    Attributes:
        stage: "loading", "downloading", "checking", "warming", "ready" or "failed".
        detail: the reason of a failure, or the progress of a stage.
        at: seconds since the epoch.
    """

    stage: str
    detail: str
    at: float


def report(model: str, stage: str, detail: str = "") -> None:
    value = orjson.dumps({"stage": stage, "detail": detail, "at": time.time()})
    ray_internals.put(_key(model), value, _NAMESPACE)


def read(model: str) -> ModelStage | None:
    value = ray_internals.get(_key(model), _NAMESPACE)
    return None if value is None else ModelStage(**orjson.loads(value))


def _key(model: str) -> bytes:
    return f"stage/{model}".encode()
