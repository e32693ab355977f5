"""The document covers every route, and every reference in it leads somewhere."""

import re
from typing import Any

from starlette.routing import Route

from deployments.registry import FORMS, KINDS, TASKS
from serve.apis.huggingface import operations as huggingface
from serve.apis.huggingface.paths import PIPELINE, VIEWS, BelowModel
from serve.config.service import embedded_config
from serve.gateway.app import Gateway
from serve.gateway.openapi import openapi
from serve.http.errors import JSONResponse
from serve.routes import RouteTable, route_table

NOT_TOLD = {"/docs", "/openapi.json", "/playground", "/metrics"}
FORMS_OF_TASKS = [form for forms in FORMS.values() for form in forms]
DOCUMENT = openapi(RouteTable((f"model-{number}", kind) for number, kind in enumerate([*KINDS, *FORMS_OF_TASKS])))


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [r for value in node.values() for r in references(value)]
    return [r for value in node for r in references(value)] if isinstance(node, list) else []


def test_every_way_to_every_model_is_documented() -> None:
    for number, kind in enumerate(KINDS):
        own = [f"/tasks/{kind.name}"] if kind is TASKS[kind.name] else []  # a task's first model has the short path
        for path in (*own, f"/tasks/{kind.name}/model-{number}", f"/models/model-{number}"):
            operation = DOCUMENT["paths"][path]["post"]
            content = operation["requestBody"]["content"]["application/json"]
            assert content["example"] == kind.example
            assert {"200", "400", "404", "413", "415", "422", "429", "503", "504"} <= operation["responses"].keys()


def test_the_tokens_of_every_model_are_documented() -> None:
    for number, kind in enumerate(KINDS):
        for below, answers in (("tokenize", "TokenOfText"), ("decode", "string")):
            operation = DOCUMENT["paths"][f"/tasks/{kind.name}/model-{number}/{below}"]["post"]
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            assert answers in str(schema)


def test_the_document_can_be_sent() -> None:
    assert JSONResponse(DOCUMENT).body


def test_every_route_of_the_gateway_is_documented() -> None:
    """But for pages and what scrapes; and the ways to a model, which the document tells model by model."""
    routes = Gateway(route_table(embedded_config()), embedded_config()).__serve_build_asgi_app__().routes
    asked = {
        (route.path, verb.lower())
        for route in routes
        if isinstance(route, Route) and "{below:below}" not in route.path
        for verb in (route.methods or set()) - {"HEAD"}
    }
    told = {(path, verb) for path, verbs in DOCUMENT["paths"].items() for verb in verbs}
    assert {path for path, _ in asked - told} == NOT_TOLD
    assert {path for path, _ in told - asked if not path.startswith(("/tasks/", "/models/"))} == set()


def test_what_is_documented_below_a_model_is_what_the_gateway_hands_on() -> None:
    documented = [operation.path.removeprefix(huggingface.MODEL) for operation in huggingface.OPERATIONS]
    assert all(re.fullmatch(BelowModel.regex, below) for below in documented)
    assert {below.removeprefix(PIPELINE) for below in documented if below.startswith(PIPELINE)} == VIEWS.keys()


def test_only_what_a_served_model_can_answer_is_documented() -> None:
    paths = openapi(RouteTable([("words", TASKS["text-classification"])]))["paths"]
    assert {"/predict", "/rerank", "/v2/models/{model}/infer", "/models/{model}/info"} <= paths.keys()
    assert not {"/v1/chat/completions", "/embed", "/v2/models/{model}/generate"} & paths.keys()
    (model,) = paths["/models/{model}/pipeline/zero-shot-classification"]["post"]["parameters"]
    assert (model["name"], model["in"], model["schema"]["enum"]) == ("model", "path", ["words"])


def test_an_upload_and_a_stream_are_documented_as_such() -> None:
    upload = DOCUMENT["paths"]["/v1/audio/transcriptions"]["post"]["requestBody"]["content"]
    assert upload.keys() == {"multipart/form-data"}
    form = DOCUMENT["components"]["schemas"]["AudioRequest"]
    assert form["properties"]["file"] | {"title": ""} == {"type": "string", "format": "binary", "title": ""}
    assert set(form["required"]) == {"file", "model"}
    chat = DOCUMENT["paths"]["/v1/chat/completions"]["post"]["responses"]
    assert chat["200"]["content"].keys() == {"application/json", "text/event-stream"}
    assert "OpenAIError" in str(chat["429"])


def test_every_reference_leads_somewhere() -> None:
    found = references(DOCUMENT)
    assert found
    for reference in found:
        _, components, kind, name = reference.split("/")
        assert name in DOCUMENT[components][kind], reference


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
