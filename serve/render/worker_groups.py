"""WorkerGroup: pods of one kind, as many as the models' replicas need."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from deployments.config import ModelConfig
from deployments.errors import LoadError
from serve.render.serve_config import GATEWAY_CPUS


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
    order = sorted(zip(models, replicas, strict=True), key=lambda pair: _size(pair[0]), reverse=True)
    pods: list[tuple[float, float, list[str]]] = []  # CPUs and GPUs left, and whose replicas are there
    for model, count in order:
        cpus, gpus = model.resources.num_cpus, model.resources.num_gpus
        if cpus > node.cpus or gpus > node.gpus:
            raise LoadError(
                f"{model.name}: a replica asks for {cpus:g} CPUs and {gpus:g} GPUs, a worker has {node.cpus:g} and "
                f"{node.gpus}; lower `resources`, or give workers more with --worker-cpus"
            )
        if cpus == 0 and gpus == 0:
            raise LoadError(f"{model.name}: with `resources.num_cpus: 0` it would be placed on the head, too")
        for _ in range(count):
            at = next((i for i, pod in enumerate(pods) if _has_room(pod, model)), len(pods))
            left_cpus, left_gpus, there = pods[at] if at < len(pods) else (node.cpus, node.gpus, [])
            pods[at : at + 1] = [(left_cpus - cpus, left_gpus - gpus, [*there, model.name])]
    return len(pods)


def _kind(model: ModelConfig) -> tuple[bool, str | None]:
    return model.resources.num_gpus > 0, model.resources.accelerator_type


def _size(model: ModelConfig) -> tuple[float, float]:
    return model.resources.num_gpus, model.resources.num_cpus


def _has_room(pod: tuple[float, float, list[str]], model: ModelConfig) -> bool:
    cpus, gpus, there = pod
    most = model.replicas.max_per_node
    fits = cpus >= model.resources.num_cpus - 1e-9 and gpus >= model.resources.num_gpus - 1e-9
    return fits and (most is None or there.count(model.name) < most)
