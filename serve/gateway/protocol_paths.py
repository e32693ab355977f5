"""The protocols' part of the OpenAPI document."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from serve.apis.open_inference.messages import VERSION
from serve.apis.operation import Operation
from serve.apis.protocols import PROTOCOLS
from serve.http.sse import EVENT_STREAM
from serve.routes import RouteTable

Schemas = Mapping[Any, Any]
ErrorsOf = Callable[[Any], dict[str, Any]]  # error responses by status, from the schema of an error


def protocol_types() -> Iterator[tuple[Any, Any, TypeAdapter[Any]]]:
    """The types of requests and responses as inputs of `TypeAdapter.json_schemas`, under the keys of its result."""
    for protocol in PROTOCOLS:
        for operation in protocol.operations:
            if operation.request is not None:
                yield ("request", operation), "validation", TypeAdapter(operation.request)
            yield ("response", operation), "serialization", TypeAdapter(operation.response)
            yield ("error", operation), "serialization", TypeAdapter(operation.error)


def protocol_tags() -> dict[str, str]:
    """The description of each protocol."""
    return {protocol.name: protocol.description for protocol in PROTOCOLS}


def protocol_paths(table: RouteTable, schemas: Schemas, errors_of: ErrorsOf) -> dict[str, Any]:
    """The paths that at least one served model can answer."""
    return {
        operation.path: {operation.method.lower(): _described(protocol.name, operation, models, schemas, errors_of)}
        for protocol in PROTOCOLS
        for operation in protocol.operations
        if (models := [route.model for route in operation.models(table)])
    }


def _described(
    protocol: str, operation: Operation, models: list[str], schemas: Schemas, errors_of: ErrorsOf
) -> dict[str, Any]:
    content = {"application/json": {"schema": schemas["response", operation]}}
    content |= {
        kind: event_stream() if kind == EVENT_STREAM else {"schema": {"type": "string"}} for kind in operation.also
    }
    described: dict[str, Any] = {
        "tags": [protocol],
        "operationId": "_".join(re.findall(r"\w+", operation.path)),
        "summary": operation.summary,
        "responses": {
            "200": {"description": operation.summary, "content": content},
            **errors_of(schemas["error", operation]),
        },
    }
    if named := [path_parameter(name, models) for name in re.findall(r"{(\w+)}", operation.path)]:
        described["parameters"] = named
    if operation.request is not None:
        described["requestBody"] = {"required": not operation.is_optional, "content": _bodies(operation, schemas)}
    return described


def event_stream(content: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The OpenAPI media type of server-sent events; `content` describes their data beyond being a string."""
    data = {"type": "string", **(content or {})}
    return {"schema": {"type": "object", "properties": {"data": data}, "required": ["data"]}}


def path_parameter(name: str, models: list[str]) -> dict[str, Any]:
    """The OpenAPI parameter for `{model}`, one of these models, or for `{version}`."""
    values = models if name == "model" else [VERSION]
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": values}}


def _bodies(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    content = "multipart/form-data" if operation.is_form else "application/json"
    return {content: {"schema": schemas["request", operation]}}
