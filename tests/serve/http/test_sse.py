"""Streams of one model's ASGI application, called as a server calls it: events as they come, errors, and who leaves."""

import asyncio
import time
from typing import Any

import orjson
import pytest

from deployments.replica.limits import ReplicaLimits
from deployments.replica.replica import Replica
from serve.config.service import Limits, MediaSources
from serve.model.endpoint import Endpoint
from serve.routes import RouteTable
from tests.writing_checkpoints import Writing, ask

PATH = "/tasks/text-generation"
LONG = {"max_new_tokens": 4000, "min_new_tokens": 4000}  # no test waits for its end
FAMILIES = ("bloom", "mamba")  # in flight, and in static batches; neither counts positions

every_family = pytest.mark.parametrize("family", FAMILIES)


def app_of(replica: Replica, **limits: Any) -> Endpoint:
    table = RouteTable([("small", replica.task_class)])
    return Endpoint(replica, table.routes[0], Limits(**limits), MediaSources())


class Exchange:
    """One request and what is sent to it."""

    def __init__(self, replica: Replica, inputs: Any, limits: dict[str, Any] | None = None, **parameters: Any) -> None:
        body = {"inputs": inputs, "parameters": {"max_new_tokens": 8, **parameters}, "stream": True}
        self._body = orjson.dumps(body)
        self._app = app_of(replica, **(limits or {}))
        self.messages: list[Any] = []
        self.first = asyncio.Event()  # something of the body was sent
        self.fails = False  # what is sent from now on

    async def run(self) -> "Exchange":
        headers = [(b"content-type", b"application/json"), (b"x-request-id", b"mine")]
        scope = {"type": "http", "method": "POST", "path": PATH, "headers": headers}
        await self._app(scope, self._receive, self._send)
        return self

    async def _receive(self) -> Any:
        return {"type": "http.request", "body": self._body}

    async def _send(self, message: Any) -> None:
        if self.fails:
            raise BrokenPipeError
        self.messages.append(message)
        if message["type"] == "http.response.body":
            self.first.set()

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def error(self) -> Any:
        """Of an ordinary answer."""
        assert self.headers["content-type"] == "application/json"
        return orjson.loads(self.messages[1]["body"])

    @property
    def events(self) -> list[Any]:
        """Each is sent by itself."""
        bodies = [message["body"] for message in self.messages[1:]]
        assert bodies.pop() == b""
        assert all(body.startswith(b"data:") and body.endswith(b"\n\n") and body.count(b"\n") == 2 for body in bodies)
        return [orjson.loads(body.removeprefix(b"data:")) for body in bodies]


class Steps:
    """Counts the forwards of a replica's model, and raises at one of them."""

    def __init__(self, replica: Replica, failing: int | None = None) -> None:
        assert replica.task is not None
        self.count = 0
        self._failing = failing
        self._hook = replica.task.checkpoint.model.register_forward_pre_hook(self._step)

    def _step(self, *_: object) -> None:
        self.count += 1
        if self._failing is not None and self.count >= self._failing:
            raise RuntimeError("the model stumbles")

    def __enter__(self) -> "Steps":
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()


def is_idle(replica: Replica) -> bool:
    line: Any = replica._scheduler
    engine_is_idle = line._engine is None or (line._engine.running, line._engine.kv_slots) == (0, 0)
    return engine_is_idle and line.busy_since is None and not line._cancellations


async def until_idle(replica: Replica) -> None:
    end = time.monotonic() + 20
    while not is_idle(replica):
        assert time.monotonic() < end
        await asyncio.sleep(0.001)


@every_family
async def test_events_have_the_shape_of_tgis(writing: Writing, family: str) -> None:
    replica = writing.replica(family)
    exchange = await Exchange(replica, "The river rose", top_n_tokens=2).run()
    assert exchange.status == 200
    *events, last = exchange.events
    assert len(events) == 7
    for index, event in enumerate([*events, last], start=1):
        assert event["index"] == index
        assert event["token"].keys() == {"id", "text", "logprob", "special"}
        assert event["token"]["logprob"] <= 0
        assert len(event["top_tokens"]) == 2
    assert all((event["generated_text"], event["details"]) == (None, None) for event in events)
    assert last["generated_text"] == "".join(event["token"]["text"] for event in [*events, last])
    timings = last["details"].pop("timings")
    assert 0 < timings["first_token_s"] <= timings["total_s"]
    assert replica.task is not None
    read = len(replica.task.tokenizer("The river rose")["input_ids"])
    assert last["details"] == {"finish_reason": "length", "generated_tokens": 8, "input_length": read, "seed": None}


async def test_headers(writing: Writing) -> None:
    headers = (await Exchange(writing.replica("bloom"), "a").run()).headers
    timing = headers.pop("server-timing").split(", ")
    assert [part.split(";")[0] for part in timing] == ["queue", "preprocess", "forward", "postprocess", "total"]
    assert float(timing[2].removeprefix("forward;dur=")) > 0
    assert headers == {
        "x-batch-size": "1",
        "x-prompt-tokens": "2",  # the beginning of a text is one
        "x-padding-ratio": "0.000",
        "content-type": "text/event-stream",
        "cache-control": "no-cache",
        "x-accel-buffering": "no",
        "x-model": "small",
    }


async def test_a_stream_is_the_text_of_the_answer(writing: Writing) -> None:
    replica = writing.replica("bloom")
    for options in ({}, {"stop": ["e"]}, {"do_sample": True, "seed": 5}):
        parameters = {"max_new_tokens": 30, **options}
        *_, last = (await Exchange(replica, "我喜欢吃苹果。 🙂", **parameters).run()).events
        (answer,) = await asyncio.to_thread(ask, replica, "我喜欢吃苹果。 🙂", **parameters)
        assert last["generated_text"] == answer["generated_text"]
        assert last["details"]["seed"] == options.get("seed")


@every_family
async def test_events_come_while_the_model_writes(writing: Writing, family: str) -> None:
    replica = writing.replica(family)
    with Steps(replica) as steps:
        exchange = Exchange(replica, "The river", max_new_tokens=120, min_new_tokens=120)
        task = asyncio.create_task(exchange.run())
        await exchange.first.wait()
        assert steps.count < 60
        await task
        assert steps.count >= 120
    assert len(exchange.events) == 120


@every_family
@pytest.mark.parametrize(
    ("inputs", "parameters", "status", "message"),
    [
        ("", {}, 422, "inputs is empty"),
        (["a", ""], {}, 422, "inputs[1]: inputs is empty"),
        ("a", {"num_return_sequences": 2}, 422, "several texts need do_sample"),
        ("a", {"best_of": 2, "do_sample": True}, 422, "stream: the best texts are known only at the end"),
        ("a", {"temperature": -1.0}, 422, "temperature must be above 0"),
        ("a", {"max_tokens": 5}, 422, "parameters.max_tokens: unknown field"),
        (7, {}, 422, "inputs"),
    ],
)
async def test_an_error_before_the_first_event_is_an_ordinary_answer(
    writing: Writing, family: str, inputs: Any, parameters: dict[str, Any], status: int, message: str
) -> None:
    exchange = await Exchange(writing.replica(family), inputs, **parameters).run()
    assert exchange.status == status
    assert message in exchange.error["error"]
    assert exchange.error["request_id"] == "mine"
    assert writing.replica(family).in_flight == 0


@every_family
async def test_several_texts_are_told_as_they_come(writing: Writing, family: str) -> None:
    """Of two prompts with two texts each: every text is what the answer without a stream has."""
    replica, prompts = writing.replica(family), ["The river rose", "我喜欢 🙂"]
    options: dict[str, Any] = {"num_return_sequences": 2, "do_sample": True, "temperature": 1.5, "seed": 3}
    events = (await Exchange(replica, prompts, **options, max_new_tokens=12).run()).events
    answers = await asyncio.to_thread(ask, replica, prompts, **options, max_new_tokens=12)
    texts = [text["generated_text"] for item in answers for text in item]
    assert len(set(texts)) == 4
    for choice, text in enumerate(texts):
        own = [event for event in events if event["choice"] == choice]
        assert [event["index"] for event in own] == list(range(1, 13))
        assert "".join(event["token"]["text"] for event in own) == text == own[-1]["generated_text"]
        assert own[-1]["details"]["seed"] == 3 + choice % 2
        assert all(event["details"] is None for event in own[:-1])
    if family == "bloom":  # those in flight come together; drawn ones of static batches one after the other
        firsts = [[event["choice"] for event in events].index(choice) for choice in range(4)]
        assert max(firsts) < len(events) / 2


async def test_a_stream_has_no_partial_answers(writing: Writing) -> None:
    exchange = Exchange(writing.replica("bloom"), ["a", ""])
    exchange._body = orjson.dumps(orjson.loads(exchange._body) | {"partial": True})
    await exchange.run()
    assert (exchange.status, "partial: not supported for a stream" in exchange.error["error"]) == (422, True)


async def test_a_list_of_one_input_is_streamed(writing: Writing) -> None:
    replica = writing.replica("bloom")
    one, other = [await Exchange(replica, inputs).run() for inputs in (["a"], "a")]
    assert one.events[-1]["generated_text"] == other.events[-1]["generated_text"]


@every_family
async def test_what_fails_in_the_middle_is_an_event_and_harms_nobody_else(writing: Writing, family: str) -> None:
    replica = writing.replica(family)
    with Steps(replica, failing=6):
        exchange = await Exchange(replica, "The river", **LONG).run()
    assert exchange.status == 200
    *events, error = exchange.events
    assert 1 <= len(events) <= 6
    assert (error["error_type"], error["request_id"]) == ("forward_failed", "mine")
    await until_idle(replica)
    with Steps(replica, failing=1):
        refused = await Exchange(replica, "The river").run()
    assert (refused.status, refused.error["error_type"]) == (500, "forward_failed")
    assert (await Exchange(replica, "The river").run()).events[-1]["generated_text"]


@every_family
async def test_the_deadline_is_kept_before_and_inside_a_stream(writing: Writing, family: str) -> None:
    replica = writing.replica(family)
    early = await Exchange(replica, "a", {"request_timeout_s": 0.00001}, **LONG).run()
    assert (early.status, early.error["error_type"]) == (504, "deadline_exceeded")
    late = await Exchange(replica, "a", {"request_timeout_s": 0.4}, **LONG).run()
    assert late.status == 200
    *events, error = late.events
    assert events
    assert error["error_type"] == "deadline_exceeded"
    assert replica.in_flight == 0
    await until_idle(replica)


@every_family
@pytest.mark.parametrize("way", ["cancelled", "send fails"])
async def test_a_client_that_leaves_frees_its_row_within_a_step_or_two(
    writing: Writing, family: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Ray cancels the task; other servers fail to send."""
    replica = writing.replica(family)
    with Steps(replica) as steps:
        exchange = Exchange(replica, "The river", **LONG)
        task = asyncio.create_task(exchange.run())
        await exchange.first.wait()
        exchange.fails = way == "send fails"
        if way == "cancelled":
            task.cancel()
        await asyncio.wait([task])
        left = steps.count
        assert replica.in_flight == 0
        await until_idle(replica)
        assert steps.count - left <= 2
    assert task.cancelled() == (way == "cancelled")
    assert task.cancelled() or task.exception() is None
    assert not [record for record in caplog.records if record.name.startswith(("serve", "deployments"))]


async def test_some_of_many_leave_and_the_others_hear_everything(writing: Writing) -> None:
    replica = writing.replica("bloom")
    texts = [f"The river rose {word} times" for word in ("no", "two", "three", "four", "five", "six")]
    alone = [(await Exchange(replica, text, max_new_tokens=30).run()).events[-1]["generated_text"] for text in texts]
    stay = [Exchange(replica, text, max_new_tokens=30) for text in texts]
    leave = [Exchange(replica, text, **LONG) for text in texts]
    staying, leaving = ([asyncio.create_task(each.run()) for each in part] for part in (stay, leave))
    for exchange, task in zip(leave, leaving, strict=True):
        await exchange.first.wait()
        task.cancel()
    await asyncio.wait([*staying, *leaving])
    assert [exchange.events[-1]["generated_text"] for exchange in stay] == alone
    assert replica.in_flight == 0
    await until_idle(replica)


async def test_over_the_waiting_line_a_stream_is_refused(writing: Writing) -> None:
    replica = writing.replica("bloom")
    exchanges = [Exchange(replica, "a", **LONG) for _ in range(3)]
    usual, replica.limits = replica.limits, ReplicaLimits(max_waiting=2)
    try:
        tasks = [asyncio.create_task(exchange.run()) for exchange in exchanges]
        await tasks[2]
        assert (exchanges[2].status, exchanges[2].error["error_type"]) == (429, "overloaded")
        assert int(exchanges[2].headers["retry-after"]) >= 1
    finally:
        replica.limits = usual
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


@every_family
async def test_a_replica_that_ends_says_so_in_its_streams(writing: Writing, family: str) -> None:
    replica = writing.replica(family, {"name": "ending"})
    exchange = Exchange(replica, "The river", **LONG)
    task = asyncio.create_task(exchange.run())
    await exchange.first.wait()
    await asyncio.to_thread(replica.stop)
    await task
    assert exchange.events[-1]["error_type"] == "unavailable"
