"""What is made of records and scrapes: figures by window and kind of caller, and differences of metrics."""

from pathlib import Path

import pytest

from loadtests.load.open_load import Asked
from loadtests.load.records import Record, Recorder, began_at, read_records
from loadtests.report.figures import ALL, stretches
from loadtests.service.metrics import between, of_all, sums_of
from loadtests.traffic.callers import CALLERS
from tests.loadtests.recorded_load import PLAN, figures, records, scrapes

METRICS = """\
# HELP ray_automodel_batch_rows Rows.
# TYPE ray_automodel_batch_rows histogram
ray_automodel_batch_rows_bucket{model="minilm",task="t",node="a",le="+Inf"} 4
ray_automodel_batch_rows_count{model="minilm",task="t",node="a"} 4
ray_automodel_batch_rows_sum{model="minilm",task="t",node="a"} 10
ray_automodel_batch_rows_bucket{model="minilm",task="t",node="b",le="+Inf"} 1
ray_automodel_batch_rows_count{model="minilm",task="t",node="b"} 1
ray_automodel_batch_rows_sum{model="minilm",task="t",node="b"} 5
# HELP ray_automodel_requests Requests.
# TYPE ray_automodel_requests counter
ray_automodel_requests_total{model="minilm",task="t",outcome="ok"} 7
"""


def test_each_window_has_its_own_requests() -> None:
    made = figures()
    assert [round(stretch.seen[ALL].level.offered) for stretch in made] == [2, 4, 8]
    assert [list(stretch.seen) for stretch in made] == [[ALL, *(caller.name for caller in CALLERS)]] * 3
    assert made[1].seen[ALL].latency[50] == pytest.approx(0.2, rel=0.1)
    assert made[2].seen[ALL].latency[99] == pytest.approx(0.44, rel=0.05)
    assert [stretch.seen[ALL].error_share for stretch in made] == [0, 0, pytest.approx(0.25, abs=0.02)]
    assert made[1].seen["chat stream"].first_token[50] == pytest.approx(0.04, rel=0.1)
    assert made[1].seen["chat stream"].token[50] == pytest.approx(0.02, rel=0.1)
    assert not made[1].seen["media"].first_token


def test_latency_counts_from_when_it_was_due() -> None:
    late = Record(due=1.0, sent=4.0, ended=4.5, outcome="200", caller="short text", first=4.25, tokens=2)
    assert (late.latency_s, late.first_token_s, late.token_s) == (3.5, 3.25, 0.25)
    assert isinstance(late, Asked)


def test_metrics_are_differences_between_scrapes() -> None:
    made = figures()
    service = [stretch.service for stretch in made]
    assert [each and each.rows for each in service] == [1, 2, 3]
    assert [each and each.padding for each in service] == pytest.approx([0.05, 0.1, 0.15])
    assert [each and each.parts["queue"] for each in service] == pytest.approx([0.25, 0.5, 0.75])
    assert [each and each.answered for each in service] == [20, 20, 20]
    assert made[2].models["minilm"].rows == 3


def test_without_metrics_there_are_figures_of_callers_all_the_same() -> None:
    made = stretches(PLAN, records(), [])
    assert [stretch.service for stretch in made] == [None] * 3
    assert made[0].seen[ALL].requests


def test_sums_are_over_nodes_and_of_what_is_wanted() -> None:
    sums = sums_of(METRICS)
    assert sums == {"minilm": {"batch_rows_sum": 15, "batch_rows_count": 5}}
    assert of_all({}, sums).rows == 3
    assert between(sums, sums)["minilm"].rows is None


def test_a_replaced_replica_counts_as_nothing() -> None:
    before, after = scrapes()[2], scrapes()[0]
    assert between(before, after)["minilm"].rows is None


def test_records_come_back_from_their_file(tmp_path: Path) -> None:
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
