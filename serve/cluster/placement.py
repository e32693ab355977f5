"""Nodes: whether the running cluster has room for a replica."""

from collections.abc import Sequence

import ray

from deployments.config import ModelConfig
from serve.cluster.ray_internals import available_resources
from serve.cluster.resource_requests import Resources, placement_obstacle, resource_request


class Nodes:
    """The resources of the cluster's nodes at this moment."""

    def __init__(self) -> None:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        free = available_resources()
        self._totals: list[Resources] = [node["Resources"] for node in nodes]
        self._free: list[Resources] = [free.get(node["NodeID"], {}) for node in nodes]

    def obstacle(self, model: ModelConfig) -> str:
        """Why a replica of the model is not placed now; empty if there is room."""
        return placement_obstacle(resource_request(model), self._totals, self._free)

    def unplaceable(self, models: Sequence[ModelConfig]) -> dict[str, str]:
        """The models of which no replica can ever be placed on these nodes, and why."""
        reasons = {
            model.name: placement_obstacle(resource_request(model), self._totals, self._totals) for model in models
        }
        return {name: reason for name, reason in reasons.items() if reason}
