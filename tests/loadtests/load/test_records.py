from pathlib import Path

import pytest

from loadtests.load.records import Recorder, RequestRecord, began_at, read_records
from tests.loadtests.recorded_load import records


def test_latency_counts_from_when_it_was_due() -> None:
    late = RequestRecord(due=1.0, sent=4.0, ended=4.5, outcome="200", caller="short text", first=4.25, tokens=2)
    assert (late.latency_s, late.first_token_s, late.token_s) == (3.5, 3.25, 0.25)


def test_records_are_read_back_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "requests.csv"
    assert began_at(path) is None
    recorder = Recorder(str(path))
    recorder.begin()
    for record in records():
        recorder.add(record)
    assert began_at(path) is not None
    recorder.close()
    read = read_records(path)
    assert [(each.caller, each.outcome, each.tokens) for each in read] == [
        (each.caller, each.outcome, each.tokens) for each in records()
    ]
    assert [each.latency_s for each in read] == pytest.approx([each.latency_s for each in records()], abs=2e-4)
