"""The OpenAPI document of the whole service, from the tasks' request and response types."""

import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, TypeAdapter

from deployments.contract.task import Task
from serve.gateway.protocol_paths import event_stream, path_parameter, protocol_paths, protocol_tags, protocol_types
from serve.http.errors import ErrorAnswer
from serve.http.sse import EVENT_STREAM
from serve.model.tokens import OPERATIONS
from serve.routes import Route, RouteTable

Kind = type[Task[Any, Any]]


class PartialError(BaseModel):
    """In a partial answer: the error of the input in this place."""

    error: str
    error_type: str
    status: int


_STATUSES = {
    "400": "The body is not JSON.",
    "404": "No such model, task or path; the message names the nearest.",
    "408": "The body did not arrive in time.",
    "413": "Body, text or number of inputs over a limit.",
    "415": "A content type or kind of file that the task does not read.",
    "422": "JSON, but not a valid input; the message names the place and the problem.",
    "429": "Overloaded; `Retry-After` says when to retry.",
    "431": "The headers are over the limit.",
    "500": "The model failed on this input, or an internal error.",
    "502": "The replica ended before it had answered; retry.",
    "503": "The model is loading or shutting down.",
    "504": "No answer within the request's timeout.",
}
_HEADERS = {
    "x-request-id": "The request's id, as sent or generated.",
    "x-model": "The model that answered.",
    "x-batch-size": "Rows in the batch that answered.",
    "x-padding-ratio": "Share of padding in that batch.",
    "x-truncated-inputs": "Number of truncated inputs; absent if there are none.",
    "x-prompt-tokens": "Prompt tokens, for models with tokens; for a stream, the last event has them.",
    "x-generated-tokens": "Generated tokens, for models that generate.",
    "server-timing": "Milliseconds in queue, preprocess, forward, postprocess, and in total.",
}


class ErrorResponses:
    """Error responses by status. Each is in the document once, as there are hundreds of paths."""

    def __init__(self) -> None:
        self.responses: dict[str, Any] = {}

    def of(self, schema: Any) -> dict[str, Any]:
        """References to the responses whose body has this schema."""
        name = "Or".join(re.findall(r"/schemas/(\w+)", str(schema)))
        content = {"application/json": {"schema": schema}}
        self.responses |= {
            name + status: {"description": text, "content": content} for status, text in _STATUSES.items()
        }
        return {status: {"$ref": f"#/components/responses/{name}{status}"} for status in _STATUSES}


def openapi(table: RouteTable) -> dict[str, Any]:
    """The document: every path to every model, with the tasks' schemas."""
    kinds = list(dict.fromkeys(route.kind for route in table.routes))
    schemas, definitions = _schemas(kinds)
    errors = ErrorResponses()
    own = errors.of(schemas["error", ""])
    paths: dict[str, Any] = {}
    for route in table.routes:
        for path in route.paths:
            paths[path] = {"post": _operation(route, path, schemas, own)}
        for below in OPERATIONS:
            paths[route.path + below] = {"post": _token_operation(route, below, schemas, own)}
        by_name = f"/models/{route.model}"
        paths[by_name] = {"post": _operation(route, by_name, schemas, own)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "automodel-serve",
            "version": version("automodel-serve"),
            "description": "Every Hugging Face AutoModel task class behind one HTTP service.",
        },
        "tags": [{"name": name, "description": text} for name, text in (_tags(kinds) | protocol_tags()).items()],
        "paths": paths | protocol_paths(table, schemas, errors.of) | _service_paths(table, own),
        "components": {"schemas": definitions, "responses": errors.responses},
    }


def _tags(kinds: list[Kind]) -> dict[str, str]:
    """The description of each task; a task of several media has several classes."""
    texts: dict[str, list[str]] = {}
    for kind in kinds:
        texts.setdefault(kind.name, []).append(_first_line(kind.__doc__))
    return {name: " ".join(lines) for name, lines in texts.items()}


def _schemas(kinds: list[Kind]) -> tuple[Mapping[Any, Any], dict[str, Any]]:
    """The schema of each task's request and response, and the shared definitions with short names."""
    inputs: list[tuple[Any, Any, TypeAdapter[Any]]] = []
    for kind in kinds:
        inputs.append((("request", kind), "validation", TypeAdapter(kind.request)))
        inputs.append((("response", kind), "serialization", TypeAdapter(kind.response)))
        if kind.event_type is not None:
            inputs.append((("event", kind), "serialization", TypeAdapter(kind.event_type)))
    for below, operation in OPERATIONS.items():
        inputs.append((("request", below), "validation", TypeAdapter(operation.request)))
        inputs.append((("response", below), "serialization", TypeAdapter(operation.response)))
    inputs += protocol_types()
    inputs.append((("error", ""), "serialization", TypeAdapter(ErrorAnswer)))
    inputs.append((("partial", ""), "serialization", TypeAdapter(PartialError)))
    by_key, rest = TypeAdapter.json_schemas(inputs, ref_template="#/components/schemas/{model}")
    renamed = {key: _renamed(schema) for (key, _), schema in by_key.items()}
    return renamed, {_short(name): _renamed(schema) for name, schema in rest.get("$defs", {}).items()}


def _short(name: str) -> str:
    """`deployments__tasks__text_classification__Request` to `TextClassificationRequest`."""
    *modules, own = re.sub(r"^(deployments__(tasks__)?|serve__apis__)", "", name).split("__")
    return "_".join(modules).title().replace("_", "") + own


def _renamed(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: "#/components/schemas/" + _short(value.rsplit("/", 1)[-1]) if key == "$ref" else _renamed(value)
            for key, value in schema.items()
        }
    return [_renamed(part) for part in schema] if isinstance(schema, list) else schema


def _operation(route: Route, path: str, schemas: Mapping[Any, Any], errors: Mapping[str, Any]) -> dict[str, Any]:
    kind = route.kind
    headers = {name: {"description": text, "schema": {"type": "string"}} for name, text in _HEADERS.items()}
    return {
        "tags": [kind.name],
        "operationId": re.sub(r"\W+", "_", path.strip("/")),
        "summary": f"{kind.name} by {route.model}",
        "requestBody": {"required": True, "content": _bodies(kind, schemas)},
        "responses": {
            "200": {
                "description": _first_line(kind.__doc__),
                "headers": headers,
                "content": _answers(kind, schemas),
            },
            **errors,
        },
    }


def _token_operation(route: Route, below: str, schemas: Mapping[Any, Any], errors: Mapping[str, Any]) -> dict[str, Any]:
    """An operation below the model's own path."""
    path, summary = route.path + below, OPERATIONS[below].summary
    return {
        "tags": [route.task],
        "operationId": re.sub(r"\W+", "_", path.strip("/")),
        "summary": summary,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schemas["request", below]}},
        },
        "responses": {
            "200": {"description": summary, "content": {"application/json": {"schema": schemas["response", below]}}},
            **errors,
        },
    }


def _answers(kind: Kind, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    """JSON, and server-sent events if the task can stream."""
    answers: dict[str, Any] = {"application/json": {"schema": _partial(schemas["response", kind], schemas)}}
    if kind.event_type is not None:
        event = {"anyOf": [schemas["event", kind], schemas["error", ""]]}
        answers[EVENT_STREAM] = event_stream({"contentMediaType": "application/json", "contentSchema": event})
    return answers


def _partial(answer: Any, schemas: Mapping[Any, Any]) -> Any:
    """The same schema, with errors in place of single answers if it is a list."""
    if "anyOf" in answer:
        return answer | {"anyOf": [_partial(variant, schemas) for variant in answer["anyOf"]]}
    if answer.get("type") != "array" or "items" not in answer:
        return answer
    return answer | {"items": {"anyOf": [answer["items"], schemas["partial", ""]]}}


def _bodies(kind: Kind, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    """The request bodies: JSON, and for images and audio the file itself or a form."""
    bodies: dict[str, Any] = {"application/json": {"schema": schemas["request", kind], "example": kind.example}}
    if kind.medium != "text":
        file = {"type": "string", "format": "binary"}
        parameters = {
            "type": "string",
            "description": "The JSON body's `parameters`, as JSON; or each as a form field.",
        }
        form = {"type": "object", "properties": {"file": file, "parameters": parameters}, "required": ["file"]}
        bodies |= {f"{kind.medium}/*": {"schema": file}, "multipart/form-data": {"schema": form}}
    return bodies


def _service_paths(table: RouteTable, errors: Mapping[str, Any]) -> dict[str, Any]:
    pages = {
        "/": "The served models and links.",
        "/v1/models": "The models, as OpenAI's clients list them; each entry names its task.",
        "/health/live": "200 while the gateway answers.",
        "/health/ready": "200 if every model has a ready replica, else 503; the body has each model's state.",
    }
    answer: dict[str, Any] = {
        "200": {"description": "OK", "content": {"application/json": {"schema": {"type": "object"}}}}
    }
    paths: dict[str, Any] = {
        path: {
            "get": {"tags": ["service"], "summary": text, "operationId": path.strip("/") or "root", "responses": answer}
        }
        for path, text in pages.items()
    }
    one = {
        "tags": ["service"],
        "summary": "An entry of the list of models.",
        "operationId": "v1/models/one",
        "parameters": [path_parameter("model", [route.model for route in table.routes])],
        "responses": {**answer, **errors},
    }
    return paths | {"/v1/models/{model}": {"get": one}}


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0]
