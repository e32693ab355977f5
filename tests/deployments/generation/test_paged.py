"""transformers' continuous batching behind the engine's face: the same text, fewer options, nothing left behind."""

import asyncio

import pytest

from deployments.config import ModelConfig
from deployments.errors import InvalidInput, LoadError, ServiceError
from deployments.registry import task_of
from deployments.replica.replica import Replica
from serve.model.endpoint import render
from tests.waiting import PATIENCE_S, until_async
from tests.writing_checkpoints import writing_checkpoint

CACHE = 256


def replica_of(folder, engine="paged"):
    generation = {"engine": engine, "max_cache_tokens": CACHE}
    config = ModelConfig.model_validate(
        {"model": str(folder), "name": "small", "device": "cpu", "generation": generation}
    )
    replica = Replica(config, task_of(config))
    replica.load()
    return replica


def request_of(replica, text="The river rose", *, stream=False, **parameters):
    return replica.task_class.request.model_validate({"inputs": text, "stream": stream, "parameters": parameters})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return writing_checkpoint(tmp_path_factory.mktemp("paged"), "llama")


@pytest.fixture(scope="module")
def replica(folder):
    replica = replica_of(folder)
    yield replica
    replica.stop()


@pytest.fixture
def engine(replica):
    return replica._scheduler._engine


async def test_many_say_what_our_engine_says(folder, replica):
    ours = replica_of(folder, "auto")
    answers = []
    for each in (replica, ours):
        asked = [request_of(each, "river " * n, max_new_tokens=3 + 2 * n, do_sample=False) for n in range(1, 9)]
        answers.append(
            [answer.body for answer in await asyncio.gather(*(each.predict(r, render, PATIENCE_S) for r in asked))]
        )
    ours.stop()
    assert answers[0] == answers[1]
    assert replica.description["generation"]["mode"] == "paged"


async def test_a_stream_ends_at_a_stop_string(replica, engine):
    whole = [
        e
        async for e in replica.stream(request_of(replica, stream=True, max_new_tokens=20, do_sample=False), PATIENCE_S)
    ]
    text = whole[-1]["generated_text"]
    assert "".join(event["token"]["text"] for event in whole) == text
    asked = request_of(replica, stream=True, max_new_tokens=20, do_sample=False, stop=[text[4:6]])
    events = [event async for event in replica.stream(asked, PATIENCE_S)]
    assert events[-1]["generated_text"] == text[: text.find(text[4:6])]
    assert events[-1]["details"]["finish_reason"] == "stop_sequence"
    assert engine.running == 0


async def test_drawn_tokens_are_possible_ones(replica):
    texts = set()
    for _ in range(4):
        answer = await replica.predict(
            request_of(replica, max_new_tokens=8, temperature=1.5, top_k=20), render, PATIENCE_S
        )
        texts.add(answer.body)
    assert len(texts) > 1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"seed": 3, "do_sample": True}, "seed: not supported with generation.engine: paged"),
        ({"repetition_penalty": 1.2}, "repetition_penalty: not supported"),
        ({"num_beams": 2}, "num_beams: not supported"),
        ({"max_new_tokens": 5000}, "this model's maximum context length is 256"),
    ],
)
async def test_what_it_cannot_do_is_refused(replica, engine, parameters, message):
    with pytest.raises(InvalidInput, match=message):
        await replica.predict(request_of(replica, **parameters), render, PATIENCE_S)
    assert engine.running == 0


async def test_a_client_that_leaves_and_a_deadline_free_their_rows(replica, engine):
    leaving = asyncio.create_task(replica.predict(request_of(replica, max_new_tokens=200), render, PATIENCE_S))
    await until_async(lambda: engine.running)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert engine.running == 0
    with pytest.raises(ServiceError, match="time"):
        await replica.predict(request_of(replica, max_new_tokens=200), render, 0.05)
    assert engine.running == 0


async def test_stopping_answers_what_is_under_way(folder):
    replica = replica_of(folder)
    asked = asyncio.create_task(replica.predict(request_of(replica, max_new_tokens=200), render, PATIENCE_S))
    await until_async(lambda: replica._scheduler._engine.running)
    await asyncio.to_thread(replica.stop)
    with pytest.raises(ServiceError, match="shutting down"):
        await asked


@pytest.mark.parametrize(("family", "options"), [("t5", {}), ("gpt2", {"repetition_penalty": 1.3})])
def test_a_checkpoint_that_needs_more_does_not_load(tmp_path, family, options):
    folder = writing_checkpoint(tmp_path, family, **options)
    with pytest.raises(LoadError, match="paged"):
        replica_of(folder)
