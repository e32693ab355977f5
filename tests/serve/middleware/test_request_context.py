"""What is noted of a request: its id, its headers, its outcome, told once whatever becomes of it."""

import asyncio
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import orjson
import pytest
from ray.serve._private.logging_utils import redirected_print

from deployments.registry import find_task
from deployments.telemetry.logs import FIELDS, JsonLines, TextLines
from deployments.telemetry.measurements import Answer
from deployments.telemetry.model_meter import ModelMeter
from serve.cluster.haproxy_overload import REFUSED_BEFORE
from serve.http.messages import Receive, Scope, Send, header, send_json
from serve.http.request_context import RequestContext, current_context
from serve.http.sse import send_events
from serve.middleware.access_log import gateway_request_logger, model_request_logger
from serve.middleware.request_context import RequestContextMiddleware
from serve.routes import Route

ROUTE = Route("small", find_task("fill-mask"), is_default=True)
ANSWER = Answer(b"{}", 0.001, 0.002, 0.003, 0.004, 4, 0.25, truncated=0, tokens=(7, 5), items=2)
SECRET = "a text that nobody else may read"


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines() -> Iterator[Lines]:
    logger, kept = logging.getLogger("serve.requests"), Lines()
    before = logger.level
    logger.addHandler(kept)
    logger.setLevel(logging.INFO)
    yield kept
    logger.removeHandler(kept)
    logger.setLevel(before)


@pytest.fixture
def meter() -> ModelMeter:
    return ModelMeter("small", "fill-mask")


def app_of(meter: ModelMeter, inner: Any) -> RequestContextMiddleware:
    return RequestContextMiddleware(inner, on_end=model_request_logger(meter, ROUTE), headers=[(b"x-model", b"small")])


async def ask(app: Any, method: str = "POST", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        sent = {"authorization": "Bearer sk-key"} | headers
        return await client.request(method, "/tasks/fill-mask", json={"inputs": SECRET}, headers=sent)


def answers(status: int) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if status == 200:
            current_context().answer = ANSWER
        await send_json(send, status, b"{}", [])

    return app


def counted(meter: ModelMeter) -> dict[str, float]:
    return {
        series.labels[-1]: series.value
        for series in meter.meter.read()
        if series.metric.name == "automodel_requests_total" and series.value
    }


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "ok"),
        (401, "client_error"),
        (422, "client_error"),
        (429, "overloaded"),
        (500, "error"),
        (503, "unavailable"),
        (504, "expired"),
    ],
)
async def test_outcomes(meter: ModelMeter, lines: Lines, status: int, outcome: str) -> None:
    answer = await ask(app_of(meter, answers(status)))
    assert answer.headers["x-model"] == "small"
    assert answer.headers["server-timing"].startswith("total;dur=")
    assert counted(meter) == {outcome: 1}
    (line,) = lines.records
    assert getattr(line, FIELDS)["outcome"] == outcome
    assert line.levelname == ("WARNING" if status >= 500 else "INFO")


async def test_of_many_refusals_one_a_second_has_a_line(
    meter: ModelMeter, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("serve.middleware.access_log.time", SimpleNamespace(monotonic=lambda: now))
    refusing, answering = app_of(meter, answers(429)), app_of(meter, answers(200))
    for second in (0.0, 0.3, 0.9, 1.0, 1.1, 2.5):
        now = 100.0 + second
        await ask(refusing)
    await ask(answering)
    told = [getattr(line, FIELDS) for line in lines.records]
    assert [(line["status"], line.get("refused")) for line in told] == [(429, 1), (429, 3), (429, 2), (200, None)]
    assert counted(meter) == {"overloaded": 6, "ok": 1}
    assert " refused=3 " in TextLines().format(lines.records[1])


@pytest.mark.parametrize(("told", "before"), [("40", 40), ("0", 0), ("-4", 0), ("many", 0), ("9" * 40, 0)])
async def test_what_haproxy_refused_is_counted_and_told_of(
    meter: ModelMeter, lines: Lines, told: str, before: int
) -> None:
    await ask(app_of(meter, answers(429)), **{REFUSED_BEFORE: told})
    assert counted(meter) == {"overloaded": before + 1}
    (line,) = lines.records
    assert getattr(line, FIELDS)["refused"] == before + 1


async def test_a_line_says_all_but_what_was_asked(meter: ModelMeter, lines: Lines) -> None:
    await ask(app_of(meter, answers(200)), **{"x-request-id": "mine"})
    (record,) = lines.records
    text = JsonLines().format(record)
    line = orjson.loads(text)
    assert line.pop("time").endswith("Z")
    assert line.pop("total_ms") >= 0
    assert line == {
        "level": "info",
        "logger": "serve.requests",
        "message": "POST /tasks/fill-mask 200",
        "request_id": "mine",
        "model": "small",
        "task": "fill-mask",
        "method": "POST",
        "path": "/tasks/fill-mask",
        "status": 200,
        "outcome": "ok",
        "queue_ms": 1.0,
        "preprocess_ms": 2.0,
        "forward_ms": 3.0,
        "postprocess_ms": 4.0,
        "batch_rows": 4,
        "padding_ratio": 0.25,
        "items": 2,
        "tokens_in": 7,
        "tokens_out": 5,
        "bytes_in": len(orjson.dumps({"inputs": SECRET})),
        "bytes_out": 2,
    }
    for told in (text, TextLines().format(record)):
        assert SECRET not in told
        assert "sk-key" not in told
        assert "\n" not in told
    assert "small: POST /tasks/fill-mask 200 total_ms=" in TextLines().format(record)


async def test_an_exception_and_its_traceback_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.print", redirected_print)  # Ray Serve's, in every replica
    try:
        raise ValueError("what went wrong")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("serve", logging.ERROR, "", 0, "request %s failed", ("x",), info)
    line = orjson.loads(JsonLines().format(record))
    assert line["message"] == "request x failed"
    assert line["exception"].startswith("Traceback (most recent call last):\n  File ")
    assert line["exception"].endswith("\nValueError: what went wrong")


async def test_an_id_is_made_once_where_none_is_sent(meter: ModelMeter, lines: Lines) -> None:
    seen: list[str | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(header(scope, b"x-request-id"))
        await send_json(send, 200, b"{}", [])

    await ask(app_of(meter, app))
    assert seen == [getattr(lines.records[0], FIELDS)["request_id"]]
    assert len(seen[0] or "") == 32


async def test_what_only_describes_a_model_is_not_counted(meter: ModelMeter, lines: Lines) -> None:
    await ask(app_of(meter, answers(200)), "GET")
    assert not counted(meter)
    assert not lines.records


async def test_a_client_that_leaves(meter: ModelMeter) -> None:
    began = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        began.set()
        await asyncio.sleep(30)

    task = asyncio.create_task(ask(app_of(meter, app)))
    await began.wait()
    task.cancel()
    await asyncio.wait([task])
    assert counted(meter) == {"cancelled": 1}


async def test_what_an_application_throws(meter: ModelMeter) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("ours")

    await ask(app_of(meter, app))
    assert counted(meter) == {"error": 1}


async def test_a_stream_has_the_outcome_with_which_it_ends(meter: ModelMeter) -> None:
    async def events() -> Any:
        yield {"token": 1}
        raise ValueError("in the middle")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send_events(scope, send, events(), list)

    answer = await ask(app_of(meter, app))
    assert answer.status_code == 200
    assert counted(meter) == {"error": 1}


async def test_a_stream_whose_client_leaves(meter: ModelMeter) -> None:
    async def events() -> Any:
        yield {"token": 1}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def gone(message: Any) -> None:
            raise BrokenPipeError

        await send_events(scope, gone, events(), list)

    with pytest.raises(AssertionError):  # httpx misses an answer
        await ask(app_of(meter, app))
    assert counted(meter) == {"cancelled": 1}


async def test_the_gateway_adds_its_time_and_logs_what_it_refuses_itself(lines: Lines) -> None:
    told: list[RequestContext] = []

    async def passed_on(scope: Scope, receive: Receive, send: Send) -> None:
        status = 404 if scope["method"] == "GET" else 429
        headers = [(b"server-timing", b"queue;dur=1.00, total;dur=2.00"), (b"x-model", b"m")]
        await send_json(send, status, b"{}", headers if status == 429 else [])

    app = RequestContextMiddleware(
        passed_on, on_end=gateway_request_logger(lambda scope, context, s: told.append(context)), timing_name=b"gateway"
    )
    timing = (await ask(app)).headers["server-timing"]
    assert [part.split(";")[0] for part in timing.split(", ")] == ["queue", "total", "gateway"]
    await ask(app, "GET")
    assert [context.status for context in told] == [429, 404]
    assert [getattr(record, FIELDS)["status"] for record in lines.records] == [404]
