"""Locust's open sources against a fake service: nothing is left out while it stalls, streams are heard to the end."""

import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from loadtests.load.percentiles import percentile
from loadtests.load.records import CUT_OFF, Record
from loadtests.measure import measure
from loadtests.plan import Plan
from loadtests.report.figures import ALL, Stretch
from tests.loadtests.fake_service import TOKEN_S, TOKENS, FakeService, fake_service

RATE, SECONDS, STALL_S = 20.0, 6.0, 1.5


def under(server: FakeService, folder: Path, **plan: object) -> tuple[list[Stretch], list[Record]]:
    settings = {"rates": (RATE,), "seconds": SECONDS, "timeout_s": 10.0} | plan
    return measure(Plan(**settings), server.url, folder, lambda text: None)  # type: ignore[arg-type]


def test_who_would_have_asked_while_it_stalls_is_counted_with_all_its_waiting(tmp_path: Path) -> None:
    over = threading.Event()

    def stall(number: int) -> None:
        """The 60th request stops everything for a while."""
        if number == 60:
            time.sleep(STALL_S)
            over.set()
        elif number > 60:
            over.wait()

    with fake_service(stall) as server:
        (stretch,), records = under(server, tmp_path, models=("reader",))
    assert len(records) == len(server.bodies) == pytest.approx(RATE * SECONDS, rel=0.35)
    assert {record.outcome for record in records} == {"200"}
    waited = sorted(record.latency_s for record in records)
    # A caller who waits for an answer before it asks again would have seen one slow request.
    assert sum(each > STALL_S / 3 for each in waited) > RATE * STALL_S * 2 / 3 * 0.5
    assert waited[-1] > STALL_S * 0.9
    assert stretch.seen[ALL].latency[99] == pytest.approx(
        percentile([record.latency_s for record in records if record.due >= 1.5], 99), abs=0.3
    )
    assert stretch.seen[ALL].latency[50] < STALL_S / 3
    assert stretch.service is None  # it has no metrics


def test_streams_are_heard_to_their_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOMODEL_SERVE_API_KEY", "secret")
    with fake_service() as server:
        (stretch,), records = under(server, tmp_path, models=("writer",))
    assert server.keys == {"Bearer secret"}
    assert {record.caller for record in records} == {"short text", "chat stream"}
    streams = [record for record in records if record.caller == "chat stream"]
    assert len(streams) == sum("stream" in body for body in server.bodies) > 5
    assert {(record.outcome, record.tokens) for record in streams} == {("200", TOKENS)}
    seen = stretch.seen["chat stream"]
    assert TOKEN_S <= seen.first_token[50] < seen.latency[50]
    assert seen.token[50] == pytest.approx(TOKEN_S, rel=0.5)
    told = (tmp_path / "locust_stats.csv").read_text()
    for entry in ("text-generation", "text-generation: time to first token", "text-generation: time per output token"):
        assert f"chat stream,{entry}," in told


def test_a_stream_without_its_last_event_is_no_answer(tmp_path: Path) -> None:
    with fake_service(whole_streams=False) as server:
        _, records = under(server, tmp_path, models=("writer",), seconds=4.0)
    outcomes = Counter((record.caller, record.outcome) for record in records)
    assert set(outcomes) == {("short text", "200"), ("chat stream", CUT_OFF)}


def test_who_waits_too_long_gives_up(tmp_path: Path) -> None:
    with fake_service(lambda number: time.sleep(30 if number % 5 == 0 else 0)) as server:
        _, records = under(server, tmp_path, models=("reader",), seconds=4.0, timeout_s=1.0)
    outcomes = Counter(record.outcome for record in records)
    assert set(outcomes) == {"200", "Timeout"}
    assert outcomes["Timeout"] == pytest.approx(len(records) / 5, abs=1)
