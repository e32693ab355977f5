"""Spans of requests over HTTP: the caller's trace goes on, and the gateway's goes on in a replica."""

import logging
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from deployments.errors import Overloaded
from deployments.registry import find_task
from deployments.telemetry.logs import FIELDS
from deployments.telemetry.measurements import Answer
from deployments.telemetry.observer import Observer
from serve.http.messages import Headers, Receive, Scope, Send, send_json
from serve.http.request_context import current_context
from serve.middleware.access_log import model_request_logger
from serve.middleware.request_context import RequestContextMiddleware
from serve.middleware.tracing import RequestSpans
from serve.routes import Route
from serve.upstream.replicas import Reply, StreamedReply
from serve.upstream.traced import TracedReplicas
from tests.spans import KeptSpans

ROUTE = Route("small", find_task("feature-extraction"), is_default=True)
ANSWER = Answer(b"{}", 0.001, 0.002, 0.003, 0.004, 4, 0.25, truncated=0, tokens=(7, 5), items=2)
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
SENT = {"traceparent": f"00-{TRACE}-{CALLER}-01", "tracestate": "vendor=1", "authorization": "Bearer sk-secret"}


async def post(app: Any, path: str, headers: dict[str, str] | None = None, method: str = "POST") -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, path, headers=headers or {}, json={"inputs": "a secret text"})


def app_of(kept: KeptSpans, status: int) -> RequestContextMiddleware:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        current_context().answer = ANSWER if status == 200 else None
        await send_json(send, status, b"{}", [])

    spans = RequestSpans(kept.tracer, ROUTE.paths)
    return RequestContextMiddleware(app, on_end=model_request_logger(Observer(), ROUTE), spans=spans)


async def test_a_replica_goes_on_with_the_callers_trace(caplog: pytest.LogCaptureFixture) -> None:
    kept = KeptSpans()
    with caplog.at_level(logging.INFO, logger="serve.requests"):
        await post(app_of(kept, 200), "/tasks/feature-extraction/small", SENT | {"x-request-id": "mine"})
    (span,) = kept.spans
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, CALLER)
    assert span.context.trace_state.to_header() == "vendor=1"
    assert (span.name, span.kind.name) == ("POST /tasks/feature-extraction/small", "SERVER")
    assert span.attributes == {
        "http.request.method": "POST",
        "url.path": "/tasks/feature-extraction/small",
        "url.scheme": "http",
        "http.route": "/tasks/feature-extraction/small",
        "http.response.status_code": 200,
        "automodel.request_id": "mine",
        "gen_ai.request.model": "small",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 5,
        "automodel.items": 2,
        "automodel.batch.rows": 4,
        "automodel.padding_ratio": 0.25,
    }
    (line,) = [getattr(record, FIELDS) for record in caplog.records if record.name == "serve.requests"]
    assert (line["trace_id"], line["span_id"]) == (TRACE, f"{span.context.span_id:016x}")


@pytest.mark.parametrize(("status", "error"), [(422, None), (429, None), (503, "503")])
async def test_what_is_our_fault_is_an_error(status: int, error: str | None) -> None:
    kept = KeptSpans()
    await post(app_of(kept, status), "/tasks/feature-extraction")
    (span,) = kept.spans
    assert span.parent is None
    assert (span.attributes["http.response.status_code"], span.attributes.get("error.type")) == (status, error)
    assert (span.status.status_code.name == "ERROR") is (error is not None)


async def test_a_traceparent_that_is_none_begins_a_trace() -> None:
    kept = KeptSpans()
    for wrong in ("", "00-0-0-00", "nonsense", f"00-{'0' * 32}-{CALLER}-01", f"ff-{TRACE}-{CALLER}-01"):
        await post(app_of(kept, 200), "/tasks/feature-extraction", {"traceparent": wrong})
    assert [span.parent for span in kept.spans] == [None] * 5


async def test_what_only_describes_is_not_traced() -> None:
    kept = KeptSpans()
    await post(app_of(kept, 200), "/tasks/feature-extraction", SENT, method="GET")
    assert kept.spans == []


class Replicas:
    """Hears what replicas would."""

    def __init__(self, status: int = 200, error: Exception | None = None) -> None:
        self.heard: Headers = []
        self._status, self._error = status, error

    async def request(self, route: Route, method: str, headers: Headers, body: bytes, below: str = "") -> Reply:
        self.heard = headers
        if self._error is not None:
            raise self._error
        return Reply(self._status, [], b"{}")

    async def stream(self, route: Route, method: str, headers: Headers, body: bytes, below: str = "") -> StreamedReply:
        self.heard = headers

        async def pieces() -> AsyncGenerator[bytes, None]:
            yield b"a"
            yield b"b"

        return StreamedReply(200, [], pieces())


def gateway_of(kept: KeptSpans, replicas: Replicas, *, streams: bool = False) -> RequestContextMiddleware:
    upstream = TracedReplicas(replicas)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = list(scope["headers"])
        scope["route"] = type("Matched", (), {"path": "/models/{model}{below:below}"})()
        if streams:
            streamed = await upstream.stream(ROUTE, "POST", headers, b"")
            assert [piece async for piece in streamed.chunks] == [b"a", b"b"]
            status = streamed.status
        else:
            status = (await upstream.request(ROUTE, "POST", headers, b"")).status
        await send_json(send, status, b"{}", [])

    return RequestContextMiddleware(
        app, on_end=lambda scope, context: None, spans=RequestSpans(kept.tracer), timing_name=b"gateway"
    )


@pytest.mark.parametrize("streams", [False, True])
async def test_a_replica_goes_on_below_what_the_gateway_asked(streams: bool) -> None:
    kept, replicas = KeptSpans(), Replicas()
    await post(gateway_of(kept, replicas, streams=streams), "/models/small", SENT)
    asked, came = kept.spans
    assert (came.name, came.attributes["http.route"]) == ("POST /models/{model}{below}", "/models/{model}{below}")
    assert (asked.name, asked.kind.name) == ("embeddings small", "CLIENT")
    assert asked.parent.span_id == came.context.span_id
    assert asked.attributes == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "automodel-serve",
        "gen_ai.request.model": "small",
        "automodel.task": "feature-extraction",
        "http.response.status_code": 200,
    }
    told = [(name, value) for name, value in replicas.heard if name.startswith(b"trace")]
    own = f"00-{TRACE}-{asked.context.span_id:016x}-01"
    assert told == [(b"traceparent", own.encode()), (b"tracestate", b"vendor=1")]
    assert (b"authorization", b"Bearer sk-secret") in replicas.heard
    assert "secret" not in "".join(span.to_json() for span in kept.spans)


async def test_what_a_replica_refuses_and_what_never_reached_one() -> None:
    kept = KeptSpans()
    await post(gateway_of(kept, Replicas(429)), "/models/small")
    assert kept.spans[0].attributes["error.type"] == "429"
    await post(gateway_of(kept, Replicas(error=Overloaded("a secret"))), "/models/small")
    assert kept.spans[2].attributes["error.type"] == "overloaded"
    assert "secret" not in "".join(span.to_json() for span in kept.spans)


async def test_what_is_asked_outside_of_a_traced_request() -> None:
    replicas = Replicas()
    await TracedReplicas(replicas).request(ROUTE, "POST", [(b"a", b"b")], b"")
    assert replicas.heard == [(b"a", b"b")], "asked without a request, such as over gRPC"
