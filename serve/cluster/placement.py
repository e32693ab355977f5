"""Whether a replica has a place on the nodes of the running cluster."""

from collections.abc import Sequence

import ray
from ray._private.state import available_resources_per_node

from deployments.config import ModelConfig
from serve.cluster.resource_requests import Amounts, asked, obstacle


class Nodes:
    """What the nodes of the cluster have now."""

    def __init__(self) -> None:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        free = available_resources_per_node()
        self._totals: list[Amounts] = [node["Resources"] for node in nodes]
        self._free: list[Amounts] = [free.get(node["NodeID"], {}) for node in nodes]

    def obstacle(self, model: ModelConfig) -> str:
        """Why a replica of the model is not placed; empty where there is room."""
        return obstacle(asked(model), self._totals, self._free)

    def impossible(self, models: Sequence[ModelConfig]) -> dict[str, str]:
        """The models of which no replica can ever be placed on these nodes, and why."""
        return {
            model.name: reason for model in models if (reason := obstacle(asked(model), self._totals, self._totals))
        }
