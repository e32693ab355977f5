"""The document covers every route, and every reference in it leads somewhere."""

from typing import Any

from deployments.registry import KINDS, TASKS
from serve.openapi import openapi
from serve.routes import RouteTable

DOCUMENT = openapi(RouteTable((f"model-{number}", kind) for number, kind in enumerate(KINDS)))


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


def test_every_reference_leads_somewhere() -> None:
    found = references(DOCUMENT)
    assert found
    for reference in found:
        assert reference.removeprefix("#/components/schemas/") in DOCUMENT["components"]["schemas"], reference


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
