"""The protocols' part of the OpenAPI document: what other clients ask, in the gateway."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from serve.apis.embeddings_inference import routes as embeddings_inference
from serve.apis.huggingface import operations as huggingface
from serve.apis.open_inference import routes as open_inference
from serve.apis.open_inference.messages import VERSION
from serve.apis.openai import routes as openai
from serve.apis.operation import Operation
from serve.routes import RouteTable

PROTOCOLS: Mapping[str, tuple[str, tuple[Operation, ...]]] = {
    "OpenAI": ("What OpenAI's clients ask.", openai.OPERATIONS),
    "Text Embeddings Inference": ("What TEI's clients ask, and those that rank.", embeddings_inference.OPERATIONS),
    "Open Inference Protocol": ("What KServe's and Triton's clients ask.", open_inference.OPERATIONS),
    "Hugging Face": ("What Hugging Face's clients ask below a model's URL.", huggingface.OPERATIONS),
}

Schemas = Mapping[Any, Any]
ErrorsOf = Callable[[Any], dict[str, Any]]  # answers by status, from the schema of an error


def protocol_types() -> Iterator[tuple[Any, Any, TypeAdapter[Any]]]:
    """What requests and answers are, as `TypeAdapter.json_schemas` takes it; by the same keys its schemas are found."""
    for _, operations in PROTOCOLS.values():
        for operation in operations:
            if operation.request is not None:
                yield ("request", operation), "validation", TypeAdapter(operation.request)
            yield ("response", operation), "serialization", TypeAdapter(operation.response)
            yield ("error", operation), "serialization", TypeAdapter(operation.error)


def protocol_tags() -> dict[str, str]:
    """What each protocol is."""
    return {name: description for name, (description, _) in PROTOCOLS.items()}


def protocol_paths(table: RouteTable, schemas: Schemas, errors_of: ErrorsOf) -> dict[str, Any]:
    """The paths that one of the served models can answer."""
    return {
        operation.path: {operation.verb: _described(protocol, operation, models, schemas, errors_of)}
        for protocol, (_, operations) in PROTOCOLS.items()
        for operation in operations
        if (models := [route.model for route in operation.models(table)])
    }


def _described(
    protocol: str, operation: Operation, models: list[str], schemas: Schemas, errors_of: ErrorsOf
) -> dict[str, Any]:
    answers = {"application/json": {"schema": schemas["response", operation]}}
    answers |= {kind: {"schema": {"type": "string"}} for kind in operation.also}
    described: dict[str, Any] = {
        "tags": [protocol],
        "operationId": "_".join(re.findall(r"\w+", operation.path)),
        "summary": operation.summary,
        "responses": {
            "200": {"description": operation.summary, "content": answers},
            **errors_of(schemas["error", operation]),
        },
    }
    if named := [path_parameter(name, models) for name in re.findall(r"{(\w+)}", operation.path)]:
        described["parameters"] = named
    if operation.request is not None:
        described["requestBody"] = {"required": not operation.is_optional, "content": _bodies(operation, schemas)}
    return described


def path_parameter(name: str, models: list[str]) -> dict[str, Any]:
    """A `{model}` in a path, one of these; or its `{version}`."""
    values = models if name == "model" else [VERSION]
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": values}}


def _bodies(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    content = "multipart/form-data" if operation.is_form else "application/json"
    return {content: {"schema": schemas["request", operation]}}
