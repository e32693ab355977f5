"""Expressions are made of declarations, and refuse what no declaration has."""

import pytest

from deployments.telemetry.metrics import GATEWAY_REQUESTS, REQUEST_SECONDS, REQUESTS, WAITING_ROWS
from serve.observability.promql import Expressions

ask = Expressions("5m", {"job": "$job", "model": "$model"})


def test_a_rate_is_taken_of_each_series_and_then_summed():
    assert ask.rate(REQUESTS, ("model",), {"outcome": ("ok",)}) == (
        'sum by (model) (rate(ray_automodel_requests_total{job=~"$job",model=~"$model",outcome="ok"}[5m]))'
    )


def test_what_all_series_have_to_match_is_asked_of_those_that_have_the_label():
    assert ask.rate(GATEWAY_REQUESTS, ()) == 'sum(rate(ray_automodel_gateway_requests_total{job=~"$job"}[5m]))'


def test_a_quantile_keeps_the_bounds():
    assert Expressions("1m").quantile(0.95, REQUEST_SECONDS, ("task",)) == (
        "histogram_quantile(0.95, sum by (le, task) (rate(ray_automodel_request_seconds_bucket[1m])))"
    )


def test_a_mean_is_a_quotient_of_sums():
    assert Expressions("1m").mean(REQUEST_SECONDS, ()) == (
        "sum(rate(ray_automodel_request_seconds_sum[1m])) / sum(rate(ray_automodel_request_seconds_count[1m]))"
    )


def test_a_share_above_a_bound_is_what_is_not_below():
    assert Expressions("1h").share_above(REQUEST_SECONDS, 1, ()) == (
        '1 - sum(rate(ray_automodel_request_seconds_bucket{le="1.0"}[1h])) '
        "/ sum(rate(ray_automodel_request_seconds_count[1h]))"
    )


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ask.rate(REQUESTS, ("replica",)), "no label 'replica'"),
        (lambda: ask.total(WAITING_ROWS, ("outcome",)), "no label 'outcome'"),
        (lambda: ask.series(REQUESTS, {"outcome": ("fine",)}), "outcome is never 'fine'"),
        (lambda: ask.series(REQUESTS, {"api": ("openai",)}), "no label 'api'"),
        (lambda: ask.rate(REQUEST_SECONDS, ()), "is a histogram"),
        (lambda: ask.rate(REQUESTS, (), part="_sum"), "is a counter"),
        (lambda: ask.rate(REQUEST_SECONDS, ("le",), part="_sum"), "no label 'le'"),
        (lambda: ask.share_above(REQUEST_SECONDS, 3, ()), "not 3"),
    ],
)
def test_what_is_not_declared_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
