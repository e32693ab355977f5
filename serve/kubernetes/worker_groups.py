"""WorkerGroup: pods of one kind, as many as the models' replicas need."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from deployments.config import ModelConfig
from deployments.errors import LoadError
from serve.cluster.resource_requests import ACCELERATOR_PREFIX, Amounts, fits, placement_obstacle, resource_request
from serve.kubernetes.serve_config import GATEWAY_CPUS


@dataclass(frozen=True, slots=True)
class Node:
    """What one worker pod has.

    Attributes:
        cpus: cores, which are Ray's logical CPUs, too.
        memory_gib: of the pod, shared memory included.
        gpus: whole GPUs.
        accelerator_type: Ray's name of the GPU, such as `L4`; None for any.
    """

    cpus: float
    memory_gib: int
    gpus: int = 0
    accelerator_type: str | None = None

    @property
    def amounts(self) -> Amounts:
        """In Ray's own names."""
        kind = {f"{ACCELERATOR_PREFIX}{self.accelerator_type}": 1.0} if self.accelerator_type else {}
        return {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory_gib * 2.0**30} | kind


@dataclass(frozen=True, slots=True)
class WorkerGroup:
    """Pods of one kind: how many at least, and at most."""

    name: str
    node: Node
    min_pods: int
    max_pods: int


def worker_groups(models: Sequence[ModelConfig], *, cpus: int, memory_gib: int) -> Sequence[WorkerGroup]:
    """A group without GPUs, and one for each kind of GPU that the models ask for; the first has room for gateways.

    Args:
        models: what is served.
        cpus: cores of a pod.
        memory_gib: of a pod.

    Raises:
        LoadError: a replica fits on no pod; the message says what it asks, and what there is.
    """
    groups: list[WorkerGroup] = []
    for kind in sorted({_kind(model) for model in models}, key=lambda kind: (kind[0], kind[1] or "")):
        of_kind = [model for model in models if _kind(model) == kind]
        has_gpu, accelerator = kind
        gpus = max(math.ceil(model.resources.num_gpus) for model in of_kind)
        node = Node(cpus, memory_gib, gpus, accelerator)
        for_models = replace(node, cpus=cpus - GATEWAY_CPUS) if not groups else node
        least = pods_for(of_kind, [model.replicas.min for model in of_kind], for_models)
        most = pods_for(of_kind, [model.replicas.max for model in of_kind], for_models)
        name = "-".join(["gpu", *([accelerator.lower()] if accelerator else [])]) if has_gpu else "cpu"
        groups.append(WorkerGroup(name, node, max(1, least), max(1, most)))
    return groups


def pods_for(models: Sequence[ModelConfig], replicas: Sequence[int], node: Node) -> int:
    """How many pods hold so many replicas of each model: the largest first, each on the first pod that has room.

    Raises:
        LoadError: a replica fits on no pod.
    """
    pods: list[Pod] = []
    for model, count in sorted(zip(models, replicas, strict=True), key=lambda pair: _size(pair[0]), reverse=True):
        wanted = resource_request(model)
        if not wanted:
            raise LoadError(f"{model.name}: with `resources.num_cpus: 0` it would be placed on the head, too")
        if reason := placement_obstacle(wanted, [node.amounts], [node.amounts]):
            raise LoadError(f"{model.name}: {reason}; lower `resources`, or give workers more (--worker-cpus, -memory)")
        for _ in range(count):
            pod = next((pod for pod in pods if pod.takes(model, wanted)), None)
            if pod is None:
                pod = Pod(dict(node.amounts))
                pods.append(pod)
            pod.place(model, wanted)
    return len(pods)


class Pod:
    """What is left of a worker, and whose replicas are there."""

    def __init__(self, left: dict[str, float]) -> None:
        self._left = left
        self._there: list[str] = []

    def takes(self, model: ModelConfig, wanted: Amounts) -> bool:
        most = model.replicas.max_per_node
        return fits(wanted, self._left) and (most is None or self._there.count(model.name) < most)

    def place(self, model: ModelConfig, wanted: Amounts) -> None:
        self._there.append(model.name)
        for name, amount in wanted.items():
            self._left[name] -= amount


def _kind(model: ModelConfig) -> tuple[bool, str | None]:
    return model.resources.num_gpus > 0, model.resources.accelerator_type


def _size(model: ModelConfig) -> tuple[float, float]:
    return model.resources.num_gpus, model.resources.num_cpus
