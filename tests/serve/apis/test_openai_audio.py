"""OpenAI's audio requests: forms in every spelling."""

import base64

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from serve.apis.model_client import ModelClient, with_errors
from serve.apis.openai.audio import Audio
from serve.apis.openai.errors import openai_error
from tests.open_inference_service import LIMITS, TABLE, Replicas

FILE = bytes(range(256))
MODEL = "speech-recognition-seq2seq-audio"


def form(head: str) -> bytes:
    model = f'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n{MODEL}\r\n'
    return f"{model}--x\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + FILE + b"\r\n--x--\r\n"


async def post(replicas: Replicas, body: bytes, content_type: str) -> httpx.Response:
    handler = with_errors(Audio(ModelClient(TABLE, replicas, LIMITS.body)), openai_error)
    app = Starlette(routes=[Route("/", handler, methods=["POST"])])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.post("/", content=body, headers={"content-type": content_type})


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=x", "Multipart/Form-Data; boundary=x"])
@pytest.mark.parametrize(
    "head", ['name="file"; filename="a.wav"', 'name="file"', 'name="file"\r\nContent-Type: audio/wav']
)
async def test_the_file_of_a_form(head: str, content_type: str) -> None:
    replicas = Replicas(answer={"text": " Hello."})
    answer = await post(replicas, form(head), content_type)
    assert (answer.status_code, answer.json()) == (200, {"text": "Hello."})
    assert base64.b64decode(replicas.bodies[0]["inputs"]) == FILE


async def test_another_type_is_refused() -> None:
    answer = await post(Replicas(), b"{}", "application/json")
    assert answer.status_code == 415
    assert answer.json()["error"]["message"] == "expected multipart/form-data, not application/json"
