"""What a model should ask for, and whether workers hold all of them."""

from typing import Any

import pytest

from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.replica.footprint import Footprint
from serve.cli.plan.plan import GIB, ModelPlan, Workers, plan_of, workers_needed
from serve.kubernetes.worker_groups import Node

CPU_WORKERS = Workers(Node(cpus=4, memory_gib=8), count=2)
GPU_WORKERS = Workers(Node(cpus=8, memory_gib=32, gpus=1), count=1, gpu_memory_gib=24)


def footprint(memory_gib: float = 1.0, weights_gib: float = 0.5, gpu_gib: float | None = None) -> Footprint:
    gpu = None if gpu_gib is None else int(gpu_gib * GIB)
    return Footprint(1000, int(weights_gib * GIB), int(memory_gib * GIB), gpu, "float32", "cpu", 1.0)


def planned(took: Footprint, workers: Workers = CPU_WORKERS, name: str = "m", **configured: Any) -> ModelPlan:
    model = ModelConfig.model_validate({"model": name, "name": name} | configured)
    return plan_of(model, "fill-mask", took, workers)


def test_memory_has_room_above_what_was_taken() -> None:
    assert planned(footprint(memory_gib=1.0)).memory_gib == 1.25
    assert planned(footprint(memory_gib=0.3)).memory_gib == 0.5


@pytest.mark.parametrize(
    ("configured", "most"),
    [
        ({"resources": {"num_cpus": 1}}, 4),  # 4 CPUs
        ({"resources": {"num_cpus": 0.1}}, 6),  # 8 GiB in pieces of 1.25
        ({"resources": {"num_cpus": 0.1, "memory_gib": 4}}, 2),
        ({"resources": {"num_cpus": 8}}, 0),
        ({"resources": {"num_cpus": 1}, "replicas": {"max_per_node": 1}}, 1),
    ],
)
def test_replicas_on_an_empty_worker(configured: dict[str, Any], most: int) -> None:
    assert planned(footprint(), **configured).per_worker == most


def test_a_share_of_a_gpu() -> None:
    assert planned(footprint(), CPU_WORKERS).gpu_share is None
    measured = planned(footprint(gpu_gib=4.0), GPU_WORKERS)
    assert measured.gpu_share == 0.2  # 4.8 of 24 GiB
    assert planned(footprint(weights_gib=4.0), GPU_WORKERS).gpu_share == 0.3  # 5.5 GiB and a fifth more
    assert planned(footprint(gpu_gib=30.0), GPU_WORKERS).gpu_share == 2  # no fraction above one


def test_a_model_that_asks_for_less_memory_than_it_takes_is_refused() -> None:
    plan = planned(footprint(memory_gib=1.5), resources={"memory_gib": 0.5})
    with pytest.raises(LoadError, match=r"requests 0\.5 GiB of memory \(`resources.memory_gib`\), but needs 1\.5 GiB"):
        workers_needed([plan], CPU_WORKERS)


def test_a_share_of_a_gpu_that_is_too_small_is_refused() -> None:
    plan = planned(footprint(gpu_gib=8.0), GPU_WORKERS, resources={"num_gpus": 0.25})
    with pytest.raises(LoadError, match=r"0\.25 of a GPU with 24 GiB .* is 6 GiB, but it needs 8 GiB"):
        workers_needed([plan], GPU_WORKERS)
    enough = planned(footprint(gpu_gib=8.0), GPU_WORKERS, resources={"num_gpus": 0.5})
    assert workers_needed([enough], GPU_WORKERS) == 1


def test_all_replicas_have_to_fit() -> None:
    two = planned(footprint(), name="two", resources={"num_cpus": 2}, replicas={"min": 2, "max": 4})
    one = planned(footprint(), name="one", resources={"num_cpus": 1})
    assert workers_needed([two], CPU_WORKERS) == 1
    assert workers_needed([two, one], CPU_WORKERS) == 2
    with pytest.raises(LoadError, match="the models need 3 such workers, but there are 2"):
        workers_needed([two, one, planned(footprint(), name="more", resources={"num_cpus": 4})], CPU_WORKERS)


def test_a_replica_that_fits_on_no_worker_says_what_it_asks() -> None:
    plan = planned(footprint(memory_gib=20), resources={"num_cpus": 1})
    with pytest.raises(LoadError, match="m: requests 1 CPU, 24 GiB of memory, which no node has"):
        workers_needed([plan], CPU_WORKERS)


def test_a_model_that_scales_to_none_has_room_for_its_first_replica() -> None:
    idle = planned(footprint(), resources={"num_cpus": 4}, replicas={"min": 0, "max": 1})
    assert workers_needed([idle, idle], Workers(CPU_WORKERS.node, 2)) == 2
