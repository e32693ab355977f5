"""What a collector is sent by a running service: the way of a request from the gateway through a batch, and back."""

import asyncio
import secrets

import httpx
import pytest

from tests.service.configured import EVERYTHING, bearer
from tests.service.running import RunningService
from tests.spans import Collector, Spanned

pytestmark = pytest.mark.ray

SECRET = "zebra crossing"
STAGES = ["preprocess", "queue", "forward", "postprocess"]


@pytest.fixture
def traced(configured: RunningService) -> RunningService:
    return configured


def post(service: RunningService, path: str, bodies: list[dict[str, object]]) -> list[str]:
    """Ask all at once, each as part of a trace of its own; the traces' ids, in order."""
    traces = [secrets.token_hex(16) for _ in bodies]

    async def all_of_them() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:
            key = bearer(EVERYTHING)
            headers = [{"traceparent": f"00-{trace}-00f067aa0ba902b7-01", **key} for trace in traces]
            return await asyncio.gather(
                *(client.post(path, json=body, headers=sent) for body, sent in zip(bodies, headers, strict=True))
            )

    assert {answer.status_code for answer in asyncio.run(all_of_them())} == {200}
    return traces


def of(spans: list[Spanned], trace: str) -> dict[tuple[str, str], Spanned]:
    return {(span.kind, span.name): span for span in spans if span.trace == trace}


def one(spans: dict[tuple[str, str], Spanned], kind: str, beginning: str) -> Spanned:
    (found,) = [span for (is_a, name), span in spans.items() if is_a == kind and name.startswith(beginning)]
    return found


def whole(collector: Collector, traces: list[str], count: int) -> list[Spanned]:
    """All spans, once each of the traces has so many and the batches that they lead to have come."""

    def is_whole(spans: list[Spanned]) -> bool:
        ids = {span.span for span in spans}
        led_to = {span for each in spans if each.trace in traces for _, span in each.links}
        return all(len(of(spans, trace)) == count for trace in traces) and led_to <= ids

    return collector.wait_for(is_whole)


def check_batches(spans: list[Spanned], servers: dict[str, Spanned]) -> None:
    """Each request leads to its batches and is led to from each; `servers` are the replica's spans by trace."""
    batches = {(span.trace, span.span): span for span in spans if span.name == "batch"}
    for trace, server in servers.items():
        stages = [of(spans, trace)["internal", name] for name in STAGES]
        assert {stage.parent for stage in stages} == {server.span}
        assert [stage.began for stage in stages] == sorted(stage.began for stage in stages)
        forward = stages[2]
        assert forward.links
        for link in forward.links:
            assert (server.trace, server.span) in batches[link].links
            assert batches[link].parent == ""
    ours = [span for span in batches.values() if any(trace in servers for trace, _ in span.links)]
    assert sum(span.attributes["automodel.batch.rows"] for span in ours) == len(servers)
    assert max(len(span.links) for span in ours) > 1, "some went through the model together"
    assert all(0 <= span.attributes["automodel.padding_ratio"] < 1 for span in ours)


def test_requests_through_the_gateway(traced: RunningService, collector: Collector) -> None:
    bodies: list[dict[str, object]] = [{"inputs": f"{SECRET} [MASK] {number}."} for number in range(24)]
    traces = post(traced, "/models/bert%2Dtiny", bodies)  # which HAProxy does not decode, and so does not know
    spans = whole(collector, traces, 7)
    servers = {}
    for trace in traces:
        own = of(spans, trace)
        gateway = one(own, "server", "POST /models/{model}")
        asked = one(own, "client", "fill-mask bert-tiny")
        server = servers[trace] = one(own, "server", "POST /tasks/fill-mask/bert-tiny")
        assert (gateway.parent, asked.parent, server.parent) == ("00f067aa0ba902b7", gateway.span, asked.span)
        assert gateway.process == asked.process != server.process
        assert gateway.began <= asked.began <= server.began <= server.ended <= asked.ended <= gateway.ended
        for span in (gateway, server):
            assert span.attributes["http.response.status_code"] == 200
            assert span.attributes["automodel.request_id"] == gateway.attributes["automodel.request_id"]
        assert server.attributes["gen_ai.request.model"] == "bert-tiny"
        assert server.attributes["gen_ai.usage.input_tokens"] > 0
    check_batches(spans, servers)


def test_requests_to_a_replica_itself(traced: RunningService, collector: Collector) -> None:
    bodies: list[dict[str, object]] = [{"inputs": f"{SECRET} [MASK] {number}."} for number in range(24)]
    traces = post(traced, "/tasks/fill-mask", bodies)
    spans = whole(collector, traces, 5)
    servers = {trace: one(of(spans, trace), "server", "POST /tasks/fill-mask") for trace in traces}
    assert {server.parent for server in servers.values()} == {"00f067aa0ba902b7"}
    check_batches(spans, servers)


@pytest.mark.parametrize("path", ["/v1/completions", "/tasks/text-generation"])
def test_streams(traced: RunningService, collector: Collector, path: str) -> None:
    own = {"inputs": SECRET, "parameters": {"max_new_tokens": 8, "min_new_tokens": 8}}
    body = {"model": "llama", "prompt": SECRET, "max_tokens": 8} if path.startswith("/v1") else own
    (trace,) = post(traced, path, [body | {"stream": True}])
    spans = of(whole(collector, [trace], 5), trace)
    server = one(spans, "server", f"POST {path}")
    assert server.attributes["gen_ai.operation.name"] == "text_completion"
    assert 1 <= server.attributes["gen_ai.usage.output_tokens"] <= 8
    first = server.events["automodel.first_token"]["gen_ai.response.time_to_first_chunk"]
    assert 0 < first < (server.ended - server.began) / 1e9
    assert first == server.attributes["gen_ai.response.time_to_first_chunk"]


def test_no_span_has_inputs_or_keys(traced: RunningService, collector: Collector) -> None:
    assert len(collector.requests) > 0
    sent = b"".join(request.SerializeToString() for request in collector.requests)
    assert SECRET.encode() not in sent
    assert EVERYTHING.encode() not in sent


def test_the_end_sends_what_is_left_and_leaves_no_process(traced: RunningService, collector: Collector) -> None:
    (trace,) = post(traced, "/models/bert-tiny", [{"inputs": f"{SECRET} [MASK]"}])
    assert traced.stop() == 0
    assert len(of(collector.spans, trace)) == 5
    assert traced.left == []
    assert "Traceback" not in traced.log.read_text()
