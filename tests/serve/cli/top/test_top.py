"""The table of two recorded scrapes, and what is said of services that cannot be watched."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner

from deployments.telemetry import metrics
from serve.cli.main import app
from serve.cli.top import client, command
from serve.cli.top.client import ServiceClient, ServiceUnreachable
from serve.cli.top.model_row import ModelRow, model_row
from serve.cli.top.monitor import Monitor
from serve.cli.top.scrape import Scrape
from serve.cluster.launch import free_port

RECORDED = Path(__file__).parent / "recorded"
BEFORE, AFTER = ((RECORDED / name).read_text() for name in ("before.txt", "after.txt"))
SECONDS = 9.0  # between the two
MODELS = {
    "minilm": {"state": "ready", "replicas": 1},
    "bert-tiny": {"state": "ready", "replicas": 1},
    "glosses": {"state": "ready", "replicas": 1},
    "pronunciation": {"state": "ready", "replicas": 1},
    "large": {"state": "downloading", "replicas": 0, "progress": "1.2 of 4.0 GB"},
    "huge": {"state": "failed", "replicas": 0, "reason": "no config.json"},
}
TASKS = {"minilm": "feature-extraction", "bert-tiny": "fill-mask", "glosses": "text-generation"}


def row(model: str, before: str = BEFORE, after: str = AFTER) -> ModelRow:
    return model_row(model, TASKS.get(model, ""), "ready", 1, Scrape(before, 100.0), Scrape(after, 100.0 + SECONDS))


def difference(name: str, model: str) -> float:
    """Of all series of this name and model in the recorded texts, read anew and without a parser."""

    def total(text: str) -> float:
        found = re.findall(rf"^{name}{{[^}}]*model=\"{model}\"[^}}]*}} (\S+)$", text, re.MULTILINE)
        assert found, name
        return sum(map(float, found))

    return total(AFTER) - total(BEFORE)


@pytest.mark.parametrize("model", TASKS)
def test_rates_and_ratios_are_those_of_the_two_scrapes(model: str) -> None:
    got = row(model)
    assert got.requests == pytest.approx(difference("ray_automodel_requests_total", model) / SECONDS)
    assert got.requests > 0
    assert got.rejected == pytest.approx(difference("ray_automodel_rejected_total", model) / SECONDS)
    tokens = difference("ray_automodel_tokens_total", model) / SECONDS
    assert got.tokens_in + got.tokens_out == pytest.approx(tokens)
    assert (got.tokens_out > 0) is (model == "glosses")
    rows = difference("ray_automodel_batch_rows_sum", model) / difference("ray_automodel_batch_rows_count", model)
    assert got.batch_rows == pytest.approx(rows)
    spent = difference("ray_automodel_queue_seconds_sum", model)
    assert got.queue_share == pytest.approx(spent / difference("ray_automodel_request_seconds_sum", model))
    assert got.p50 is not None
    assert got.p99 is not None
    assert 0 < got.p50 <= got.p99


def test_bad_requests_are_rejected() -> None:
    assert row("bert-tiny").rejected > 0
    assert row("minilm").rejected == 0


def test_quantiles_are_of_what_lies_between_the_scrapes() -> None:
    name = metrics.REQUEST_SECONDS.exported_name

    def text(fast: int, slow: int) -> str:
        labels = 'model="a",task="b",node="1.2.3.4"'
        bounds = [("0.1", fast), ("0.2", fast), ("0.4", fast + slow), ("+Inf", fast + slow)]
        lines = [f'{name}_bucket{{{labels},le="{bound}"}} {count}' for bound, count in bounds]
        return "\n".join([f"# TYPE {name} histogram", *lines, f"{name}_count{{{labels}}} {fast + slow}", ""])

    before, after = text(1000, 0), text(1000, 10)
    assert row("a", before, after).p50 == pytest.approx(0.3)
    assert row("a", after, after).p50 is None
    assert row("a", after, before).requests == 0, "a replica that ended has taken its sums along"


def test_replicas_and_nodes_are_summed_up() -> None:
    name = metrics.WAITING_ROWS.exported_name
    series = [f'{name}{{model="a",task="b",replica="{n % 2}",node="{n // 2}"}} {n}' for n in range(4)]
    assert Scrape("\n".join(series) + "\n", 0.0).sum("a", metrics.WAITING_ROWS) == 6


def test_nothing_measured_is_shown_as_nothing() -> None:
    now = Scrape(AFTER, 1.0)
    assert model_row("minilm", "", "ready", 1, now, now).requests == 0, "before the second look"
    got = model_row("a", "", "loading", 0, Scrape("", 0.0), Scrape("", 1.0))
    assert (got.requests, got.waiting, got.p50, got.batch_rows, got.padding, got.queue_share) == (0, 0, *[None] * 4)


class Recorded:
    """A service that says what was recorded, one scrape after the other."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/health/ready":
            return httpx.Response(503, json={"status": "loading", "models": MODELS})
        assert request.url.path == "/metrics"
        if not self.texts:
            raise httpx.ConnectError("gone", request=request)
        return httpx.Response(200, text=self.texts.pop(0))


def text_of(table: Any) -> list[str]:
    console = Console(width=200)
    with console.capture() as said:
        console.print(table)
    return [line.rstrip() for line in said.get().splitlines()]


def watching(
    answers: Callable[[httpx.Request], httpx.Response], monkeypatch: pytest.MonkeyPatch, width: int = 200
) -> Monitor:
    clock = iter(range(0, 900, 9))
    monkeypatch.setattr(client.time, "monotonic", lambda: float(next(clock)))
    service = ServiceClient("http://service", transport=httpx.MockTransport(answers))
    return Monitor(service, Console(width=width))


def test_the_table_has_a_line_for_each_model(monkeypatch: pytest.MonkeyPatch) -> None:
    title, headings, *lines = text_of(watching(Recorded(BEFORE, AFTER), monkeypatch).update())
    assert title == "http://service, the last 9 s"
    assert re.split(r"\s{2,}", headings) == (
        ["model", "task", "state", "repl.", "req/s", "p50 ms", "p99 ms", "queue", "rows", "padding", "waiting"]
        + ["tok/s in", "tok/s out", "rejected/s"]
    )
    assert [line.split()[0] for line in lines[:-1]] == list(MODELS)
    minilm = lines[0].split()
    assert minilm[1:4] == ["feature-extraction", "ready", "1"]
    assert float(minilm[4]) == pytest.approx(row("minilm").requests, abs=0.06)
    assert "downloading 1.2 of 4.0 GB" in lines[-3]
    assert lines[-3].count("–") == 5
    assert lines[-1].strip() == "huge: no config.json"


@pytest.mark.parametrize("width", [200, 120, 100, 80, 60, 40])
def test_columns_give_way_where_there_is_no_room(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    table = watching(Recorded(BEFORE, AFTER), monkeypatch, width).update()
    headings = text_of(table)[1].split()
    assert {"model", "req/s", "p99", "waiting", "rejected/s"} <= set(headings)
    assert ("task" in headings) is (width == 200)
    if width >= 60:
        assert max(map(len, text_of(table))) <= width


def test_a_service_that_goes_keeps_its_last_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = watching(Recorded(BEFORE, AFTER), monkeypatch)
    before = text_of(monitor.try_update())
    after = text_of(monitor.try_update())
    assert [line.split() for line in after[: len(before)]] == [line.split() for line in before]
    assert "no service at http://service (gone)" in " ".join(after[len(before) :])


def test_rates_are_of_the_last_seconds_and_not_of_all_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = watching(Recorded(BEFORE, BEFORE, BEFORE, BEFORE, AFTER), monkeypatch)
    titles = [text_of(monitor.update())[0] for _ in range(4)]
    assert titles == ["http://service, the last 9 s", *["http://service, the last 18 s"] * 3]


def test_metrics_that_are_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = text_of(watching(Recorded("", ""), monkeypatch).update())
    assert lines[2].split()[:2] == ["minilm", "ready"]
    assert "`metrics.enabled` is false" in lines[-1]


@pytest.mark.parametrize(
    ("status", "key", "message"),
    [
        (401, None, "requires an API key; set --key or AUTOMODEL_SERVE_API_KEY"),
        (401, "sk-wrong", "does not know this API key; set"),
        (404, None, "is not automodel-serve (/metrics returns 404)"),
        (200, None, "is not automodel-serve"),
    ],
)
def test_who_cannot_be_watched_is_told_why(status: int, key: str | None, message: str) -> None:
    service = ServiceClient(
        "http://service", key, httpx.MockTransport(lambda request: httpx.Response(status, text="<html>"))
    )
    with pytest.raises(ServiceUnreachable, match=re.escape(message)):
        service.snapshot()


def test_the_key_is_sent() -> None:
    seen: list[str | None] = []

    def answers(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return Recorded(BEFORE)(request)

    ServiceClient("http://service", "sk-1", httpx.MockTransport(answers)).snapshot()
    assert seen == ["Bearer sk-1"] * 2


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--url", "nowhere"], 1, "must begin with http:// or https://"),
        (["--url", f"http://127.0.0.1:{free_port()}"], 1, "start one with `automodel-serve up`"),
        (["--svg", "top.svg"], 2, "requires --once"),
        (["--interval", "0"], 2, "0.5"),
    ],
)
def test_the_command_ends_with_a_reason(arguments: list[str], status: int, message: str) -> None:
    ran = CliRunner().invoke(app, ["top", *arguments])
    assert ran.exit_code == status
    assert message in ran.output


def test_a_picture_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transport = httpx.MockTransport(Recorded(BEFORE, AFTER))
    monkeypatch.setattr(command, "ServiceClient", lambda url, key: ServiceClient(url, key, transport))
    ran = CliRunner().invoke(app, ["top", "--once", "--interval", "0.5", "--svg", str(tmp_path / "top.svg")])
    assert ran.exit_code == 0, ran.output
    assert "feature-extraction" in ran.output
    picture = (tmp_path / "top.svg").read_text()
    assert picture.startswith("<svg")
    assert "feature-extraction" in picture
    assert "rejected/s" in picture
