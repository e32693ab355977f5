"""OpenAI's audio requests: forms in every spelling."""

import base64

import httpx
import pytest
from openai.types.audio import TranscriptionSegment, TranscriptionVerbose
from starlette.applications import Starlette
from starlette.routing import Route

from serve.apis.model_client import ModelClient, with_errors
from serve.apis.openai.audio import Audio
from serve.apis.openai.errors import openai_error
from serve.apis.openai.subtitles import srt, vtt
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


SEGMENT = {
    "id": 0, "seek": 0, "start": 0.3, "end": 6.9, "text": " Hello you.", "tokens": [1, 2], "temperature": 0.0,
    "avg_logprob": -0.2, "compression_ratio": 1.1, "no_speech_prob": 0.01,
}  # fmt: skip
CHUNKS = [{"text": " Hello", "timestamp": [0.3, 1.0]}, {"text": " you.", "timestamp": [1.0, 6.9]}]
ANSWER = {"text": " Hello you.", "segments": [SEGMENT], "chunks": CHUNKS, "language": "english", "duration": 7.1}


async def sent(*fields: tuple[str, str], task: str | None = None) -> tuple[httpx.Response, dict[str, object]]:
    """The response to a form with these fields, and the parameters that the task got."""
    replicas = Replicas(answer=ANSWER)
    handler = with_errors(Audio(ModelClient(TABLE, replicas, LIMITS.body), task), openai_error)
    app = Starlette(routes=[Route("/", handler, methods=["POST"])])
    parts = [(name, (None, value)) for name, value in (("model", MODEL), *fields)]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        response = await client.post("/", files=[*parts, ("file", ("a.wav", FILE))])
    return response, replicas.bodies[0]["parameters"] if replicas.bodies else {}


async def test_verbose_json_has_the_fields_of_openais_type() -> None:
    response, parameters = await sent(("response_format", "verbose_json"))
    assert parameters == {"segments": True}
    verbose = TranscriptionVerbose.model_validate_json(response.content, strict=True)
    assert (verbose.duration, verbose.language, verbose.text) == (7.1, "english", "Hello you.")
    assert verbose.segments == [TranscriptionSegment.model_validate(SEGMENT)]
    assert verbose.words is None


@pytest.mark.parametrize("name", ["timestamp_granularities[]", "timestamp_granularities"])
@pytest.mark.parametrize(
    ("granularities", "has_words", "has_segments"),
    [(["word"], True, False), (["segment"], False, True), (["word", "segment"], True, True)],
)
async def test_granularities(name: str, granularities: list[str], has_words: bool, has_segments: bool) -> None:
    response, parameters = await sent(("response_format", "verbose_json"), *((name, each) for each in granularities))
    assert parameters == {"segments": True} | ({"return_timestamps": "word"} if has_words else {})
    verbose = TranscriptionVerbose.model_validate_json(response.content)
    assert bool(verbose.segments) is has_segments
    words = [(word.word, word.start, word.end) for word in verbose.words or ()]
    assert words == ([("Hello", 0.3, 1.0), ("you.", 1.0, 6.9)] if has_words else [])


async def test_the_other_fields_reach_the_task() -> None:
    fields = (("prompt", "Dashwood"), ("language", "en"), ("temperature", "0.4"), ("chunking_strategy", "auto"))
    _, parameters = await sent(*fields)
    expected = {"prompt": "Dashwood", "language": "en", "temperature": 0.4, "long_form": "speech"}
    assert parameters == expected
    _, parameters = await sent(("chunking_strategy", '{"type": "server_vad"}'), ("temperature", "0"), task="translate")
    assert parameters == {"long_form": "speech", "task": "translate"}
    _, parameters = await sent(("temperature[]", "0"), ("temperature[]", "0.2"))
    assert parameters == {"temperature": [0, 0.2]}


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (("chunking_strategy", '{"type": "server_vad", "threshold": 0.9}'), "chunking_strategy"),
        (("chunking_strategy", "never"), "chunking_strategy"),
        (("timestamp_granularities[]", "letter"), "timestamp_granularities"),
        (("temperature", "warm"), "temperature"),
    ],
)
async def test_a_field_that_is_wrong_is_named(field: tuple[str, str], message: str) -> None:
    response, _ = await sent(field)
    assert response.status_code in (400, 422)
    assert message in response.json()["error"]["message"]


async def test_subtitles_are_made_of_the_segments() -> None:
    response, parameters = await sent(("response_format", "srt"))
    assert parameters == {"segments": True}
    assert response.text == "1\n00:00:00,300 --> 00:00:06,900\nHello you.\n"


def test_cues_are_in_order_of_some_length_and_not_empty() -> None:
    segments = [
        {"start": 1.0, "end": 2.0, "text": " One\n\ntwo & three"},
        {"start": 2.0, "end": 2.5, "text": "  "},
        {"start": 0.5, "end": 0.5, "text": "four --> five"},
    ]
    assert srt(segments) == (
        "1\n00:00:01,000 --> 00:00:02,000\nOne two & three\n\n2\n00:00:01,000 --> 00:00:01,100\nfour --> five\n"
    )
    assert vtt(segments) == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nOne two &amp; three\n\n"
        "00:00:01.000 --> 00:00:01.100\nfour --&gt; five\n"
    )
