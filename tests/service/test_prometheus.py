"""A real Prometheus scrapes the service under load: what every dashboard and rule asks for is there, and adds up.

It scrapes twice, as two jobs: the gateway's `/metrics`, and the nodes' agents with the relabelling of the PodMonitor,
as on Kubernetes. Both must give the same.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from deployments.telemetry.metrics import OUTCOMES
from serve.observability.objectives import Objectives
from serve.observability.rules import as_text, rules
from tests.embedded_service import MAX_WAITING
from tests.prometheus import RunningPrometheus, program
from tests.serve.observability.expressions import expressions, found_in
from tests.service.running import RunningService

pytestmark = pytest.mark.ray

POD_MONITOR = Path(__file__).parents[2] / "k8s" / "base" / "pod-monitor.yaml"
JOBS = ("gateway", "nodes")
WRITE, READ = "/tasks/text-generation", "/tasks/text-classification"
LONG = {"inputs": "river", "parameters": {"max_new_tokens": 40, "min_new_tokens": 40}}
LONGEST = {"inputs": "river", "parameters": {"max_new_tokens": 240, "min_new_tokens": 240}, "stream": True}
SHORT = {"inputs": "word"}
EXPORTED_S = 60.0
BY_STATUS = {200: "ok", 422: "client_error", 429: "overloaded", 504: "expired"}

Counts = Counter[tuple[str, str]]  # requests by task and outcome


def agents(service: RunningService) -> list[str]:
    """Addresses of the agents that export what the replicas measure: of all that Ray listens on, those that say so."""
    found = []
    for process in service.processes():
        try:
            listening = [each.laddr.port for each in process.net_connections("tcp") if each.status == "LISTEN"]
        except psutil.Error:
            continue
        for port in listening:
            try:
                text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
            except (httpx.HTTPError, UnicodeDecodeError):
                continue
            if "ray_automodel_requests_total{" in text and "ray_automodel_request_seconds_bucket_total{" in text:
                found.append(f"127.0.0.1:{port}")
    return found


def relabelled() -> list[dict[str, Any]]:
    """What the PodMonitor does to names, as Prometheus' own configuration has it."""
    (endpoint,) = yaml.safe_load(POD_MONITOR.read_text())["spec"]["podMetricsEndpoints"]
    names = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    return [{names.get(key, key): value for key, value in rule.items()} for rule in endpoint["metricRelabelings"]]


def counted(prometheus: RunningPrometheus, job: str) -> Counts:
    """Requests so far, as Prometheus knows them."""
    samples = prometheus.query(f'sum by (task, outcome) (ray_automodel_requests_total{{job="{job}"}})')
    return Counter(
        {(each["metric"]["task"], each["metric"]["outcome"]): round(float(each["value"][1])) for each in samples}
    )


class Load:
    """Requests of every kind; counts what became of them."""

    def __init__(self, url: str) -> None:
        self.counts: Counts = Counter()
        self._url = url

    async def rounds(self, number: int) -> None:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=self._url, timeout=120, limits=limits) as client:
            for _ in range(number):
                await asyncio.gather(*(self._post(client, WRITE, LONG) for _ in range(2 * MAX_WAITING)))
                await asyncio.gather(
                    *(self._post(client, READ, SHORT) for _ in range(20)),
                    self._post(client, READ, {"inputs": 1}),
                    self._post(client, READ, SHORT, timeout="0.00001"),
                    *(self._post(client, WRITE, LONG) for _ in range(20)),  # beside which a stream takes its time
                    *(self._leave(client) for _ in range(3)),
                    client.post("/v1/embeddings", json={"model": "minilm", "input": ["a", "a longer text"]}),
                )
                await asyncio.sleep(2)

    async def _post(self, client: httpx.AsyncClient, path: str, body: dict[str, Any], **headers: str) -> None:
        answer = await client.post(path, json=body, headers=headers)
        self.counts[path.removeprefix("/tasks/"), BY_STATUS[answer.status_code]] += 1

    async def _leave(self, client: httpx.AsyncClient) -> None:
        """Hear the beginning of a stream, and go."""
        async with client.stream("POST", WRITE, json=LONGEST) as answer:
            assert answer.status_code == 200, await answer.aread()
            await anext(answer.aiter_bytes())
        self.counts[WRITE.removeprefix("/tasks/"), "cancelled"] += 1


@pytest.fixture(scope="module")
def prometheus(service: RunningService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPrometheus]:
    program("prometheus")
    end = time.monotonic() + EXPORTED_S
    while not (nodes := agents(service)):  # what replicas measure comes to the agent some seconds after they are ready
        assert time.monotonic() < end
        time.sleep(1)
    targets = {"gateway": [f"127.0.0.1:{service.port}"], "nodes": nodes}
    jobs = [{"job_name": job, "static_configs": [{"targets": targets[job]}]} for job in JOBS]
    jobs[1]["metric_relabel_configs"] = relabelled()
    folder = tmp_path_factory.mktemp("prometheus")
    with RunningPrometheus(folder, jobs, as_text(rules(Objectives()))) as running:
        running.wait_until("scraped", lambda: all(counted(running, job) for job in JOBS))
        yield running


@pytest.fixture(scope="module")
def made(prometheus: RunningPrometheus, service: RunningService) -> dict[str, tuple[Counts, Counts]]:
    """By job: what the load counted, and how much more Prometheus did when it was over."""
    before = {job: counted(prometheus, job) for job in JOBS}
    load = Load(service.url)
    asyncio.run(load.rounds(2))

    def more(job: str) -> Counts:
        grown = counted(prometheus, job)
        return Counter({key: grown[key] - before[job][key] for key in load.counts})

    end = time.monotonic() + 120
    while any(more(job).total() < load.counts.total() for job in JOBS) and time.monotonic() < end:
        time.sleep(1)  # the tests say what is missing at the end
    return {job: (load.counts, more(job)) for job in JOBS}


@pytest.mark.parametrize("job", JOBS)
def test_requests_add_up_by_outcome(made: dict[str, tuple[Counts, Counts]], job: str) -> None:
    sent, measured = made[job]
    assert {outcome for _, outcome in sent} == set(OUTCOMES) - {"unavailable", "error"}
    left = sent["text-generation", "cancelled"]
    finished = measured["text-generation", "ok"] - sent["text-generation", "ok"]
    assert 0 <= finished < left  # a stream may be complete before the service hears that its caller has gone
    assert measured - Counter({("text-generation", "ok"): finished}) == sent - Counter(
        {("text-generation", "cancelled"): finished}
    )


def asked(prometheus: RunningPrometheus, job: str, expression: str) -> list[float]:
    text = expression.replace('job=~".+"', f'job="{job}"')
    return [float(sample["value"][1]) for sample in prometheus.query(text)]


def without_data(prometheus: RunningPrometheus, job: str, texts: Iterable[str]) -> list[str]:
    """Expressions that give nothing but NaN, also when asked again: a scrape that a busy machine made too late leaves
    gauges without a value until the next one."""
    empty = list(texts)
    assert empty
    for _ in range(10):
        empty = [text for text in empty if all(map(math.isnan, asked(prometheus, job, text)))]
        if not empty:
            break
        time.sleep(2)
    return empty


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("kind", ["panel", "variable"])
def test_dashboards_have_data(made: Any, prometheus: RunningPrometheus, job: str, kind: str) -> None:
    assert without_data(prometheus, job, (each.text for each in expressions() if each.kind == kind)) == []


@pytest.mark.parametrize("job", JOBS)
def test_recordings_have_data(made: Any, prometheus: RunningPrometheus, job: str) -> None:
    names = [each.place for each in expressions() if each.kind == "recording"]
    assert without_data(prometheus, job, (f'{name}{{job="{job}",model!=""}}' for name in names)) == []


@pytest.mark.parametrize("job", JOBS)
def test_alerts_are_evaluated_and_what_they_ask_for_has_data(
    made: Any, prometheus: RunningPrometheus, job: str
) -> None:
    alerts = [each.text for each in expressions() if each.kind == "alert"]
    for text in alerts:
        prometheus.query(text)
    asks = set()
    for name, matchers in (selector for text in alerts for selector in found_in(text).selectors):
        matching = [
            f'job="{job}"',
            *(f'{label}{"=~" if "Re" in op else "="}"{value}"' for label, op, value in matchers),
        ]
        if 'code=~"5.."' not in matching:  # such answers there are only in an incident
            asks.add(f"{name}{{{','.join(matching)}}}")
    assert without_data(prometheus, job, asks) == []


def test_prometheus_evaluates_all_rules_without_an_error(made: Any, prometheus: RunningPrometheus) -> None:
    evaluated = [rule for group in prometheus.get("/rules")["groups"] for rule in group["rules"]]
    assert len(evaluated) == sum(len(group["rules"]) for group in rules(Objectives())["groups"])
    assert {(rule["health"], rule.get("lastError")) for rule in evaluated} == {("ok", None)}


@pytest.mark.parametrize("job", JOBS)
def test_figures_are_plausible(made: Any, prometheus: RunningPrometheus, job: str) -> None:
    def one(expression: str) -> float:
        text = expression.replace("JOB", f'job="{job}",task="text-generation"')
        assert without_data(prometheus, job, [text]) == []
        (value,) = asked(prometheus, job, text)
        return value

    rows = one("sum(ray_automodel_batch_rows_sum{JOB}) / sum(ray_automodel_batch_rows_count{JOB})")
    assert 1 < rows <= 128  # the load came all at once
    assert one("sum(ray_automodel_model_ready{JOB})") == 1
    answered = one('sum(ray_automodel_requests_total{JOB,outcome="ok"})')
    assert one("sum(ray_automodel_request_seconds_count{JOB})") == answered
    assert one('sum(ray_automodel_request_seconds_bucket{JOB,le="+Inf"})') == answered
    parts = " + ".join(f"sum(ray_automodel_{part}_seconds_sum{{JOB}})" for part in ("queue", "forward"))
    assert one(parts) <= one("sum(ray_automodel_request_seconds_sum{JOB})") * 1.01
    assert one("sum(ray_automodel_time_to_first_token_seconds_count{JOB})") > 0
