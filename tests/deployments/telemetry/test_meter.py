"""Sums of what is measured, and the declarations they come from."""

import re
import threading

import pytest

from deployments.telemetry import metrics
from deployments.telemetry.measurements import Answer, BatchReport, Load, Pace
from deployments.telemetry.meter import Meter, Series
from deployments.telemetry.metrics import BATCH_ROWS, METRICS, MODEL_METRICS, PADDING, REQUESTS
from deployments.telemetry.model_meter import ModelMeter

FIXED = {"model": "small", "task": "fill-mask"}
UNITS = {"seconds": "_seconds", "bytes": "_bytes", "ratio": "_ratio"}


@pytest.fixture
def meter() -> ModelMeter:
    return ModelMeter("small", "fill-mask")


def series(meter: Meter, metric: metrics.Metric) -> list[Series]:
    return [each for each in meter.read() if each.metric is metric]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_are_as_prometheus_wants_them(metric: metrics.Metric) -> None:
    assert re.fullmatch(r"automodel_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.name.removesuffix("_total").endswith(UNITS.get(metric.unit, ""))
    assert not re.search(r"_(count|sum|bucket)(_total)?$", metric.name), "endings of histograms"
    assert (metric.kind == "histogram") == bool(metric.buckets)
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert metric.description.endswith(".")
    assert set(metric.values) <= set(metric.labels)
    assert not {"replica", "le", "node"} & set(metric.labels), "the exporter and the gateway add these"


def test_every_name_is_declared_once() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_series_exist_before_anything_has_happened() -> None:
    known = series(Meter(MODEL_METRICS, FIXED), REQUESTS)
    assert [each.labels for each in known] == [("small", "fill-mask", outcome) for outcome in metrics.OUTCOMES]
    assert all(each.value == 0 for each in known)
    assert len(series(Meter(MODEL_METRICS, FIXED), BATCH_ROWS)) == 1


def test_a_histogram_counts_in_buckets_and_keeps_its_sum() -> None:
    meter = Meter([PADDING], FIXED)
    for value in (0.0, 0.0, 0.02, 0.03, 0.6, 1.0):
        meter.observe(PADDING, value)
    (found,) = series(meter, PADDING)
    assert found.counts == [2, 1, 1, 0, 0, 0, 0, 2, 0]  # a bound belongs to its bucket
    assert found.value == pytest.approx(1.65)
    meter.observe(PADDING, 1.5)
    assert series(meter, PADDING)[0].counts[-1] == 1
    assert found.counts[-1] == 0, "what was read is a copy"


def test_a_wrong_number_of_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="labels"):
        Meter([REQUESTS], FIXED).add(REQUESTS)


def test_threads_lose_nothing() -> None:
    meter = Meter(MODEL_METRICS, FIXED)

    def count() -> None:
        for _ in range(2000):
            meter.add(REQUESTS, "ok")
            meter.observe(BATCH_ROWS, 3)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.value(REQUESTS, "ok") == meter.value(BATCH_ROWS) == 8000


def test_an_answer_is_measured(meter: ModelMeter) -> None:
    meter.answered(Answer(b"", 0.25, 0.02, 0.5, 0.03, 4, 0.1, truncated=1, tokens=(7, 5), items=2, pace=Pace(0.5, 0.1)))
    value = meter.meter.value
    assert value(metrics.ITEMS) == 2
    assert value(metrics.TRUNCATED) == 1
    assert (value(metrics.TOKENS, "in"), value(metrics.TOKENS, "out")) == (7, 5)
    sums = {
        metric: series(meter.meter, metric)[0].value
        for metric in (metrics.QUEUE_SECONDS, metrics.FIRST_TOKEN_SECONDS, metrics.OUTPUT_TOKEN_SECONDS)
    }
    assert list(sums.values()) == [0.25, 0.75, 0.1]


@pytest.mark.parametrize(
    ("outcome", "status", "reason"),
    [
        ("ok", 200, None),
        ("client_error", 422, "invalid_input"),
        ("overloaded", 429, "overloaded"),
        ("unavailable", 503, "unavailable"),
        ("expired", 504, None),
        ("error", 500, None),
        ("cancelled", 499, None),
    ],
)
def test_a_request_is_counted_once(meter: ModelMeter, outcome: str, status: int, reason: str | None) -> None:
    meter.ended(outcome, status, 0.5)
    counted = {each.labels[-1]: each.value for each in series(meter.meter, REQUESTS) if each.value}
    assert counted == {outcome: 1}
    rejected = {each.labels[-1]: each.value for each in series(meter.meter, metrics.REJECTED) if each.value}
    assert rejected == ({reason: 1} if reason else {})
    assert meter.meter.value(metrics.REQUEST_SECONDS) == (outcome == "ok")


def test_batches_and_how_full_a_replica_is(meter: ModelMeter) -> None:
    meter.batch(BatchReport(4, 120, 0.25, 0.05))
    meter.split()
    meter.dropped("expired", 3)
    meter.watch(lambda: 9, lambda: Load(waiting=5, running=2, cache_used=0.5))
    gauges = {each.metric: each.value for each in meter.meter.read() if each.metric.kind == "gauge"}
    assert gauges[metrics.IN_FLIGHT] == 9
    assert (gauges[metrics.WAITING_ROWS], gauges[metrics.RUNNING_ROWS], gauges[metrics.KV_CACHE_USED]) == (5, 2, 0.5)
    assert meter.meter.value(metrics.BATCH_COST) == 1
    assert meter.meter.value(metrics.SPLITS) == 1
    assert meter.meter.value(metrics.ROWS_DROPPED, "expired") == 3
