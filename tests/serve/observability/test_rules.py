"""The rules: names and runbooks are as they should be, and every outcome has its place."""

import re
from pathlib import Path

import pytest
import yaml

from deployments.telemetry.metrics import OUTCOMES
from serve.observability.budget_alerts import budget_alerts
from serve.observability.indicators import ANSWERED, FAILED, NOT_COUNTED
from serve.observability.objectives import BURNS, WINDOWS, Objectives
from serve.observability.recording_rules import recording_rules
from serve.observability.rules import as_text, prometheus_rule, rules
from serve.observability.symptom_alerts import symptom_alerts

ROOT = Path(__file__).parents[3]
ALERTS = (*budget_alerts(Objectives()), *symptom_alerts())
SECONDS = {"m": 60, "h": 3600, "d": 86400}


def seconds(window: str) -> int:
    return int(window[:-1]) * SECONDS[window[-1]]


def test_the_operators_file_holds_the_same_rules() -> None:
    manifest = yaml.safe_load(as_text(prometheus_rule("automodel-serve", Objectives())))
    assert (manifest["kind"], manifest["metadata"]["name"]) == ("PrometheusRule", "automodel-serve")
    assert manifest["spec"] == rules(Objectives())


def test_every_outcome_is_a_success_a_failure_or_the_callers_own() -> None:
    assert sorted((*ANSWERED, *FAILED, *NOT_COUNTED)) == sorted(OUTCOMES)


def test_recordings_are_named_level_metric_operation() -> None:
    names = [rule.name for rule in recording_rules(Objectives())]
    assert len(set(names)) == len(names) == 3 * len(WINDOWS)
    assert all(re.fullmatch(r"model:ray_automodel_[a-z_]+:ratio_rate\d+[mhd]", name) for name in names)


def test_short_windows_are_a_twelfth_of_long_ones() -> None:
    assert [seconds(burn.long) / seconds(burn.short) for burn in BURNS] == [12, 12, 12, 12]


@pytest.mark.parametrize(("burn", "budget"), list(zip(BURNS, (0.02, 0.05, 0.10, 0.10), strict=True)))
def test_an_alert_comes_when_so_much_of_a_months_budget_is_used_up(burn, budget) -> None:
    assert burn.rate * seconds(burn.long) / (30 * 86400) == pytest.approx(budget)


def test_alerts_of_one_name_have_labels_that_tell_them_apart() -> None:
    assert len({(alert.name, *alert.labels.items()) for alert in ALERTS}) == len(ALERTS)
    assert {alert.severity for alert in ALERTS} == {"critical", "warning"}


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    headings = re.findall(r"^#+ (Automodel\w+)$", (ROOT / "docs" / "operations.md").read_text("utf-8"), re.MULTILINE)
    assert headings == list(dict.fromkeys(alert.name for alert in ALERTS))
    for group in rules(Objectives(), "https://example.org/operations.md")["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                assert rule["annotations"]["runbook_url"] == (
                    f"https://example.org/operations.md#{rule['alert'].lower()}"
                )
                assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"availability": 1}, "availability is a share"),
        ({"fast": 0}, "fast is a share"),
        ({"request_s": 3}, "request_s must be one of .*, 2, 5,"),
        ({"first_token_s": 0}, "first_token_s must be one of"),
    ],
)
def test_an_objective_that_cannot_be_measured_is_refused(changed, says) -> None:
    with pytest.raises(ValueError, match=says):
        Objectives(**changed)


def test_objectives_are_what_the_rules_hold() -> None:
    text = as_text(rules(Objectives(availability=0.9, fast=0.5, request_s=0.2, first_token_s=5)))
    assert "model:ray_automodel_requests_failed:ratio_rate1h > 1.44" in text
    assert 'ray_automodel_request_seconds_bucket{le="0.2"}' in text
    assert 'ray_automodel_time_to_first_token_seconds_bucket{le="5.0"}' in text
