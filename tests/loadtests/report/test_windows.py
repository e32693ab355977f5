import pytest

from loadtests.report.windows import ALL, window_results
from loadtests.traffic.callers import CALLERS
from tests.loadtests.recorded_load import PLAN, records, results


def test_each_window_has_its_own_requests() -> None:
    made = results()
    assert [round(window.callers[ALL].load.offered) for window in made] == [2, 4, 8]
    assert [list(window.callers) for window in made] == [[ALL, *(caller.name for caller in CALLERS)]] * 3
    assert made[1].callers[ALL].latency[50] == pytest.approx(0.2, rel=0.1)
    assert made[2].callers[ALL].latency[99] == pytest.approx(0.44, rel=0.05)
    assert [window.callers[ALL].error_share for window in made] == [0, 0, pytest.approx(0.25, abs=0.02)]
    assert made[1].callers["chat stream"].first_token[50] == pytest.approx(0.04, rel=0.1)
    assert made[1].callers["chat stream"].token[50] == pytest.approx(0.02, rel=0.1)
    assert not made[1].callers["media"].first_token


def test_metrics_are_differences_between_scrapes() -> None:
    made = results()
    service = [window.service for window in made]
    assert [each and each.rows for each in service] == [1, 2, 3]
    assert [each and each.padding for each in service] == pytest.approx([0.05, 0.1, 0.15])
    assert [each and each.stages["queue"] for each in service] == pytest.approx([0.25, 0.5, 0.75])
    assert [each and each.answered for each in service] == [20, 20, 20]
    assert made[2].models["minilm"].rows == 3


def test_without_metrics_there_are_results_of_callers() -> None:
    made = window_results(PLAN, records(), [])
    assert [window.service for window in made] == [None] * 3
    assert made[0].callers[ALL].requests
