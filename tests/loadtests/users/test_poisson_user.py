"""Locust's users against a fake service: no request is left out while it stalls, and streams are read to the end."""

import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from loadtests.load.percentiles import percentile
from loadtests.load.records import CUT_OFF, RequestRecord
from loadtests.measure import measure
from loadtests.plan import Plan
from loadtests.report.windows import ALL, WindowResult
from tests.loadtests.fake_service import TOKEN_S, TOKENS, FakeService, fake_service

RATE, SECONDS, STALL_S = 20.0, 6.0, 1.5


def under(server: FakeService, folder: Path, **plan: object) -> tuple[list[WindowResult], list[RequestRecord]]:
    settings = {"rates": (RATE,), "seconds": SECONDS, "timeout_s": 10.0} | plan
    return measure(Plan(**settings), server.url, folder, lambda text: None)  # type: ignore[arg-type]


def test_requests_due_while_the_service_stalls_count_with_their_waiting_time(tmp_path: Path) -> None:
    over = threading.Event()

    def stall(number: int) -> None:
        """The 60th request stops everything for a while."""
        if number == 60:
            time.sleep(STALL_S)
            over.set()
        elif number > 60:
            over.wait()

    with fake_service(stall) as server:
        (window,), records = under(server, tmp_path, models=("reader",))
    assert len(records) == len(server.bodies) == pytest.approx(RATE * SECONDS, rel=0.35)
    assert {record.outcome for record in records} == {"200"}
    waited = sorted(record.latency_s for record in records)
    # A closed load would have seen one slow request.
    assert sum(each > STALL_S / 3 for each in waited) > RATE * STALL_S * 2 / 3 * 0.5
    assert waited[-1] > STALL_S * 0.9
    assert window.callers[ALL].latency[99] == pytest.approx(
        percentile([record.latency_s for record in records if record.due >= 1.5], 99), abs=0.3
    )
    assert window.callers[ALL].latency[50] < STALL_S / 3
    assert window.service is None  # it has no metrics


def test_streams_are_read_to_their_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOMODEL_SERVE_API_KEY", "secret")
    with fake_service() as server:
        (window,), records = under(server, tmp_path, models=("writer",))
    assert server.keys == {"Bearer secret"}
    assert {record.caller for record in records} == {"short text", "chat stream"}
    streams = [record for record in records if record.caller == "chat stream"]
    assert len(streams) == sum("stream" in body for body in server.bodies) > 5
    assert {(record.outcome, record.tokens) for record in streams} == {("200", TOKENS)}
    callers = window.callers["chat stream"]
    assert TOKEN_S <= callers.first_token[50] < callers.latency[50]
    assert callers.token[50] == pytest.approx(TOKEN_S, rel=0.5)
    statistics = (tmp_path / "locust_stats.csv").read_text()
    for entry in ("text-generation", "text-generation: time to first token", "text-generation: time per output token"):
        assert f"chat stream,{entry}," in statistics


def test_a_stream_without_its_last_event_is_a_failure(tmp_path: Path) -> None:
    with fake_service(whole_streams=False) as server:
        _, records = under(server, tmp_path, models=("writer",), seconds=4.0)
    outcomes = Counter((record.caller, record.outcome) for record in records)
    assert set(outcomes) == {("short text", "200"), ("chat stream", CUT_OFF)}


def test_requests_time_out(tmp_path: Path) -> None:
    with fake_service(lambda number: time.sleep(30 if number % 5 == 0 else 0)) as server:
        _, records = under(server, tmp_path, models=("reader",), seconds=4.0, timeout_s=1.0)
    outcomes = Counter(record.outcome for record in records)
    assert set(outcomes) == {"200", "Timeout"}
    assert outcomes["Timeout"] == pytest.approx(len(records) / 5, abs=1)
