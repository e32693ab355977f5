"""`/info`: what TEI says of its model."""

from importlib.metadata import version
from typing import Any

from starlette.requests import Request

from deployments.errors import Unavailable
from serve.apis.caller import Caller
from serve.apis.embeddings_inference.requests import CLASSES, VECTORS
from serve.config.service import Limits


class Info:
    """Describes a model, the first that TEI's routes would ask or the one that `?model=` names."""

    def __init__(self, caller: Caller, limits: Limits) -> None:
        self._caller = caller
        self._limits = limits

    async def __call__(self, request: Request) -> Any:
        route = self._caller.named(request.query_params.get("model"), VECTORS + CLASSES)
        told = await self._caller.describe(request, route)
        if "source" not in told:
            raise Unavailable(f"{route.model} is loading", retry_after=5)
        return {
            "model_id": told["source"],
            "served_model_name": route.model,
            "model_sha": told["revision"],
            "model_dtype": told["dtype"],
            "model_type": _type(told),
            "max_concurrent_requests": self._limits.max_waiting,
            "max_input_length": told["max_length"],
            "max_batch_tokens": told.get("max_cost"),
            "max_batch_requests": told.get("max_rows"),
            "max_client_batch_size": self._limits.max_batch_items,
            "auto_truncate": False,
            "tokenization_workers": route.kind.preprocess_threads,
            "version": version("automodel-serve"),
            "sha": None,
            "docker_label": None,
        }


def _type(told: dict[str, Any]) -> dict[str, Any]:
    """TEI's kinds of models; one of another task has its task's name."""
    if told.get("pooling"):
        return {"embedding": {"pooling": told["pooling"]["mode"]}}
    if "labels" in told:
        labels = list(enumerate(told["labels"]))
        names = {"id2label": {str(n): label for n, label in labels}, "label2id": {label: n for n, label in labels}}
        return {"reranker" if len(labels) == 1 else "classifier": names}
    return {told["task"]: {}}
