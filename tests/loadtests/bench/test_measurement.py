import json
import math
from pathlib import Path

import pytest
from rich.console import Console

from loadtests.bench.measurement import Measured, middle, summary
from loadtests.bench.overhead import report as overhead_report
from loadtests.bench.overhead.benchmark import Figures, Plan
from loadtests.load.closed_load import Load, Result
from loadtests.load.load_process import load_process
from loadtests.report.targets import Target
from serve.ports import free_port


def test_a_summary_counts_answers_only() -> None:
    result = Result(
        latencies=[0.1, 0.2, 0.3],
        statuses={"200": 3, "429": 1},
        errors={"TimeoutError": 2},
        headers={"x-batch-size": ["4", "8"], "x-padding-ratio": [], "server-timing": ["queue;dur=1.5, forward;dur=20"]},
        wall_s=1.5,
    )
    measured = summary(result, cpu_s=0.6, thread_s=0.3)
    assert measured.requests_per_s == 2
    assert measured.p50_ms == pytest.approx(200)
    assert (measured.cpu_ms, measured.thread_ms) == (pytest.approx(200), pytest.approx(100))
    assert (measured.batch_rows, measured.padding) == (6, None)
    assert (measured.queue_ms, measured.forward_ms) == (1.5, 20)
    assert measured.failures == {"429": 1, "TimeoutError": 2}
    assert measured.failed == 3


def test_the_model_is_busy_for_each_batch_once() -> None:
    timings = ["queue;dur=0, forward;dur=200"] * 4 + ["queue;dur=0, forward;dur=300"] * 2
    headers = {"server-timing": timings, "x-batch-size": ["4"] * 4 + ["2"] * 2}
    measured = summary(Result(latencies=[0.2] * 6, headers=headers, wall_s=1), cpu_s=0, thread_s=0)
    assert measured.busy == pytest.approx(0.5)


def test_the_middle_of_rounds_is_each_figures_median() -> None:
    rounds = [Measured(rate, 1, 2, 3, 3, padding=None, failures={"500": 1}) for rate in (10, 30, 11)]
    assert middle(rounds) == Measured(11, 1, 2, 3, 3, padding=None, failures={"500": 3})


@pytest.mark.parametrize(
    ("target", "is_met", "bound"),
    [
        (Target("rate", 0.9, 0.95), True, ">= 0.9"),
        (Target("rate", 0.9, 0.89), False, ">= 0.9"),
        (Target("cost", 0.9, 0.89, at_most=True), True, "<= 0.9"),
        (Target("cost", 0.9, 0.95, at_most=True), False, "<= 0.9"),
        (Target("cost", 0.9, math.nan, at_most=True), False, "<= 0.9"),
    ],
)
def test_a_target_is_met_on_its_side_of_the_bound(target: Target, is_met: bool, bound: str) -> None:
    assert (target.is_met, target.bound) == (is_met, bound)


def test_a_report_is_shown_and_written_whole(tmp_path: Path) -> None:
    figures = Figures()
    for name, cpu_ms in (("service, task route", 0.5), ("taught", 12.0)):
        figures.single[name].append(Measured(100, 1.0, 2.0, cpu_ms, cpu_ms))
        figures.many[name].append(Measured(1000, 20.0, math.nan, cpu_ms, cpu_ms))
    figures.gateway_mb.append(230.0)
    report = overhead_report.report(Plan(), figures)
    console = Console(width=160, record=True, quiet=True)
    report.show(console)
    report.write(tmp_path / "new" / "overhead.json")
    written = json.loads((tmp_path / "new" / "overhead.json").read_text())
    assert [target["is_met"] for target in written["targets"]] == [True, True, True, False]
    assert written["rows"][0]["CPU ms"] == 0.5
    assert written["rounds"]["32 callers"]["taught"][0]["p99_ms"] is None
    assert written["machine"]["cores"] >= 1
    assert written["date"]


@pytest.mark.parametrize(("bare_ms", "met"), [(0.28, [True, True]), (0.14, [False, False])])
def test_a_slower_machine_has_the_same_targets(bare_ms: float, met: list[bool]) -> None:
    """The targets were set on a machine on which the bare server takes 0.14 ms; this one takes twice as long."""
    figures = Figures()
    for name, cpu_ms in (("service, task route", 1.6), ("bare", bare_ms)):
        figures.single[name].append(Measured(100, 2.0, 3.0, cpu_ms, cpu_ms))
        figures.many[name].append(Measured(1000, 20.0, 30.0, cpu_ms, cpu_ms))
    report = overhead_report.report(Plan(), figures)
    assert [target.is_met for target in report.targets] == met
    assert report.rows[0][6] == 1.6  # what is shown is what was measured


def test_the_load_process_answers_over_its_pipe() -> None:
    with load_process() as loads:
        result = loads.run(Load(free_port(), "/", ["{}"], requests=2, concurrency=1, headers=("x-model",)))
    assert result.errors == {"ConnectionRefusedError": 2}
    assert result.headers == {"x-model": []}
