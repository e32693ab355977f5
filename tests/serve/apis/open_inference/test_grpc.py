"""The protocol over gRPC, with Triton's own client and with the messages themselves: forms, keys, codes, time."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from serve.apis.open_inference.compile import compiled
from serve.apis.open_inference.grpc_server import start_server
from serve.apis.open_inference.grpc_service import GrpcService
from serve.apis.open_inference.protobuf import COMPILED, Messages
from serve.cluster.launch import StartError, cluster, free_port
from serve.middleware.api_keys import KeyRing, entry_of, new_key
from tests.open_inference_service import LIMITS, TABLE, Service

MODEL = "text-classification-text"
LABELS = [[{"label": "high", "score": 0.75}, {"label": "low", "score": 0.25}]]
KEY = new_key()
QUESTION, _ = Messages().methods()["ModelInfer"]


@pytest.fixture
def service() -> Service:
    service = Service()
    service.replicas.answer = LABELS
    return service


@pytest.fixture
def ring() -> KeyRing | None:
    return None


@pytest.fixture
async def address(service: Service, ring: KeyRing | None) -> AsyncIterator[str]:
    port = free_port()
    server = await start_server(GrpcService(service.inference, ring), "127.0.0.1", port, LIMITS)
    yield f"127.0.0.1:{port}"
    await server.stop(0)


@pytest.fixture
async def client(address: str) -> AsyncIterator[InferenceServerClient]:
    async with InferenceServerClient(address) as client:
        yield client


async def call(address: str, message: Any, **options: Any) -> Any:
    """`ModelInfer` with the message as it is."""
    _, answer = Messages().methods()["ModelInfer"]
    async with grpc.aio.insecure_channel(address) as channel:
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=type(message).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return await infer(message, **options)


def text(value: bytes = b"a") -> InferInput:
    tensor = InferInput("text", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([value], object))
    return tensor


def question(**tensor: Any) -> Any:
    message = QUESTION(model_name=MODEL)
    message.inputs.add(**({"name": "text", "datatype": "BYTES", "shape": [1]} | tensor))
    return message


def test_the_descriptors_are_those_of_the_protocol() -> None:
    assert compiled() == COMPILED.read_bytes(), "run `python -m serve.apis.open_inference.compile`"


async def test_what_the_server_says_of_itself(client: InferenceServerClient) -> None:
    assert await client.is_server_live()
    assert not await client.is_server_ready()  # the last model is loading
    assert await client.is_model_ready(MODEL, "1")
    assert not await client.is_model_ready(TABLE.routes[-1].model)
    server = await client.get_server_metadata(as_json=True)
    assert server["name"] == "automodel-serve"
    index = await client.get_model_repository_index(as_json=True)
    assert [entry["state"] for entry in index["models"]] == ["READY"] * (len(TABLE.routes) - 1) + ["LOADING"]
    metadata = await client.get_model_metadata(MODEL, as_json=True)
    assert [(tensor["name"], tensor["datatype"], tensor["shape"]) for tensor in metadata["inputs"]] == [
        ("text", "BYTES", ["-1"]),
        ("text_pair", "BYTES", ["-1"]),
        ("json", "BYTES", ["-1"]),
    ]


async def test_bytes_in_and_out(service: Service, client: InferenceServerClient) -> None:
    most = InferInput("top_k", [1], "INT64")
    most.set_data_from_numpy(np.array([2]))
    parameters = {"function_to_apply": "none", "truncate": True}
    result = await client.infer(
        MODEL, [text(), most], request_id="7", parameters=parameters, headers={"x-request-id": "mine", "timeout": "5"}
    )
    assert result.as_numpy("label").tolist() == [[b"high", b"low"]]
    assert result.as_numpy("score").tolist() == [[0.75, 0.25]]
    response = result.get_response()
    assert (response.model_name, response.model_version, response.id) == (MODEL, "1", "7")
    assert service.replicas.bodies == [{"inputs": ["a"], "parameters": parameters | {"top_k": 2}}]
    assert (service.replicas.sent[0]["x-request-id"], service.replicas.sent[0]["timeout"]) == ("mine", "5")


async def test_elements_of_the_message_in_and_out(service: Service, address: str) -> None:
    message = question(contents={"bytes_contents": [b"a"]})
    message.inputs.add(name="top_k", datatype="INT8", shape=[1], contents={"int_contents": [2]})
    message.outputs.add(name="score")
    answer = await call(address, message)
    assert service.replicas.bodies == [{"inputs": ["a"], "parameters": {"top_k": 2}}]
    assert not answer.raw_output_contents
    (output,) = answer.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("score", "FP32", [1, 2])
    assert list(output.contents.fp32_contents) == [0.75, 0.25]


@pytest.mark.parametrize(
    ("datatype", "contents", "value"),
    [
        ("BOOL", {"bool_contents": [True]}, True),
        ("INT16", {"int_contents": [-3]}, -3),
        ("INT64", {"int64_contents": [-(2**40)]}, -(2**40)),
        ("UINT8", {"uint_contents": [3]}, 3),
        ("UINT64", {"uint64_contents": [2**63]}, 2**63),
        ("FP32", {"fp32_contents": [0.5]}, 0.5),
        ("FP64", {"fp64_contents": [0.1]}, 0.1),
        ("BYTES", {"bytes_contents": [b"x"]}, "x"),
    ],
)
async def test_every_datatype_of_the_message(
    service: Service, address: str, datatype: str, contents: Any, value: Any
) -> None:
    message = question(contents={"bytes_contents": [b"a"]})
    message.inputs.add(name="top_k", datatype=datatype, shape=[1], contents=contents)
    await call(address, message)
    assert service.replicas.bodies[0]["parameters"] == {"top_k": value}
    assert type(service.replicas.bodies[0]["parameters"]["top_k"]) is type(value)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (question(), "input 'text': 0 elements in bytes_contents, but the shape [1] has 1"),
        (question(shape=[-1]), "input 'text': its shape [-1] is invalid"),
        (question(datatype="FP16"), "input 'text': FP16 is accepted in raw_input_contents only"),
        (question(datatype="INT8", contents={"int_contents": [300]}), "has a number out of range for INT8"),
        (question(name="texts", contents={"bytes_contents": [b"a"]}), "input 'texts': unknown"),
        (QUESTION(model_name=MODEL), "inputs: text missing"),
        (
            QUESTION(model_name=MODEL, raw_input_contents=[b"a"]),
            "raw_input_contents has 1 entries for 0 inputs",
        ),
    ],
)
async def test_a_wrong_message_is_an_invalid_argument(address: str, message: Any, told: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(address, message)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert told in str(caught.value.details())


async def test_names_that_are_not_there(client: InferenceServerClient) -> None:
    for asked in (client.infer("nowhere", [text()]), client.infer(MODEL, [text()], model_version="2")):
        with pytest.raises(InferenceServerException) as caught:
            await asked
        assert caught.value.status() == "StatusCode.NOT_FOUND"
    with pytest.raises(InferenceServerException) as caught:
        await client.load_model(MODEL)
    assert caught.value.status() == "StatusCode.UNIMPLEMENTED"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (413, "INVALID_ARGUMENT"),
        (415, "INVALID_ARGUMENT"),
        (422, "INVALID_ARGUMENT"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
    ],
)
async def test_a_models_error_has_its_code(service: Service, address: str, status: int, code: str) -> None:
    service.replicas.status = status
    service.replicas.headers = [(b"retry-after", b"3")]
    service.replicas.answer = {"error": "not now", "error_type": "x", "request_id": "r"}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(address, question(contents={"bytes_contents": [b"a"]}), metadata=(("x-request-id", "mine"),))
    assert (caught.value.code().name, caught.value.details()) == (code, "not now")
    assert dict(caught.value.trailing_metadata() or ()) == {"retry-after": "3", "x-request-id": "mine"}


async def test_the_clients_deadline_is_the_requests_time(service: Service, client: InferenceServerClient) -> None:
    await client.infer(MODEL, [text()], client_timeout=30)
    # gRPC rounds a time from ten seconds up to the next tenth before it sends it.
    assert 25 < float(service.replicas.sent[0]["timeout"]) <= 30.1
    service.replicas.wait_s = 60
    with pytest.raises(InferenceServerException) as caught:
        await client.infer(MODEL, [text()], client_timeout=0.3)
    assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    await asyncio.wait_for(service.replicas.cancelled.wait(), 30)


async def test_a_client_that_leaves_ends_its_request(service: Service, client: InferenceServerClient) -> None:
    service.replicas.wait_s = 60
    asking = asyncio.create_task(client.infer(MODEL, [text()]))
    await asyncio.wait_for(service.replicas.asked.wait(), 30)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await asyncio.wait_for(service.replicas.cancelled.wait(), 30)


async def test_a_message_over_the_limit_is_not_read(service: Service, client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException) as caught:
        await client.infer(MODEL, [text(bytes(LIMITS.body.size))])
    assert caught.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
    assert not service.replicas.bodies


async def test_metadata_over_the_limit_are_not_read(service: Service, client: InferenceServerClient) -> None:
    headers = {"authorization": "x" * int(2048 * LIMITS.max_header_kb)}
    with pytest.raises(InferenceServerException) as caught:
        await client.infer(MODEL, [text()], headers=headers)
    assert caught.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
    assert not service.replicas.bodies


async def test_a_port_in_use_is_refused(service: Service, address: str) -> None:
    with pytest.raises(RuntimeError):
        await start_server(GrpcService(service.inference, None), "127.0.0.1", int(address.rpartition(":")[2]), LIMITS)


async def test_a_gateway_listens_beside_the_one_whose_place_it_takes(service: Service) -> None:
    port = free_port()
    grpc_service = GrpcService(service.inference, None)
    old, new = [await start_server(grpc_service, "127.0.0.1", port, LIMITS, is_shared=True) for _ in range(2)]
    await old.stop(0)
    assert await call(f"127.0.0.1:{port}", question(contents={"bytes_contents": [b"a"]}))
    await new.stop(0)


def test_up_refuses_a_port_in_use_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(StartError, match=f"port {port} .* choose another with --grpc-port"),
            cluster("127.0.0.1", free_port(), grpc_port=port),
        ):
            pass
    with pytest.raises(StartError, match="is used for HTTP"), cluster("127.0.0.1", port, grpc_port=port):
        pass


class TestKeys:
    """With keys, every method asks for one but those of the health checks."""

    @pytest.fixture
    def ring(self, tmp_path: Path) -> KeyRing:
        path = tmp_path / "keys.yaml"
        path.write_text(f"keys:\n{entry_of('mine', KEY)}\n")
        return KeyRing(path)

    @pytest.mark.parametrize("headers", [None, {"authorization": "Bearer sk-wrong"}, {"authorization": KEY}])
    async def test_without_one(self, client: InferenceServerClient, headers: dict[str, str] | None) -> None:
        assert await client.is_server_live(headers=headers)
        assert not await client.is_server_ready(headers=headers)
        for asked in (
            client.infer(MODEL, [text()], headers=headers),
            client.is_model_ready(MODEL, headers=headers),
            client.get_server_metadata(headers=headers),
            client.get_model_metadata(MODEL, headers=headers),
            client.get_model_repository_index(headers=headers),
        ):
            with pytest.raises(InferenceServerException) as caught:
                await asked
            assert caught.value.status() == "StatusCode.UNAUTHENTICATED"

    async def test_with_one(self, service: Service, client: InferenceServerClient) -> None:
        headers = {"authorization": f"Bearer {KEY}"}
        assert await client.is_model_ready(MODEL, headers=headers)
        await client.infer(MODEL, [text()], headers=headers)
        assert service.replicas.sent[0]["authorization"] == f"Bearer {KEY}"  # the model asks once more
