"""`/info`: TEI's description of a model."""

from importlib.metadata import version
from typing import Any

from starlette.requests import Request

from deployments.errors import Unavailable
from serve.apis.embeddings_inference.requests import CLASSES, VECTORS
from serve.apis.model_client import ModelClient
from serve.config.service import Limits


class Info:
    """Describes the model that `?model=` names, by default the first one that TEI's routes use."""

    def __init__(self, client: ModelClient, limits: Limits) -> None:
        self._client = client
        self._limits = limits

    async def __call__(self, request: Request) -> Any:
        route = self._client.any_route(request.query_params.get("model"), VECTORS + CLASSES)
        description = await self._client.describe(request, route)
        if "source" not in description:
            raise Unavailable(f"{route.model} is loading", retry_after=5)
        return {
            "model_id": description["source"],
            "served_model_name": route.model,
            "model_sha": description["revision"],
            "model_dtype": description["dtype"],
            "model_type": _type(description),
            "max_concurrent_requests": self._limits.max_waiting,
            "max_input_length": description["max_length"],
            "max_batch_tokens": description.get("max_cost"),
            "max_batch_requests": description.get("max_rows"),
            "max_client_batch_size": self._limits.max_batch_items,
            "auto_truncate": False,
            "tokenization_workers": route.kind.preprocess_threads,
            "version": version("automodel-serve"),
            "sha": None,
            "docker_label": None,
        }


def _type(description: dict[str, Any]) -> dict[str, Any]:
    """TEI's model types; for other tasks, the task's name."""
    if description.get("pooling"):
        return {"embedding": {"pooling": description["pooling"]["mode"]}}
    if "labels" in description:
        labels = list(enumerate(description["labels"]))
        names = {"id2label": {str(n): label for n, label in labels}, "label2id": {label: n for n, label in labels}}
        return {"reranker" if len(labels) == 1 else "classifier": names}
    return {description["task"]: {}}
