"""WorkerGroup: pods of one kind, and how many of them the models' replicas need."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from deployments.config import ModelConfig
from deployments.errors import LoadError
from serve.cluster.resource_requests import ACCELERATOR_PREFIX, Resources, fits, placement_obstacle, resource_request
from serve.kubernetes.serve_config import GATEWAY_CPUS


@dataclass(frozen=True, slots=True)
class Node:
    """The resources of one worker pod.

    Attributes:
        cpus: cores, and also Ray's logical CPUs.
        memory_gib: of the pod, including shared memory.
        gpus: whole GPUs.
        accelerator_type: Ray's name of the GPU, such as `L4`; None for any.
    """

    cpus: float
    memory_gib: int
    gpus: int = 0
    accelerator_type: str | None = None

    @property
    def resources(self) -> Resources:
        """Under Ray's resource names."""
        kind = {f"{ACCELERATOR_PREFIX}{self.accelerator_type}": 1.0} if self.accelerator_type else {}
        return {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory_gib * 2.0**30} | kind


@dataclass(frozen=True, slots=True)
class WorkerGroup:
    """Pods of one kind, with minimum and maximum number."""

    name: str
    node: Node
    min_pods: int
    max_pods: int


def worker_groups(models: Sequence[ModelConfig], *, cpus: int, memory_gib: int) -> Sequence[WorkerGroup]:
    """A group without GPUs, and one for each kind of GPU that models request; the first has room for gateways.

    Args:
        models: of the service.
        cpus: cores of a pod.
        memory_gib: of a pod.

    Raises:
        LoadError: a replica fits on no pod; the message compares its request with the pod.
    """
    groups: list[WorkerGroup] = []
    for kind in sorted({_kind(model) for model in models}, key=lambda kind: (kind[0], kind[1] or "")):
        of_kind = [model for model in models if _kind(model) == kind]
        has_gpu, accelerator = kind
        gpus = max(math.ceil(model.resources.num_gpus) for model in of_kind)
        node = Node(cpus, memory_gib, gpus, accelerator)
        for_models = replace(node, cpus=cpus - GATEWAY_CPUS) if not groups else node
        min_pods = pods_for(of_kind, [model.replicas.min for model in of_kind], for_models)
        max_pods = pods_for(of_kind, [model.replicas.max for model in of_kind], for_models)
        name = "-".join(["gpu", *([accelerator.lower()] if accelerator else [])]) if has_gpu else "cpu"
        groups.append(WorkerGroup(name, node, max(1, min_pods), max(1, max_pods)))
    return groups


def pods_for(models: Sequence[ModelConfig], replicas: Sequence[int], node: Node) -> int:
    """The number of pods for these replicas of each model: first fit, largest replicas first.

    Raises:
        LoadError: a replica fits on no pod.
    """
    pods: list[Pod] = []
    for model, count in sorted(zip(models, replicas, strict=True), key=lambda pair: _size(pair[0]), reverse=True):
        request = resource_request(model)
        if not request:
            raise LoadError(f"{model.name}: with `resources.num_cpus: 0` replicas would also be placed on the head")
        if reason := placement_obstacle(request, [node.resources], [node.resources]):
            raise LoadError(
                f"{model.name}: {reason}; lower `resources`, or use larger workers (--worker-cpus, --worker-memory)"
            )
        for _ in range(count):
            pod = next((pod for pod in pods if pod.has_room(model, request)), None)
            if pod is None:
                pod = Pod(dict(node.resources))
                pods.append(pod)
            pod.place(model, request)
    return len(pods)


class Pod:
    """The free resources of a worker, and its replicas."""

    def __init__(self, free: dict[str, float]) -> None:
        self._free = free
        self._replicas: list[str] = []

    def has_room(self, model: ModelConfig, request: Resources) -> bool:
        max_per_node = model.replicas.max_per_node
        is_spread = max_per_node is None or self._replicas.count(model.name) < max_per_node
        return is_spread and fits(request, self._free)

    def place(self, model: ModelConfig, request: Resources) -> None:
        self._replicas.append(model.name)
        for name, amount in request.items():
            self._free[name] -= amount


def _kind(model: ModelConfig) -> tuple[bool, str | None]:
    return model.resources.num_gpus > 0, model.resources.accelerator_type


def _size(model: ModelConfig) -> tuple[float, float]:
    return model.resources.num_gpus, model.resources.num_cpus
