"""All expressions of rules and dashboards, read by a parser of PromQL: they name nothing that is not declared."""

import re

import pytest

from deployments.telemetry.metrics import METRICS
from serve.observability.objectives import Objectives
from serve.observability.recording_rules import recording_rules
from tests.serve.observability.expressions import expressions, found_in

TARGET = {"namespace", "job"}
PARTS = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
LABELS = {
    metric.exported_name + part: TARGET
    | set(metric.labels)
    | ({"replica"} if metric.of_replica else set())
    | ({"le"} if part == "_bucket" else set())
    for metric in METRICS
    for part in PARTS[metric.kind]
} | {rule.name: TARGET | {"model", "task"} for rule in recording_rules(Objectives())}
VALUES = {metric.exported_name: metric.values for metric in METRICS}
BOUNDS = {f"{metric.exported_name}_bucket": metric.buckets for metric in METRICS}

ALL = expressions()


def test_names_and_labels_are_declared() -> None:
    for expression in ALL:
        found = found_in(expression.text)
        assert found.selectors, expression
        for name, matchers in found.selectors:
            assert name in LABELS, expression
            assert {label for label, _, _ in matchers} <= LABELS[name], expression
        for labels, below in found.grouped:
            assert below, expression
            assert all(set(labels) <= LABELS[name] for name in below), expression
        assert set(found.matched) <= TARGET | {"model", "task"}, expression


def test_values_of_labels_are_declared() -> None:
    for expression in ALL:
        for name, matchers in found_in(expression.text).selectors:
            for label, _, value in matchers:
                known = VALUES.get(name, {}).get(label)
                if known:
                    assert set(value.split("|")) <= set(known) or value == ".+", expression
                if label == "le":
                    assert float(value) in BOUNDS[name], expression


def test_a_legend_names_labels_that_are_left() -> None:
    for expression in ALL:
        left = set().union(*(labels for labels, _ in found_in(expression.text).grouped), {"model", "task"})
        assert set(re.findall(r"{{(\w+)}}", expression.legend)) <= left, expression


def test_counters_are_never_shown_as_they_stand() -> None:
    counters = {metric.exported_name for metric in METRICS if metric.kind == "counter"}
    for expression in ALL:
        if expression.kind != "variable":
            for name in counters:
                asked = re.findall(rf"(\w+)\({name}\b", expression.text)
                assert len(asked) == len(re.findall(rf"\b{name}\b", expression.text)), expression
                assert set(asked) <= {"rate", "increase"}, expression


def test_the_parser_finds_a_mistake() -> None:
    """Else the tests above would prove nothing."""
    found = found_in('sum by (modell) (rate(ray_automodel_requests_total{outcom="ok"}[5m]))')
    assert found.grouped == [(["modell"], ["ray_automodel_requests_total"])]
    assert [label for _, matchers in found.selectors for label, _, _ in matchers] == ["outcom"]
    with pytest.raises(ValueError, match="unclosed"):
        found_in("sum by (model (x)")
