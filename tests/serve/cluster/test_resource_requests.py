"""What a replica asks, and why it does not get it."""

from typing import Any

import pytest
from pydantic import ValidationError

from deployments.config import ModelConfig
from serve.cluster.resource_requests import placement_obstacle, resource_request

L4 = {"CPU": 4.0, "GPU": 1.0, "memory": 16.0 * 2**30, "accelerator_type:L4": 1.0, "node:10.0.0.1": 1.0}
CPUS = {"CPU": 8.0, "memory": 32.0 * 2**30}


def model(**resources: Any) -> ModelConfig:
    return ModelConfig.model_validate({"model": "a", "resources": resources})


@pytest.mark.parametrize(
    ("resources", "free", "reason"),
    [
        ({"num_cpus": 2}, [L4, CPUS], ""),
        ({"num_cpus": 8}, [L4, CPUS], ""),
        ({"num_cpus": 9}, [L4, CPUS], "requests 9 CPU, which no node has; there are 4 CPU / 8 CPU"),
        (
            {"num_cpus": 5, "num_gpus": 1},
            [L4, CPUS],
            "requests 5 CPU, 1 GPU, which no node has; there are 4 CPU, 1 GPU / 8 CPU, 0 GPU",
        ),
        (
            {"num_cpus": 1, "num_gpus": 0.5, "accelerator_type": "H100"},
            [L4],
            "requests 1 CPU, 0.5 GPU (H100), which no node has; there are 4 CPU, 1 GPU (L4)",
        ),
        (
            {"num_cpus": 1, "num_gpus": 0.5, "accelerator_type": "L4"},
            [L4 | {"GPU": 0.25}, CPUS],
            "requests 1 CPU, 0.5 GPU (L4); free are 4 CPU, 0.25 GPU (L4) / 8 CPU, 0 GPU",
        ),
        (
            {"num_cpus": 1, "memory_gib": 20},
            [L4, CPUS | {"memory": 10.0 * 2**30}],
            "requests 1 CPU, 20 GiB of memory; free are 4 CPU, 16 GiB of memory / 8 CPU, 10 GiB of memory",
        ),
    ],
)
def test_why_it_is_not_placed(resources: dict[str, Any], free: list[dict[str, float]], reason: str) -> None:
    assert placement_obstacle(resource_request(model(**resources)), [L4, CPUS][: len(free)], free) == reason


def test_without_a_node() -> None:
    assert (
        placement_obstacle(resource_request(model()), [], [])
        == "requests 0.1 CPU, which no node has; there are no nodes"
    )


@pytest.mark.parametrize(
    ("resources", "message"),
    [({"num_gpus": 1.5}, "not 1.5"), ({"accelerator_type": "L4"}, "needs num_gpus above 0"), ({"memory_gib": 0}, "0")],
)
def test_what_nobody_can_ask(resources: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        model(**resources)
