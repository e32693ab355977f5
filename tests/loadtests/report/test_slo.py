"""Objectives: their file, when one is missed, and the exit status of the command."""

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from loadtests import __main__ as command
from loadtests.processes.environment import ROOT
from loadtests.report import slo
from loadtests.report.result import LoadTestResult
from loadtests.report.windows import window_results
from loadtests.traffic.callers import CALLERS
from tests.loadtests.recorded_load import PLAN, records, results, scrapes

OBJECTIVES = slo.Objectives.model_validate({"up_to_rate": 4, "callers": {"short text": {"p99_s": 0.3}}})


def missed(objectives: slo.Objectives, **load: Any) -> list[str]:
    made = window_results(PLAN, records(**load), scrapes())
    return [target.name for target in slo.evaluate(objectives, made) if not target.is_met]


def test_the_default_file_is_valid_and_names_every_kind_of_caller() -> None:
    objectives = slo.read(slo.DEFAULT)
    assert set(objectives.callers) == {caller.name for caller in CALLERS}
    assert all(objective.p99_s for objective in objectives.callers.values())


def test_objectives_apply_up_to_a_rate() -> None:
    assert missed(OBJECTIVES) == []
    assert missed(OBJECTIVES, latency_s=0.16) == ["4/s, short text: p99 latency, s"]
    assert missed(OBJECTIVES, latency_s=1.0) == ["2/s, short text: p99 latency, s", "4/s, short text: p99 latency, s"]


def test_errors_and_refusals_miss_objectives() -> None:
    names = missed(OBJECTIVES, failed_above=3)
    assert names
    assert all(name.endswith("error share") for name in names)


def test_streams_have_objectives_for_the_first_token_and_for_the_others() -> None:
    objectives = {"up_to_rate": 2, "callers": {"chat stream": {"first_token_p99_s": 0.01, "token_p99_s": 0.001}}}
    assert missed(slo.Objectives.model_validate(objectives)) == [
        "2/s, chat stream: p99 time to first token, s",
        "2/s, chat stream: p99 time per output token, s",
    ]


def test_unanswered_callers_miss_objectives_and_absent_callers_do_not() -> None:
    gone = [record for record in records() if record.caller != "short text"]
    assert all("short text" not in target.name for target in slo.evaluate(OBJECTIVES, results(taken=gone)))
    for record in (mute := records()):
        record.outcome = "TimeoutError"
    names = {target.name for target in slo.evaluate(OBJECTIVES, results(taken=mute)) if not target.is_met}
    assert {"2/s, short text: error share", "2/s, short text: p99 latency, s"} <= names


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("callers: {}", "up_to_rate"),
        ("up_to_rate: 3\ncallers: {short texts: {p99_s: 1}}", "unknown callers short texts; known: short text"),
        ("up_to_rate: 3\ncallers: {media: {p95_s: 1}}", "p95_s"),
        ("up_to_rate: [", "slo.yaml"),
    ],
)
def test_an_invalid_file_is_refused(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "slo.yaml"
    path.write_text(text)
    with pytest.raises(slo.InvalidObjectives, match=re.escape(error)):
        slo.read(path)


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, latency_s: float, *options: str) -> tuple[int, str]:
    """Run the command with a made-up load."""
    made = window_results(PLAN, records(latency_s=latency_s), scrapes())
    result = LoadTestResult(PLAN, OBJECTIVES, made, records(latency_s=latency_s), "none")
    monkeypatch.setattr(command, "_run", lambda *_: result)
    ran = CliRunner().invoke(command.app, ["--output", str(folder), *options])
    return ran.exit_code, ran.output


def test_the_exit_status_says_whether_an_objective_was_missed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(monkeypatch, tmp_path, 0.1)[0] == 0
    assert (tmp_path / "report.html").exists()
    assert run(monkeypatch, tmp_path, 1.0)[0] == 1


@pytest.mark.parametrize(
    "options",
    [("--rates", "20 30"), ("--most-requests", "5"), ("--slo", "missing.yaml"), ("--rates", "much")],
    ids=" ".join,
)
def test_a_plan_that_cannot_run_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: tuple[str, ...]
) -> None:
    assert run(monkeypatch, tmp_path, 0.1, *options)[0] == 2
    assert not (tmp_path / "report.html").exists()


def test_no_service_exits_with_2(tmp_path: Path) -> None:
    ran = CliRunner().invoke(command.app, ["--output", str(tmp_path), "--url", "http://127.0.0.1:9"])
    assert ran.exit_code == 2


PAGE = (ROOT / "docs" / "load-tests.md").read_text()


def test_the_documentation_shows_a_valid_file_and_the_shares_of_callers(tmp_path: Path) -> None:
    path = tmp_path / "slo.yaml"
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path.write_text(text)
    shown, there = slo.read(path), slo.read(slo.DEFAULT)
    assert (shown.up_to_rate, shown.error_share) == (there.up_to_rate, there.error_share)
    assert all(there.callers[name] == objective for name, objective in shown.callers.items())
    weights = {caller.name: f"{caller.weight}/{sum(each.weight for each in CALLERS)}" for caller in CALLERS}
    assert dict(re.findall(r"^\| ([a-z ]+) \| (\d+/\d+) \|", PAGE, re.MULTILINE)) == weights
