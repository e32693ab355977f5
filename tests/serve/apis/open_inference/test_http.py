"""The protocol's routes over HTTP, asked in memory: JSON, the binary extension, compression, and every bad request."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from deployments.errors import ServiceError
from serve.apis.open_inference.body import read_request
from serve.apis.open_inference.routes import open_inference_routes
from serve.middleware.content_encoding import ContentEncodingMiddleware
from tests.open_inference_service import LIMITS, TABLE, Service

CLASSES = "/v2/models/text-classification-text"
LABELS = [[{"label": "high", "score": 0.75}, {"label": "low", "score": 0.25}]]
TEXT = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}


@pytest.fixture
def service() -> Service:
    service = Service()
    service.replicas.answer = LABELS
    return service


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=open_inference_routes(service.client, service.inference))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


def triton_body(outputs: list[InferRequestedOutput] | None = None, **options: Any) -> tuple[bytes, dict[str, str]]:
    """What Triton's client sends of a text and a parameter as a tensor."""
    text, most = InferInput("text", [1], "BYTES"), InferInput("top_k", [1], "INT32")
    text.set_data_from_numpy(np.array([b"a"], object))
    most.set_data_from_numpy(np.array([2], np.int32))
    body, length = InferenceServerClient.generate_request_body([text, most], outputs=outputs, **options)
    return body, {} if length is None else {"Inference-Header-Content-Length": str(length)}


async def test_what_the_server_says_of_itself(client: httpx.AsyncClient) -> None:
    server = (await client.get("/v2")).json()
    assert server["name"] == "automodel-serve"
    assert "binary_tensor_data" in server["extensions"]
    assert (await client.get("/v2/models")).json() == {"models": [route.model for route in TABLE.routes]}
    assert (await client.get("/v2/health/live")).json() == {"live": True}
    not_ready = await client.get("/v2/health/ready")
    assert (not_ready.status_code, not_ready.json()) == (503, {"ready": False})
    for path, status in ((CLASSES, 200), (CLASSES + "/versions/1", 200), (f"/v2/models/{TABLE.routes[-1].model}", 503)):
        assert (await client.get(path + "/ready")).status_code == status
    index = (await client.post("/v2/repository/index")).json()
    assert [model["name"] for model in index] == [route.model for route in TABLE.routes]
    assert index[-1] == {"name": TABLE.routes[-1].model, "version": "1", "state": "LOADING", "reason": "weights"}
    ready = (await client.post("/v2/repository/index", json={"ready": True})).json()
    assert ready == index[:-1]
    wrong = await client.post("/v2/repository/index", json={"ready": "soon"})
    assert (wrong.status_code, "ready: should be a valid boolean" in wrong.json()["error"]) == (422, True)


async def test_metadata_is_what_the_model_answers_to_its_example(service: Service, client: httpx.AsyncClient) -> None:
    for path in (CLASSES, CLASSES + "/versions/1"):
        assert (await client.get(path)).json() == {
            "name": "text-classification-text",
            "versions": ["1"],
            "platform": "transformers_text-classification",
            "inputs": [
                {"name": "text", "datatype": "BYTES", "shape": [-1]},
                {"name": "text_pair", "datatype": "BYTES", "shape": [-1], "parameters": {"optional": True}},
                {"name": "json", "datatype": "BYTES", "shape": [-1], "parameters": {"optional": True}},
            ],
            "outputs": [
                {"name": "label", "datatype": "BYTES", "shape": [-1, -1]},
                {"name": "score", "datatype": "FP32", "shape": [-1, -1]},
                {"name": "json", "datatype": "BYTES", "shape": [-1]},
            ],
        }
    assert len(service.replicas.bodies) == 1  # asked once, then known
    service.replicas.answer = [[0.5] * 8]
    outputs = (await client.get("/v2/models/feature-extraction-text")).json()["outputs"]
    assert outputs[0] == {"name": "embedding", "datatype": "FP32", "shape": [-1, 8]}


async def test_json_in_and_out(service: Service, client: httpx.AsyncClient) -> None:
    asked = {"id": "7", "inputs": [TEXT], "parameters": {"function_to_apply": "none"}, "outputs": [{"name": "score"}]}
    answer = await client.post(CLASSES + "/infer", json=asked, headers={"authorization": "Bearer k", "timeout": "5"})
    assert answer.json() == {
        "model_name": "text-classification-text",
        "model_version": "1",
        "id": "7",
        "outputs": [{"name": "score", "datatype": "FP32", "shape": [1, 2], "data": [0.75, 0.25]}],
    }
    assert service.replicas.bodies == [{"inputs": ["a"], "parameters": {"function_to_apply": "none"}}]
    assert (service.replicas.sent[0]["authorization"], service.replicas.sent[0]["timeout"]) == ("Bearer k", "5")


async def test_bytes_in_and_out_as_tritons_client_has_them(service: Service, client: httpx.AsyncClient) -> None:
    body, headers = triton_body()
    answer = await client.post(CLASSES + "/infer", content=body, headers=headers)
    assert service.replicas.bodies == [{"inputs": ["a"], "parameters": {"top_k": 2}}]
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers["Inference-Header-Content-Length"])
    result = InferenceServerClient.parse_response_body(answer.content, header_length=length)
    assert result.as_numpy("label").tolist() == [[b"high", b"low"]]
    assert result.as_numpy("score").tolist() == [[0.75, 0.25]]


async def test_each_output_goes_as_it_says(client: httpx.AsyncClient) -> None:
    outputs = [InferRequestedOutput("label", binary_data=False), InferRequestedOutput("score", binary_data=True)]
    body, headers = triton_body(outputs)
    answer = await client.post(CLASSES + "/infer", content=body, headers=headers)
    head = orjson.loads(answer.content[: int(answer.headers["Inference-Header-Content-Length"])])
    assert head["outputs"] == [
        {"name": "label", "datatype": "BYTES", "shape": [1, 2], "data": ["high", "low"]},
        {"name": "score", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}},
    ]


async def test_a_body_may_be_packed(service: Service) -> None:
    app = Starlette(routes=open_inference_routes(service.client, service.inference))
    transport = httpx.ASGITransport(ContentEncodingMiddleware(app, LIMITS.body.size))
    body, headers = triton_body()
    headers["content-encoding"] = "gzip"
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post(CLASSES + "/infer", content=gzip.compress(body), headers=headers)
        assert answer.status_code == 200
        assert service.replicas.bodies[0]["inputs"] == ["a"]
        damaged = await client.post(CLASSES + "/infer", content=gzip.compress(body)[:-9], headers=headers)
        assert damaged.status_code == 400
        assert damaged.json() == {"error": "the body's gzip data is incomplete"}


async def test_a_timeout_of_the_request_ends_it(service: Service, client: httpx.AsyncClient) -> None:
    service.replicas.wait_s = 60
    answer = await client.post(CLASSES + "/infer", json={"inputs": [TEXT], "parameters": {"timeout": 20_000}})
    assert (answer.status_code, answer.json()) == (504, {"error": "no answer within the request's timeout of 0.02 s"})
    assert service.replicas.cancelled.is_set()


async def test_an_error_of_the_model_is_passed_on(service: Service, client: httpx.AsyncClient) -> None:
    service.replicas.status = 429
    service.replicas.headers = [(b"retry-after", b"3")]
    service.replicas.answer = {"error": "the line is full", "error_type": "overloaded", "request_id": "r"}
    answer = await client.post(CLASSES + "/infer", json={"inputs": [TEXT]})
    assert (answer.status_code, answer.json()) == (429, {"error": "the line is full"})
    assert answer.headers["retry-after"] == "3"


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        (b"{", 400, "the body is not JSON"),
        (b"[]", 422, "body: should be a valid dictionary"),
        ({}, 422, "inputs: is missing"),
        ({"inputs": []}, 422, "inputs: text missing"),
        ({"inputs": [TEXT], "output": []}, 422, "output: unknown field"),
        ({"inputs": [TEXT | {"shape": [-1]}]}, 422, "inputs[0].shape[0]: should be greater than or equal to 0"),
        ({"inputs": [TEXT | {"shape": [2]}]}, 422, "input 'text': 1 elements in data, but the shape [2] has 2"),
        ({"inputs": [TEXT | {"datatype": "STRING"}]}, 422, "input 'text': unknown datatype 'STRING'"),
        ({"inputs": [TEXT | {"data": [1]}]}, 422, "its datatype is BYTES, so data should contain strings"),
        ({"inputs": [TEXT | {"data": None}]}, 422, "input 'text': data is missing"),
        ({"inputs": [TEXT | {"name": "texts"}]}, 422, "input 'texts': unknown; did you mean 'text'?"),
        ({"inputs": [TEXT | {"parameters": {"binary_data_size": 1}}]}, 422, "has both data and binary_data_size"),
        (
            {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 9}}]},
            400,
            "input 'text': binary_data_size is 9, but 0 bytes are left",
        ),
        (
            {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": "9"}}]},
            422,
            "input 'text': binary_data_size should be a number of bytes",
        ),
        (
            {
                "inputs": [
                    {"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"shared_memory_region": "r"}}
                ]
            },
            422,
            "input 'text': shared memory is not supported",
        ),
        ({"inputs": [TEXT], "outputs": [{"name": "scores"}]}, 422, "output 'scores': does not exist"),
        (
            {"inputs": [TEXT], "outputs": [{"name": "score", "parameters": {"classification": 2}}]},
            422,
            "output 'score': unknown parameter 'classification'",
        ),
        (
            {"inputs": [TEXT], "outputs": [{"name": "score", "parameters": {"binary_data": 1}}]},
            422,
            "parameter 'binary_data': should be true or false",
        ),
        ({"inputs": [TEXT], "parameters": {"binary_data_output": "yes"}}, 422, "'binary_data_output': should be true"),
    ],
)
async def test_what_is_wrong_is_said(client: httpx.AsyncClient, asked: Any, status: int, message: str) -> None:
    content = asked if isinstance(asked, bytes) else orjson.dumps(asked)
    answer = await client.post(CLASSES + "/infer", content=content)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert message in answer.json()["error"]


async def test_wrong_lengths_and_names(client: httpx.AsyncClient) -> None:
    body, headers = triton_body()
    for length in ("0", "-1", "x", str(len(body) + 1)):
        answer = await client.post(
            CLASSES + "/infer", content=body, headers={"Inference-Header-Content-Length": length}
        )
        assert answer.status_code == 400
        assert "Inference-Header-Content-Length" in answer.json()["error"]
    more = await client.post(CLASSES + "/infer", content=body + b"x", headers=headers)
    assert (more.status_code, more.json()["error"]) == (400, "1 extra bytes after the tensors")
    for path in ("/v2/models/text", "/v2/models/text/ready", CLASSES + "/versions/2", CLASSES + "/versions/2/ready"):
        answer = await client.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"].startswith("no ")
    assert (await client.post(CLASSES + "/infer", content=bytes(LIMITS.body.size + 1))).status_code == 413


async def test_generate(service: Service, client: httpx.AsyncClient) -> None:
    path = "/v2/models/text-generation-text"
    service.replicas.answer = [[{"generated_text": " went."}]]
    asked: dict[str, Any] = {"text_input": "They", "parameters": {"stream": False, "temperature": 0, "max_tokens": 3}}
    answer = await client.post(path + "/generate", json=asked)
    assert answer.json() == {"model_name": "text-generation-text", "model_version": "1", "text_output": " went."}
    assert service.replicas.bodies == [{"inputs": ["They"], "parameters": {"max_new_tokens": 3, "do_sample": False}}]
    token = {"id": 1, "text": " went", "logprob": -0.5, "special": False}
    details = {"finish_reason": "length", "generated_tokens": 1, "tokens": [token]}
    service.replicas.answer = [[{"generated_text": " went", "details": details}]]
    detailed = (await client.post(path + "/generate", json=asked | {"details": True})).json()
    assert detailed["details"]["logprobs"] == [token]
    assert detailed["details"]["finish_reason"] == "length"
    service.replicas.answer = [[{"generated_text": "a"}, {"generated_text": "b"}]]
    several = await client.post(path + "/generate", json={"text_input": "They", "num_return_sequences": 2})
    assert several.json()["text_output"] == ["a", "b"]
    with_picture = {"text_input": "what?", "image": "aaaa"}
    await client.post("/v2/models/image-to-text-image/versions/1/generate", json=with_picture)
    assert service.replicas.bodies[-1] == {"inputs": [{"image": "aaaa", "text": "what?"}]}


async def test_generate_stream(service: Service, client: httpx.AsyncClient) -> None:
    path = "/v2/models/text-generation-text/generate_stream"
    tokens = [{"id": 1, "text": text, "logprob": -0.5, "special": False} for text in (" went", ".")]
    service.replicas.events = [
        {"index": 1, "token": tokens[0], "generated_text": None, "details": None},
        {"index": 2, "token": tokens[1], "generated_text": " went.", "details": {"finish_reason": "length"}},
    ]
    answer = await client.post(path, json={"text_input": "They", "parameters": {"details": True, "stream": True}})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert service.replicas.bodies == [{"inputs": "They", "parameters": {"details": True}, "stream": True}]
    lines = answer.text.split("\n\n")
    assert lines[-1] == ""
    events = [orjson.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert [event["text_output"] for event in events] == [" went", "."]
    assert [event["details"]["finish_reason"] for event in events] == [None, "length"]
    assert {event["model_name"] for event in events} == {"text-generation-text"}
    service.replicas.events[1] = {"error": "out of time", "error_type": "deadline_exceeded", "request_id": "r"}
    several = await client.post(path, json={"text_input": "They", "parameters": {"num_return_sequences": 2}})
    assert several.status_code == 422
    broken = await client.post(path, json={"text_input": "They"})
    assert [orjson.loads(line[6:]) for line in broken.text.split("\n\n")[:-1]][1] == {"error": "out of time"}


@pytest.mark.parametrize(
    ("model", "asked", "status", "message"),
    [
        ("text-classification-text", {"text_input": "a"}, 422, "which generates no text; use /infer"),
        ("text-generation-text", {"text": "a"}, 422, "text_input: is missing"),
        ("text-generation-text", {"text_input": ["a"]}, 422, "text_input: should be a valid string"),
        ("text-generation-text", {"text_input": "a", "stream": True}, 422, "use /generate_stream"),
        ("text-generation", {"text_input": "a"}, 404, "no model 'text-generation'"),
    ],
)
async def test_what_cannot_be_written_is_said(
    client: httpx.AsyncClient, model: str, asked: Any, status: int, message: str
) -> None:
    answer = await client.post(f"/v2/models/{model}/generate", json=asked)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert message in answer.json()["error"]


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["text", "top_k", "json", "x"]) | JSONS,
        "shape": st.lists(st.integers(0, 3), max_size=3) | JSONS,
        "datatype": st.sampled_from(["BYTES", "FP32", "INT64"]) | JSONS,
        "data": JSONS,
        "parameters": st.dictionaries(st.sampled_from(["binary_data_size", "top_k"]), JSONS),
    },
)
BODIES = st.fixed_dictionaries(
    {"inputs": st.lists(PARTS, max_size=3)}, optional={"parameters": JSONS, "outputs": JSONS}
)


def outcome(content: bytes, length: str | None) -> int:
    """The status that reading a body ends with."""
    try:
        read_request(content, length)
    except ServiceError as error:
        return error.status
    return 200


@given(BODIES, st.binary(max_size=12), st.none() | st.integers(-2, 90).map(str))
def test_any_body_is_read_or_refused(body: Any, behind: bytes, length: str | None) -> None:
    content = json.dumps(body).encode()
    for said in (length, str(len(content))):
        assert outcome(content + behind, said) in (200, 400, 422)


async def test_a_client_that_leaves_ends_its_request(service: Service) -> None:
    service.replicas.wait_s = 60
    app = Starlette(routes=open_inference_routes(service.client, service.inference))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        asking = asyncio.create_task(client.post(CLASSES + "/infer", json={"inputs": [TEXT]}))
        await service.replicas.asked.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert service.replicas.cancelled.is_set()
