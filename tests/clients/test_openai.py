"""OpenAI's own client against a real service: values, not only shapes."""

import base64
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
import numpy as np
import openai
import pytest
from pydantic import BaseModel, Field

from tests.service.running import RunningService

pytestmark = pytest.mark.ray
CHAT = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Who wrote the letter?"}]
TEMPLATED = "<s>system: Be short.</s><s>user: Who wrote the letter?</s><s>assistant: "
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {}}}
SERVED = ["llama", "t5", "ranker", "minilm", "spoken-digits-ctc", "prompt-injection", "nli", "llava"]
MEDIA = Path(__file__).parents[2] / "examples/media"
DIGITS, SPEECH, CAT = MEDIA / "digits.wav", MEDIA / "speech.ogg", MEDIA / "cat.jpg"


@pytest.fixture(scope="module")
def client(service: RunningService) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0)


def ask(service: RunningService, task: str, inputs: Any, **parameters: Any) -> Any:
    body = {"inputs": inputs} | ({"parameters": parameters} if parameters else {})
    return httpx.post(f"{service.url}/tasks/{task}", json=body, timeout=60).json()


def tokenized(service: RunningService, model: str, texts: list[str]) -> Any:
    return httpx.post(f"{service.url}/tokenize", json={"inputs": texts, "model": model}, timeout=60).json()


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
        read = len(tokenized(service, "llama", [prompt])[0])
        assert (choice.logprobs.text_offset[0], choice.logprobs.text_offset[read]) == (0, len(prompt))
        assert len(choice.logprobs.token_logprobs) == read + 6
        assert choice.logprobs.token_logprobs[0] is None
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


@pytest.mark.client("openai", "speech-recognition-seq2seq", call="audio.transcriptions.create")
def test_speech_that_is_written(embedded: RunningService) -> None:
    direct = httpx.post(
        f"{embedded.url}/tasks/speech-recognition-seq2seq",
        content=SPEECH.read_bytes(),
        headers={"content-type": "audio/ogg"},
        timeout=120,
    ).json()["text"]
    with (
        openai.OpenAI(base_url=f"{embedded.url}/v1", api_key="none", max_retries=0) as client,
        SPEECH.open("rb") as file,
    ):
        told = client.audio.transcriptions.create(model="whisper-tiny-en", file=file, response_format="verbose_json")
        file.seek(0)
        events = list(client.audio.transcriptions.create(model="whisper-tiny-en", file=file, stream=True))
    assert told.text == direct.strip() != ""
    assert [(segment.start, segment.end) for segment in told.segments] == [(0.0, 7.0)]
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == direct


@pytest.mark.client("openai", "image-to-text", call="chat.completions.create")
def test_a_chat_about_a_picture(client: openai.OpenAI, service: RunningService) -> None:
    picture = "data:image/jpeg;base64," + base64.b64encode(CAT.read_bytes()).decode()
    parts = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": "What is this?"}]
    messages: Any = [{"role": "user", "content": parts}]
    (direct,) = ask(service, "image-to-text", messages, max_new_tokens=6, do_sample=False)
    answer = client.chat.completions.create(model="llava", messages=messages, max_tokens=6, temperature=0)
    assert answer.choices[0].message.content == direct["generated_text"]
    assert answer.usage.completion_tokens == 6


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": "lama"}, openai.NotFoundError, "did you mean 'llama'"),
        ({"model": "minilm"}, openai.UnprocessableEntityError, "does feature-extraction, not chat"),
        ({"temperature": -1}, openai.UnprocessableEntityError, "temperature must be above 0"),
        ({"tools": [TOOL]}, openai.UnprocessableEntityError, "tools: is not available here"),
        ({"response_format": {"type": "xml"}}, openai.UnprocessableEntityError, "response_format.type"),
        ({"top_logprobs": 2}, openai.UnprocessableEntityError, "top_logprobs needs logprobs"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "nothing"}}}},
            openai.UnprocessableEntityError,
            "parameters.grammar",
        ),
        ({"messages": []}, openai.UnprocessableEntityError, "messages"),
        ({"n": 2, "stream": True}, openai.UnprocessableEntityError, "several texts need do_sample"),
        ({"max_tokens": 100_000}, openai.BadRequestError, "maximum context length is"),
        ({"messages": [CHAT[1], CHAT[0]]}, openai.UnprocessableEntityError, "the system speaks first"),
        ({"temperature": -1, "stream": True}, openai.UnprocessableEntityError, "temperature must be above 0"),
    ],
)
def test_errors_are_the_clients_own(client: openai.OpenAI, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        client.chat.completions.create(**({"model": "llama", "messages": CHAT, "max_tokens": 4} | options))
    assert set(caught.value.body) == {"message", "type", "param", "code"}


@pytest.mark.client("openai", "streams", call="chat.completions.create(stream=True, n=2)")
def test_several_choices_come_in_one_stream(client: openai.OpenAI) -> None:
    options: Any = {"model": "llama", "messages": CHAT, "max_tokens": 10, "temperature": 1.2, "n": 3, "seed": 7}
    whole = client.chat.completions.create(**options)
    chunks = list(client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    *told, last = chunks
    for choice in whole.choices:
        own = [chunk.choices[0] for chunk in told if chunk.choices[0].index == choice.index]
        assert "".join(piece.delta.content for piece in own) == choice.message.content
        assert [piece.delta.role for piece in own] == ["assistant"] + [None] * (len(own) - 1)
        assert own[-1].finish_reason == choice.finish_reason
    assert (last.choices, last.usage) == ([], whole.usage)
    order = [chunk.choices[0].index for chunk in told]
    assert sorted(order) != order, "they come together, not one after the other"


class Person(BaseModel):
    name: Literal["Anna", "Bert"]
    age: Annotated[int, Field(ge=0, le=150)]
    likes: Annotated[list[Literal["red", "green"]], Field(max_length=3)]


@pytest.mark.client("openai", "JSON schemas", call="chat.completions.parse")
def test_a_text_holds_to_a_schema(client: openai.OpenAI) -> None:
    """Random weights would never write JSON by themselves."""
    options: Any = {"model": "llama", "messages": CHAT, "max_tokens": 120, "temperature": 1.5, "seed": 3}
    answer = client.chat.completions.parse(**options, response_format=Person, n=2)
    people = [choice.message.parsed for choice in answer.choices]
    assert all(isinstance(person, Person) for person in people)
    schema = {"type": "json_schema", "json_schema": {"name": "person", "schema": Person.model_json_schema()}}
    pieces = client.chat.completions.create(**options, response_format=schema, stream=True)
    Person.model_validate_json("".join(piece.choices[0].delta.content for piece in pieces))
    anything = client.chat.completions.create(**options, response_format={"type": "json_object"})
    assert anything.choices[0].message.content.startswith("{")


@pytest.mark.client("openai", "token ids", call="completions.create(prompt=[[…]])")
def test_prompts_of_token_ids(client: openai.OpenAI, service: RunningService) -> None:
    prompts = ["The river rose", "Paris is"]
    ids = [[token["id"] for token in tokens] for tokens in tokenized(service, "llama", prompts)]
    options: Any = {"model": "llama", "max_tokens": 6, "temperature": 0}
    texts = [choice.text for choice in client.completions.create(prompt=prompts, **options).choices]
    answer = client.completions.create(prompt=ids, **options)
    assert [choice.text for choice in answer.choices] == texts
    assert answer.usage.prompt_tokens == sum(map(len, ids))
    assert client.completions.create(prompt=ids[0], **options).choices[0].text == texts[0]
    echoed = client.completions.create(prompt=ids, echo=True, logprobs=1, **options)
    assert [choice.text for choice in echoed.choices] == [p + t for p, t in zip(prompts, texts, strict=True)]
    assert [len(choice.logprobs.tokens) for choice in echoed.choices] == [len(each) + 6 for each in ids]
    pieces = list(client.completions.create(prompt=ids, echo=True, stream=True, **options))
    for index, choice in enumerate(echoed.choices):
        own = [piece.choices[0].text for piece in pieces if piece.choices[0].index == index]
        assert "".join(own) == choice.text


@pytest.mark.client("openai", "token ids", call="embeddings.create(input=[[…]])")
def test_vectors_of_token_ids(client: openai.OpenAI, service: RunningService) -> None:
    texts = ["A man plays a guitar.", "Somebody makes music."]
    ids = [[token["id"] for token in tokens] for tokens in tokenized(service, "minilm", texts)]
    expected = ask(service, "feature-extraction", texts)
    found = client.embeddings.create(model="minilm", input=ids)
    np.testing.assert_allclose([entry.embedding for entry in found.data], expected, atol=1e-6)
    assert found.usage.prompt_tokens == sum(map(len, ids))
    one = client.embeddings.create(model="minilm", input=ids[0]).data
    np.testing.assert_allclose([one[0].embedding], expected[:1], atol=1e-6)


def test_a_client_that_leaves_a_stream_frees_its_row(client: openai.OpenAI, service: RunningService) -> None:
    for _ in range(20):  # more than run at once
        stream = client.completions.create(model="llama", prompt="The river", max_tokens=200, stream=True)
        next(iter(stream))
        stream.close()
    assert client.completions.create(model="llama", prompt="The river", max_tokens=2).usage.completion_tokens == 2
