"""As many pods as the replicas need, by what each asks for."""

from typing import Any

import pytest

from deployments.config import ModelConfig
from deployments.errors import LoadError
from serve.kubernetes.worker_groups import Node, pods_for, worker_groups


def model(name: str, cpus: float = 1, gpus: float = 0, kind: str | None = None, **replicas: Any) -> ModelConfig:
    resources = {"num_cpus": cpus, "num_gpus": gpus, "accelerator_type": kind}
    return ModelConfig.model_validate({"model": name, "resources": resources, "replicas": replicas})


@pytest.mark.parametrize(
    ("models", "pods"),
    [
        ([("a", {"cpus": 2}, 2)], 1),
        ([("a", {"cpus": 2}, 3)], 2),
        ([("a", {"cpus": 3}, 2), ("b", {"cpus": 1}, 2)], 2),  # the small ones fit beside the large ones
        ([("a", {"cpus": 0.1}, 40)], 1),
        ([("a", {"cpus": 0.1}, 41)], 2),
        ([("a", {"max_per_node": 1}, 3), ("b", {}, 3)], 3),
        ([("a", {}, 0)], 0),
    ],
)
def test_replicas_are_packed(models: list[tuple[str, dict[str, Any], int]], pods: int) -> None:
    asked = [model(name, **{"max": 50} | options) for name, options, _ in models]
    assert pods_for(asked, [count for *_, count in models], Node(cpus=4, memory_gib=8)) == pods


def test_gpus_are_shared_by_fractions() -> None:
    node = Node(cpus=8, memory_gib=8, gpus=1)
    asked = [model("a", gpus=0.25), model("b", gpus=0.5), model("c", gpus=0.3)]
    assert pods_for(asked[:2], [2, 1], node) == 1
    assert pods_for(asked, [2, 1, 1], node) == 2


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (model("large", cpus=5), "large: requests 5 CPU, which no node has; there are 4 CPU"),
        (model("large", cpus=1, gpus=2), "requests 1 CPU, 2 GPU, which no node has; there are 4 CPU, 1 GPU"),
        (model("free", cpus=0), "on the head"),
    ],
)
def test_what_fits_nowhere_says_why(asked: ModelConfig, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        pods_for([asked], [1], Node(cpus=4, memory_gib=8, gpus=1))


def test_every_kind_of_gpu_has_a_group() -> None:
    asked = [
        model("a", cpus=1, max=8),
        model("b", gpus=1, kind="L4"),
        model("c", gpus=2, kind="H100", min=2, max=2),
        model("d", gpus=0.5),
    ]
    groups = worker_groups(asked, cpus=4, memory_gib=16)
    assert [(group.name, group.node.gpus, group.min_pods, group.max_pods) for group in groups] == [
        ("cpu", 0, 1, 3),  # eight replicas, three to a node beside the gateway
        ("gpu", 1, 1, 1),
        ("gpu-h100", 2, 2, 2),
        ("gpu-l4", 1, 1, 1),
    ]


def test_without_models_on_cpus_the_gateway_is_beside_a_gpu() -> None:
    (group,) = worker_groups([model("a", gpus=1)], cpus=4, memory_gib=16)
    assert (group.name, group.min_pods) == ("gpu", 1)
    with pytest.raises(LoadError, match=r"3\.9"):
        worker_groups([model("a", cpus=4, gpus=1)], cpus=4, memory_gib=16)


def test_a_group_stays_for_models_that_scale_to_none() -> None:
    (group,) = worker_groups([model("a", min=0, max=2)], cpus=4, memory_gib=16)
    assert (group.min_pods, group.max_pods) == (1, 1)
