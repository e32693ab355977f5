"""Plan: what every model takes of a worker, and whether so many workers hold all of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.replica.footprint import Footprint
from serve.cluster.resource_requests import Amounts, resource_request
from serve.kubernetes.worker_groups import Node, pods_for

GIB = 2.0**30
HEADROOM = 1.2  # over what was measured: longer inputs, other batches, the allocator's holes
MEMORY_STEP_GIB = 0.25
GPU_STEP = 0.05
# What a GPU holds beside weights where none was at hand to measure on: CUDA's context and libraries, one batch.
GPU_REST_BYTES = 1.5 * GIB


@dataclass(frozen=True, slots=True)
class Workers:
    """The machines to plan for.

    Attributes:
        node: what each has.
        count: how many there are.
        gpu_memory_gib: of one of its GPUs.
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
        footprint: what one replica took.
        memory_gib: that a replica should ask for.
        gpu_share: of one GPU that a replica should ask for; above 1, so many GPUs. None where the workers have none.
        per_worker: replicas that an empty worker holds.
        problem: why what is configured is too little; empty where it is enough.
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
        """The model with what it should ask for where its configuration says nothing."""
        resources = self.model.resources
        memory = resources.memory_gib or self.memory_gib
        return self.model.model_copy(update={"resources": resources.model_copy(update={"memory_gib": memory})})


def plan_of(model: ModelConfig, task: str, footprint: Footprint, workers: Workers) -> ModelPlan:
    """What one model needs of these workers."""
    memory_gib = _up(footprint.memory_bytes * HEADROOM / GIB, MEMORY_STEP_GIB)
    share = None
    if workers.node.gpus:
        share = _up(_gpu_bytes(footprint) * HEADROOM / (workers.gpu_memory_gib * GIB), GPU_STEP)
        share = share if share <= 1 else float(math.ceil(share))
    made = ModelPlan(model, task, footprint, memory_gib, share, 0, _problem(model, footprint, workers))
    per_worker = _most(resource_request(made.placed), workers.node.amounts)
    if model.replicas.max_per_node is not None:
        per_worker = min(per_worker, model.replicas.max_per_node)
    return ModelPlan(model, task, footprint, memory_gib, share, per_worker, made.problem)


def workers_needed(plans: Sequence[ModelPlan], workers: Workers) -> int:
    """How many workers hold the least replicas of all models.

    Raises:
        LoadError: a model asks for less than it takes, a replica fits on no worker, or there are too few workers.
    """
    problems = [f"{plan.model.name}: {plan.problem}" for plan in plans if plan.problem]
    if problems:
        raise LoadError("\n".join(problems))
    models = [plan.placed for plan in plans]
    needed = pods_for(models, [max(1, model.replicas.min) for model in models], workers.node)
    if needed > workers.count:
        raise LoadError(
            f"the models need {needed} such workers, and there {'is' if workers.count == 1 else 'are'} "
            f"{workers.count}; give more or larger ones, or serve fewer models"
        )
    return needed


def _problem(model: ModelConfig, footprint: Footprint, workers: Workers) -> str:
    resources = model.resources
    took_gib = footprint.memory_bytes / GIB
    if resources.memory_gib is not None and resources.memory_gib < took_gib:
        return f"asks for {resources.memory_gib:.3g} GiB of memory (`resources.memory_gib`) and took {took_gib:.3g} GiB"
    if resources.num_gpus and workers.node.gpus:
        has_gib, takes_gib = resources.num_gpus * workers.gpu_memory_gib, _gpu_bytes(footprint) / GIB
        if has_gib < takes_gib:
            return (
                f"{resources.num_gpus:g} of a GPU with {workers.gpu_memory_gib:g} GiB (`resources.num_gpus`) is "
                f"{has_gib:.3g} GiB, and it takes {takes_gib:.3g} GiB"
            )
    return ""


def _gpu_bytes(footprint: Footprint) -> float:
    """Of a GPU's memory; where it was not measured on one, weights as they are here and a flat rest."""
    return footprint.weights_bytes + GPU_REST_BYTES if footprint.gpu_bytes is None else footprint.gpu_bytes


def _most(wanted: Amounts, node: Amounts) -> int:
    """How often the node has what is wanted."""
    return min((int(node.get(name, 0) / amount + 1e-6) for name, amount in wanted.items()), default=0)


def _up(amount: float, step: float) -> float:
    return round(math.ceil(amount / step - 1e-9) * step, 4)
