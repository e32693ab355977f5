"""One exposition made of what several nodes' agents say."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from prometheus_client.core import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from serve.gateway import merged_metrics
from serve.gateway.merged_metrics import MergedMetrics, _write, merge
from serve.gateway.metrics import api_of
from tests.quiet_server import QuietServer

RAY = 'Component="core_worker",NodeAddress="{node}",SessionName="s",Version="2.60.0",WorkerId="{worker}"'
SCOPE = 'otel_scope_name="ray",otel_scope_schema_url="",otel_scope_version=""'
MODEL = 'model="m",task="fill-mask"'


def said(node: str, worker: str, count: int) -> str:
    """What an agent says of one worker that has answered `count` requests, one of them in over 60 s."""
    ray = RAY.format(node=node, worker=worker)
    buckets = "".join(
        f'ray_automodel_request_seconds_bucket_total{{{ray},le="{le}",{MODEL},{SCOPE}}} {below}\n'
        for le, below in (("0.5", count - 1), ("10.0", count - 1), ("2.0", count - 1), ("+Inf", count))
    )
    return (
        "# HELP ray_automodel_requests_total Requests.\n# TYPE ray_automodel_requests_total counter\n"
        f'ray_automodel_requests_total{{{ray},{MODEL},outcome="ok",{SCOPE}}} {count}\n'
        "# HELP ray_automodel_request_seconds_bucket_total Time.\n"
        f"# TYPE ray_automodel_request_seconds_bucket_total counter\n{buckets}"
        f"ray_automodel_request_seconds_sum_total{{{ray},{MODEL},{SCOPE}}} {count * 1.5}\n"
        f"ray_automodel_request_seconds_count_total{{{ray},{MODEL},{SCOPE}}} {count}\n"
        f"# TYPE ray_automodel_waiting_rows gauge\n"
        f'ray_automodel_waiting_rows{{{ray},{MODEL},replica="{worker}",{SCOPE}}} 4\n'
        f"# TYPE ray_serve_num_router_requests_total counter\nray_serve_num_router_requests_total{{{ray}}} 7\n"
        f'# TYPE ray_node_mem_used gauge\nray_node_mem_used{{{ray},ip="{node}",{SCOPE}}} 1e9\n'
    )


def values(families: list[Family]) -> dict[tuple[str, str], float]:
    return {
        (sample.name, ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_workers_are_summed_and_nodes_are_told_apart() -> None:
    merged = merge(
        {"10.0.0.1:80": said("10.0.0.1", "a", 3) + said("10.0.0.1", "b", 4), "[fd::2]:80": said("x", "c", 5)}
    )
    found = values(merged)
    labels = "model=m,node={},outcome=ok,task=fill-mask"
    assert found["ray_automodel_requests_total", labels.format("10.0.0.1")] == 7
    assert found["ray_automodel_requests_total", labels.format("fd::2")] == 5
    assert found["ray_automodel_waiting_rows", "model=m,node=10.0.0.1,replica=a,task=fill-mask"] == 4
    assert found["ray_node_mem_used", "node=10.0.0.1"] == 1e9
    assert not any(name.startswith("ray_serve_num_router") for name, _ in found), "not among those worth having"


def test_a_histogram_is_one_again() -> None:
    (family,) = [each for each in merge({"n:1": said("n", "a", 3) + said("n", "b", 4)}) if each.type == "histogram"]
    assert family.name == "ray_automodel_request_seconds"
    told = [(sample.name.rpartition("_")[2], sample.labels.get("le"), sample.value) for sample in family.samples]
    assert told == [
        ("bucket", "0.5", 5),
        ("bucket", "2.0", 5),
        ("bucket", "10.0", 5),
        ("bucket", "+Inf", 7),
        ("count", None, 7),
        ("sum", None, 10.5),
    ]


@pytest.mark.parametrize("before", [0, 3])
def test_a_histogram_of_which_an_agent_knows_half_is_well_formed_all_the_same(before: int) -> None:
    """As it is in between two counters of one export, the first one, too."""
    new = said("n", "a", 9).splitlines()
    old = said("n", "a", before).splitlines() if before else [""] * len(new)
    for known in range(len(new) + 1):
        half = "\n".join(new[:known] + old[known:]) + "\n"
        content, _ = _write(merge({"n:1": half}), "application/openmetrics-text; version=1.0.0")
        families = {each.name: each.samples for each in parse_openmetrics(content.decode())}
        counts = [
            each.value for each in families.get("ray_automodel_request_seconds", ()) if each.name.endswith("_count")
        ]
        assert all(before <= count <= 9 for count in counts)
    assert counts == [9]


def test_a_node_that_does_not_answer_is_told_of() -> None:
    merged = values(merge({"a:1": None, "b:1": said("b", "a", 1)}))
    assert merged["automodel_node_scrape_ok", "node=a"] == 0
    assert merged["automodel_node_scrape_ok", "node=b"] == 1
    assert merged["ray_automodel_requests_total", "model=m,node=b,outcome=ok,task=fill-mask"] == 1


def test_values_of_labels_may_look_like_what_is_dropped() -> None:
    series = 'ray_automodel_requests_total{model="ip=\\"x\\",",WorkerId="w"} 1'
    text = f"# TYPE ray_automodel_requests_total counter\n{series}\n"
    assert ("ray_automodel_requests_total", 'model=ip="x",,node=n') in values(merge({"n:1": text}))


class Agent(BaseHTTPRequestHandler):
    """Counts how often it is asked."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(said("n", "a", 2).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def agent() -> Iterator[str]:
    Agent.asked = 0
    server = QuietServer(("127.0.0.1", 0), Agent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_many_scrapes_at_once_ask_the_agents_once(agent: str) -> None:
    merged = MergedMetrics(lambda: [agent])
    texts = await asyncio.gather(*(merged.exposition("") for _ in range(5)))
    assert Agent.asked == 1
    assert len(set(texts)) == 1
    content, content_type = texts[0]
    assert content_type.startswith("text/plain")
    assert "ray_automodel_requests" in {family.name for family in parse(content.decode())}


async def test_openmetrics_for_those_who_ask(agent: str) -> None:
    content, content_type = await MergedMetrics(lambda: [agent]).exposition(
        "application/openmetrics-text;version=1.0.0"
    )
    assert content_type.startswith("application/openmetrics-text")
    assert content.endswith(b"# EOF\n")
    assert {family.name: family.type for family in parse_openmetrics(content.decode())}[
        "ray_automodel_request_seconds"
    ] == "histogram"


async def test_a_dead_node_takes_nothing_away(agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merged_metrics, "TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes calls, never answers
        dead = f"localhost:{silent.getsockname()[1]}"
        content, _ = await MergedMetrics(lambda: [dead, agent, "127.0.0.1:1"]).exposition("")
    assert b'automodel_node_scrape_ok{node="localhost"} 0.0' in content
    assert b'ray_automodel_requests_total{model="m",node="127.0.0.1",outcome="ok",task="fill-mask"} 2.0' in content


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/v1/embeddings", "openai"),
        ("/v1/rerank", "embeddings_inference"),
        ("/v2/rerank", "embeddings_inference"),
        ("/v2/models/m/infer", "open_inference"),
        ("/health/ready", "health"),
        ("/tasks/ner", "tasks"),
        ("/models/m", "models"),
        ("/", "pages"),
        ("/no/such/path", "pages"),
    ],
)
def test_the_api_of_a_path(path: str, api: str) -> None:
    assert api_of(path) == api
