"""OpenAI's own client against a real service: values, not only shapes."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from tests.service.running import RunningService

pytestmark = pytest.mark.ray
CHAT = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Who wrote the letter?"}]
TEMPLATED = "<s>system: Be short.</s><s>user: Who wrote the letter?</s><s>assistant: "
SERVED = ["llama", "t5", "ranker", "minilm", "spoken-digits-ctc", "prompt-injection"]
DIGITS = Path(__file__).parents[2] / "examples/media/digits.wav"


@pytest.fixture(scope="module")
def client(service: RunningService) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0)


def ask(service: RunningService, task: str, inputs: Any, **parameters: Any) -> Any:
    body = {"inputs": inputs} | ({"parameters": parameters} if parameters else {})
    return httpx.post(f"{service.url}/tasks/{task}", json=body, timeout=60).json()


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == SERVED
    assert client.models.retrieve("llama").id == "llama"


@pytest.mark.client("openai", "text-generation", "chat", call="chat.completions.create")
def test_a_chat_is_what_the_task_says(client: openai.OpenAI, service: RunningService) -> None:
    answer = client.chat.completions.create(
        model="llama", messages=CHAT, max_tokens=8, temperature=0, logprobs=True, top_logprobs=3
    )
    direct = ask(service, "text-generation", CHAT, max_new_tokens=8, do_sample=False, details=True)[0]
    choice = answer.choices[0]
    assert choice.message.content == direct["generated_text"]
    assert choice.finish_reason == "length"
    assert [token.logprob for token in choice.logprobs.content] == pytest.approx(
        [token["logprob"] for token in direct["details"]["tokens"]]
    )
    assert all(len(token.top_logprobs) == 3 for token in choice.logprobs.content)
    assert choice.logprobs.content[0].top_logprobs[0].logprob >= choice.logprobs.content[0].logprob
    assert answer.usage.prompt_tokens == direct["details"]["input_length"]
    assert (answer.usage.completion_tokens, answer.usage.total_tokens) == (8, answer.usage.prompt_tokens + 8)


@pytest.mark.client("openai", "streams", call="chat.completions.create(stream=True)")
def test_a_stream_has_the_same_text_and_ends_with_the_usage(client: openai.OpenAI) -> None:
    options: Any = {"model": "llama", "messages": CHAT, "max_tokens": 12, "temperature": 0}
    whole = client.chat.completions.create(**options)
    chunks = list(client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    *told, last = chunks
    assert "".join(chunk.choices[0].delta.content for chunk in told) == whole.choices[0].message.content
    assert told[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in told] == [None] * (len(told) - 1) + ["length"]
    assert (last.choices, last.usage) == ([], whole.usage)
    assert len({chunk.id for chunk in chunks}) == 1


async def test_the_client_without_threads(service: RunningService) -> None:
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key="none") as client:
        stream = await client.chat.completions.create(model="llama", messages=CHAT, max_tokens=5, stream=True)
        assert len([chunk async for chunk in stream]) == 5


def test_several_choices_and_a_seed(client: openai.OpenAI) -> None:
    options: Any = {"model": "llama", "messages": CHAT, "max_tokens": 10, "temperature": 1.2, "n": 3, "seed": 7}
    texts = [choice.message.content for choice in client.chat.completions.create(**options).choices]
    assert len(set(texts)) == 3
    assert [choice.message.content for choice in client.chat.completions.create(**options).choices] == texts


def test_a_stop_string_is_not_part_of_the_text(client: openai.OpenAI) -> None:
    options: Any = {"model": "llama", "messages": CHAT, "max_tokens": 12, "temperature": 0}
    text = client.chat.completions.create(**options).choices[0].message.content
    stop = text[4:6]
    answer = client.chat.completions.create(**options, stop=stop).choices[0]
    assert (answer.message.content, answer.finish_reason) == (text[: text.find(stop)], "stop")


@pytest.mark.client("openai", "text-generation", call="completions.create")
def test_completions_of_several_prompts(client: openai.OpenAI, service: RunningService) -> None:
    prompts = ["The river rose", "Paris is"]
    answer = client.completions.create(
        model="llama", prompt=prompts, max_tokens=6, temperature=0, echo=True, logprobs=2
    )
    for prompt, choice in zip(prompts, answer.choices, strict=True):
        direct = ask(service, "text-generation", prompt, max_new_tokens=6, do_sample=False)[0]["generated_text"]
        assert choice.text == prompt + direct
        assert choice.logprobs.text_offset[0] == len(prompt)
        assert len(choice.logprobs.token_logprobs) == 6
    pieces = client.completions.create(model="llama", prompt=prompts[:1], max_tokens=6, temperature=0, stream=True)
    assert prompts[0] + "".join(piece.choices[0].text for piece in pieces) == answer.choices[0].text
    chatted = client.completions.create(model="llama", prompt=TEMPLATED, max_tokens=1, temperature=0)
    assert chatted.choices[0].finish_reason == "length"


@pytest.mark.client("openai", "text2text-generation", call="completions.create")
def test_an_encoder_decoder_completes_too(client: openai.OpenAI, service: RunningService) -> None:
    answer = client.completions.create(model="t5", prompt="The river rose", max_tokens=6, temperature=0)
    direct = ask(service, "text2text-generation", "The river rose", max_new_tokens=6, do_sample=False)
    assert answer.choices[0].text == direct[0]["generated_text"]
    assert answer.usage.completion_tokens == 6


@pytest.mark.client("openai", "feature-extraction", call="embeddings.create")
@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_vectors(client: openai.OpenAI, service: RunningService, encoding: Any) -> None:
    texts = ["A man plays a guitar.", "Somebody makes music."]
    answer = client.embeddings.create(model="minilm", input=texts, encoding_format=encoding)
    vectors = [data.embedding for data in answer.data]
    if encoding == "base64":
        import base64

        vectors = [np.frombuffer(base64.b64decode(vector), "<f4") for vector in vectors]
    np.testing.assert_allclose(vectors, ask(service, "feature-extraction", texts), atol=1e-6)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > len(texts)
    assert len(client.embeddings.create(model="minilm", input="one", dimensions=8).data[0].embedding) == 8


@pytest.mark.client("openai", "speech-recognition-ctc", call="audio.transcriptions.create")
def test_speech(client: openai.OpenAI) -> None:
    def heard(form: Any) -> Any:
        with DIGITS.open("rb") as file:
            return client.audio.transcriptions.create(model="spoken-digits-ctc", file=file, response_format=form)

    assert heard("json").text == "three one four"
    assert heard("text") == "three one four\n"
    assert heard("srt").startswith("1\n00:00:00,040 --> 00:00:00,240\nthree\n\n2\n")
    assert heard("vtt").startswith("WEBVTT\n\n00:00:00.040 --> 00:00:00.240\nthree\n")
    assert [segment.text for segment in heard("verbose_json").segments] == ["three", "one", "four"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": "lama"}, openai.NotFoundError, "did you mean 'llama'"),
        ({"model": "minilm"}, openai.UnprocessableEntityError, "does feature-extraction, not chat"),
        ({"temperature": -1}, openai.UnprocessableEntityError, "temperature must be above 0"),
        ({"tools": []}, openai.UnprocessableEntityError, "tools: unknown field"),
        ({"messages": []}, openai.UnprocessableEntityError, "messages"),
        ({"n": 2, "stream": True}, openai.UnprocessableEntityError, "a stream has one choice"),
        ({"max_tokens": 100_000}, openai.UnprocessableEntityError, "more"),
        ({"messages": [CHAT[1], CHAT[0]]}, openai.UnprocessableEntityError, "the system speaks first"),
        ({"temperature": -1, "stream": True}, openai.UnprocessableEntityError, "temperature must be above 0"),
    ],
)
def test_errors_are_the_clients_own(client: openai.OpenAI, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        client.chat.completions.create(**({"model": "llama", "messages": CHAT, "max_tokens": 4} | options))
    assert set(caught.value.body) == {"message", "type", "param", "code"}


def test_a_client_that_leaves_a_stream_frees_its_row(client: openai.OpenAI, service: RunningService) -> None:
    for _ in range(20):  # more than run at once
        stream = client.completions.create(model="llama", prompt="The river", max_tokens=200, stream=True)
        next(iter(stream))
        stream.close()
    assert client.completions.create(model="llama", prompt="The river", max_tokens=2).usage.completion_tokens == 2
