"""promtool: the rules are valid, and every alert fires when it must and only then."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from serve.observability.budget_alerts import budget_alerts
from serve.observability.objectives import Objectives
from serve.observability.rules import as_text, rules
from serve.observability.symptom_alerts import symptom_alerts
from tests.prometheus import program
from tests.serve.observability.incidents import MODEL, Course, Incident, incidents

ALL = list(incidents())
FIRING = 'count by (alertname, window) (ALERTS{alertstate="firing"})'


def promtool(folder: Path, *arguments: str) -> str:
    """What it prints; fails with that where it finds something wrong."""
    done = subprocess.run([program("promtool"), *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def values(course: Course, step: int, *, counter: bool) -> str:
    """A course as promtool writes it."""
    written, at = [], 0.0
    for height, minutes in course:
        times = minutes // step
        if counter:
            written.append(f"{at:g}+{height * step:g}x{times - 1}")
            at += height * minutes
        else:
            written.append(f"{height:g}x{times - 1}")
    return " ".join(written)


def as_unit_test(incident: Incident, checks: dict[str, Any]) -> dict[str, Any]:
    gauges = ("build_info", "model_ready", "waiting_rows", "kv_cache", "up{")
    series = [
        {"series": name, "values": values(course, incident.step, counter=not any(gauge in name for gauge in gauges))}
        for name, course in incident.series.items()
    ]
    every = f"{incident.step}m"
    tests = [{"interval": every, "input_series": series, **checks}]
    return {"rule_files": ["rules.yml"], "evaluation_interval": every, "tests": tests}


def run(folder: Path, unit_test: dict[str, Any]) -> None:
    (folder / "rules.yml").write_text(as_text(rules(Objectives())))
    (folder / "test.yml").write_text(yaml.safe_dump(unit_test))
    promtool(folder, "test", "rules", "test.yml")


def test_promtool_finds_the_rules_valid(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(as_text(rules(Objectives())))
    count = sum(len(group["rules"]) for group in rules(Objectives())["groups"])
    assert f"{count} rules found" in promtool(tmp_path, "check", "rules", "--lint=all", "--lint-fatal", "rules.yml")


@pytest.mark.parametrize("incident", ALL, ids=str)
def test_alerts_fire_when_they_must_and_only_then(incident: Incident, tmp_path: Path) -> None:
    expected = []
    for raised in sorted(incident.raised):
        name, _, window = raised.partition(" ")
        labels = f'{{alertname="{name}"{f", window={chr(34)}{window}{chr(34)}" if window else ""}}}'
        expected.append({"labels": labels, "value": 1})
    check = {"expr": FIRING, "eval_time": f"{incident.at}m", "exp_samples": expected}
    run(tmp_path, as_unit_test(incident, {"promql_expr_test": [check]}))


def test_every_alert_is_raised_by_an_incident() -> None:
    raised = set().union(*(incident.raised for incident in ALL))
    every = {
        f"{alert.name} {alert.labels.get('window', '')}".strip()
        for alert in (*budget_alerts(Objectives()), *symptom_alerts())
    }
    assert raised == every


def test_an_alert_says_whose_and_how_bad(tmp_path: Path) -> None:
    (incident,) = (each for each in ALL if each.story == "two thirds of the time are in line")
    alert = {
        "exp_labels": {**MODEL, "severity": "warning"},
        "exp_annotations": {
            "summary": "requests to minilm spend 66.67% of their time in the queue",
            "description": "The model is busy all the time; with a little more load, it refuses requests.",
            "runbook_url": "docs/operations.md#automodelqueueing",
        },
    }
    check = {"alertname": "AutomodelQueueing", "eval_time": f"{incident.at}m", "exp_alerts": [alert]}
    run(tmp_path, as_unit_test(incident, {"alert_rule_test": [check]}))
