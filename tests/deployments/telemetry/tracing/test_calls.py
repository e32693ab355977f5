"""What spans say of calls and batches of a replica, without HTTP."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from deployments.batching.job import Job
from deployments.config import ModelConfig
from deployments.errors import DeadlineExceeded, ForwardFailed, InvalidInput, ServiceError
from deployments.replica.replica import Replica
from deployments.tasks.text_classification import TextClassification
from tests.checkpoints import small_checkpoint
from tests.spans import KeptSpans
from tests.writing_checkpoints import Writing, request_of

SECRET = "zebra crossing"
NOT_SAMPLED = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}


class Moody(TextClassification):
    """Fails on long texts, once it is loaded."""

    fails = False

    def forward(self, rows: Any, params: Any) -> Any:
        if self.fails and any(row.length > 100 for row in rows):
            raise RuntimeError(SECRET)
        return super().forward(rows, params)


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    folder = small_checkpoint(tmp_path_factory.mktemp("small"), "bert", "SequenceClassification")
    made = Replica(ModelConfig(model=str(folder), name="small"), Moody)
    made.load()
    yield made
    made.stop()


@pytest.fixture
def kept(replica: Replica) -> Iterator[KeptSpans]:
    made = KeptSpans()
    replica.observer.tracer = made.tracer
    yield made
    replica.observer.tracer = None


def classify(text: Any) -> Any:
    return TextClassification.request.model_validate({"inputs": text})


async def traced(replica: Replica, kept: KeptSpans, requests: list[Any], **headers: str) -> list[Any]:
    """The outcomes of requests that are all under way at once, each with a span of its own."""

    async def one(request: Any) -> Any:
        trace = kept.tracer.request("request", headers, {})
        try:
            return await replica.predict(request, lambda value: orjson.dumps(str(value)), 60, trace)
        except ServiceError as error:
            return error
        finally:
            trace.end({})

    return list(await asyncio.gather(*map(one, requests)))


def links(span: Any) -> set[int]:
    return {link.context.span_id for link in span.links}


def below(kept: KeptSpans, request: Any) -> dict[str, Any]:
    return {s.name: s for s in kept.spans if s.parent is not None and s.parent.span_id == request.context.span_id}


async def test_a_batch_leads_to_its_requests_and_each_of_them_to_it(replica: Replica, kept: KeptSpans) -> None:
    await traced(replica, kept, [classify(f"{SECRET} {number}") for number in range(12)])
    requests = {span.context.span_id: span for span in kept.named("request")}
    batches = {span.context.span_id: span for span in kept.named("batch")}
    assert len(requests) == 12
    assert set().union(*map(links, batches.values())) == requests.keys()
    assert sum(span.attributes["automodel.batch.rows"] for span in batches.values()) == 12
    for span_id, request in requests.items():
        parts = below(kept, request)
        assert list(parts) == ["preprocess", "queue", "forward", "postprocess"]
        times = [moment for part in parts.values() for moment in (part.start_time, part.end_time)]
        assert all(later - earlier > -1e6 for earlier, later in zip(times, times[1:], strict=False)), times
        (led_to,) = links(parts["forward"])
        assert span_id in links(batches[led_to])
        assert parts["forward"].attributes["automodel.batch.rows"] == batches[led_to].attributes["automodel.batch.rows"]
    assert all(span.parent is None for span in batches.values())


async def test_a_request_of_several_batches_leads_to_all(replica: Replica, kept: KeptSpans) -> None:
    many = classify([f"{SECRET} {'long ' * 90}"[:500] for number in range(40)])
    await traced(replica, kept, [many])
    (request,) = kept.named("request")
    batches = kept.named("batch")
    assert len(batches) > 1
    assert links(below(kept, request)["forward"]) == {span.context.span_id for span in batches}
    assert sum(span.attributes["automodel.batch.items"] for span in batches) == 40


async def test_failures_say_where_but_not_what(
    replica: Replica, kept: KeptSpans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Moody, "fails", True)
    failed, unreadable, fine = await traced(
        replica, kept, [classify(SECRET + " a b c d e" * 30), classify([]), classify("fine")]
    )
    assert isinstance(failed, ForwardFailed)
    assert isinstance(unreadable, InvalidInput)
    assert not isinstance(fine, ServiceError)
    by_stage = {
        (span.name, span.attributes.get("error.type")): span.status.description
        for span in kept.spans
        if "error.type" in span.attributes
    }
    assert ("forward", "forward_failed") in by_stage
    assert ("batch", "RuntimeError") in by_stage
    assert ("preprocess", "invalid_input") in by_stage
    assert not any(by_stage.values())
    assert SECRET not in "".join(span.to_json() for span in kept.spans)


def test_a_request_that_never_reaches_the_model_ends_in_the_queue(kept: KeptSpans) -> None:
    trace = kept.tracer.request("request", {}, {})
    call = trace.call()
    assert call is not None
    job = Job([], [], None, submitted=time.monotonic())
    call.failed([], DeadlineExceeded(SECRET))
    assert kept.spans == [], "it was not even read"
    call.failed([job], DeadlineExceeded(SECRET))
    (queue,) = kept.spans
    assert (queue.name, queue.attributes["error.type"]) == ("queue", "deadline_exceeded")


async def test_what_the_caller_does_not_keep_costs_no_spans(replica: Replica, kept: KeptSpans) -> None:
    await traced(replica, kept, [classify("fine")], **NOT_SAMPLED)
    assert kept.spans == []


async def test_a_share_of_the_requests_is_kept_and_the_batches_of_those(replica: Replica) -> None:
    kept = KeptSpans(0.5)
    replica.observer.tracer = kept.tracer
    await traced(replica, kept, [classify("fine") for _ in range(40)])
    replica.observer.tracer = None
    requests = {span.context.span_id for span in kept.named("request")}
    assert 5 < len(requests) < 35
    assert set().union(*map(links, kept.named("batch"))) == requests
    assert len(kept.named("forward")) == len(requests)


@pytest.mark.parametrize("engine", ["auto", "static"])
async def test_written_texts_say_when_they_began(writing: Writing, engine: str) -> None:
    replica, kept = writing.replica("llama", {"generation": {"engine": engine}}), KeptSpans()
    replica.observer.tracer = kept.tracer
    trace = kept.tracer.request("request", {}, {})
    events = [e async for e in replica.stream(request_of(replica, SECRET, stream=True), 60, trace=trace)]
    trace.end({})
    await traced(replica, kept, [request_of(replica, SECRET)])
    replica.observer.tracer = None
    assert len(events) > 1
    for request in kept.named("request"):
        (event,) = request.events
        assert event.name == "automodel.first_token"
        assert 0 < event.attributes["gen_ai.response.time_to_first_chunk"] < 60
        assert request.start_time < event.timestamp < request.end_time
        assert request.attributes["gen_ai.response.time_to_first_chunk"] > 0
        assert list(below(kept, request)) == ["preprocess", "queue", "forward", "postprocess"]
    assert len(kept.named("batch")) == (2 if engine == "static" else 0), "no span for a step of writing"


async def test_a_stream_that_nobody_hears_to_its_end(writing: Writing) -> None:
    replica, kept = writing.replica("llama"), KeptSpans()
    trace = kept.tracer.request("request", {}, {})
    stream = replica.stream(request_of(replica, SECRET, stream=True, max_new_tokens=100), 60, trace=trace)
    await anext(stream)
    await stream.aclose()
    trace.end({})
    (forward,) = kept.named("forward")
    assert forward.attributes["error.type"] == "unavailable"
    assert kept.named("request")[0].events[0].name == "automodel.first_token"
