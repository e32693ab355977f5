"""Plan: the resources that every model needs, and whether the workers have them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.replica.footprint import Footprint
from serve.cluster.resource_requests import Resources, resource_request
from serve.kubernetes.worker_groups import Node, pods_for

GIB = 2.0**30
HEADROOM = 1.2  # over the measured memory: longer inputs, other batches, fragmentation
MEMORY_STEP_GIB = 0.25
GPU_STEP = 0.05
# GPU memory beside the weights, if it was not measured: CUDA's context and libraries, one batch.
GPU_REST_BYTES = 1.5 * GIB


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers to plan for.

    Attributes:
        node: resources of each.
        count: number of workers.
        gpu_memory_gib: memory of one GPU.
    """

    node: Node
    count: int
    gpu_memory_gib: float = 24.0


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """One model on such workers.

    Attributes:
        model: as configured.
        task: its task's name.
        footprint: measured resources of one replica.
        memory_gib: that a replica should request.
        gpu_share: of one GPU that a replica should request; above 1, whole GPUs. None if the workers have none.
        per_worker: replicas that fit on an empty worker.
        problem: why the configured resources are too small; empty if they suffice.
    """

    model: ModelConfig
    task: str
    footprint: Footprint
    memory_gib: float
    gpu_share: float | None
    per_worker: int
    problem: str

    @property
    def placed(self) -> ModelConfig:
        """The model with the memory that it should request, unless its configuration sets it."""
        resources = self.model.resources
        memory = resources.memory_gib or self.memory_gib
        return self.model.model_copy(update={"resources": resources.model_copy(update={"memory_gib": memory})})


def plan_of(model: ModelConfig, task: str, footprint: Footprint, workers: Workers) -> ModelPlan:
    """The plan for one model on these workers."""
    memory_gib = _round_up(footprint.memory_bytes * HEADROOM / GIB, MEMORY_STEP_GIB)
    share = None
    if workers.node.gpus:
        share = _round_up(_gpu_bytes(footprint) * HEADROOM / (workers.gpu_memory_gib * GIB), GPU_STEP)
        share = share if share <= 1 else float(math.ceil(share))
    made = ModelPlan(model, task, footprint, memory_gib, share, 0, _problem(model, footprint, workers))
    per_worker = _capacity(resource_request(made.placed), workers.node.resources)
    if model.replicas.max_per_node is not None:
        per_worker = min(per_worker, model.replicas.max_per_node)
    return ModelPlan(model, task, footprint, memory_gib, share, per_worker, made.problem)


def workers_needed(plans: Sequence[ModelPlan], workers: Workers) -> int:
    """The number of workers for the minimum replicas of all models.

    Raises:
        LoadError: a model requests less than it needs, a replica fits on no worker, or there are too few workers.
    """
    problems = [f"{plan.model.name}: {plan.problem}" for plan in plans if plan.problem]
    if problems:
        raise LoadError("\n".join(problems))
    models = [plan.placed for plan in plans]
    needed = pods_for(models, [max(1, model.replicas.min) for model in models], workers.node)
    if needed > workers.count:
        raise LoadError(
            f"the models need {needed} such workers, but there {'is' if workers.count == 1 else 'are'} "
            f"{workers.count}; use more or larger workers, or serve fewer models"
        )
    return needed


def _problem(model: ModelConfig, footprint: Footprint, workers: Workers) -> str:
    resources = model.resources
    needed_gib = footprint.memory_bytes / GIB
    if resources.memory_gib is not None and resources.memory_gib < needed_gib:
        requested = f"{resources.memory_gib:.3g} GiB of memory (`resources.memory_gib`)"
        return f"requests {requested}, but needs {needed_gib:.3g} GiB"
    if resources.num_gpus and workers.node.gpus:
        has_gib, needs_gib = resources.num_gpus * workers.gpu_memory_gib, _gpu_bytes(footprint) / GIB
        if has_gib < needs_gib:
            return (
                f"{resources.num_gpus:g} of a GPU with {workers.gpu_memory_gib:g} GiB (`resources.num_gpus`) is "
                f"{has_gib:.3g} GiB, but it needs {needs_gib:.3g} GiB"
            )
    return ""


def _gpu_bytes(footprint: Footprint) -> float:
    """GPU memory; if it was not measured, the weights plus a constant."""
    return footprint.weights_bytes + GPU_REST_BYTES if footprint.gpu_bytes is None else footprint.gpu_bytes


def _capacity(request: Resources, node: Resources) -> int:
    """How many replicas with this request fit on the node."""
    return min((int(node.get(name, 0) / amount + 1e-6) for name, amount in request.items()), default=0)


def _round_up(amount: float, step: float) -> float:
    return round(math.ceil(amount / step - 1e-9) * step, 4)
