"""The dashboard of one model: its requests, batches and replicas."""

from deployments.telemetry.metrics import (
    BATCH_COST,
    BATCH_ROWS,
    BATCH_SECONDS,
    CANARIES,
    FORWARD_SECONDS,
    IN_FLIGHT,
    ITEMS,
    MODEL_LOAD_SECONDS,
    MODEL_LOADS,
    MODEL_MEMORY,
    MODEL_READY,
    OUT_OF_MEMORY,
    PADDING,
    POSTPROCESS_SECONDS,
    PREPROCESS_SECONDS,
    QUEUE_SECONDS,
    REJECTED,
    REQUEST_SECONDS,
    REQUESTS,
    ROWS_DROPPED,
    RUNNING_ROWS,
    SPLITS,
    TOKENS,
    TRUNCATED,
    WAITING_ROWS,
)
from serve.observability.dashboard import Dashboard, Row
from serve.observability.metric_panels import distribution, gauge, mean, percentiles, promql, rate, title_of
from serve.observability.panel import Panel, Query
from serve.observability.symptom_alerts import PADDED
from serve.observability.units import SHARE
from serve.observability.variables import variables

PARTS = (QUEUE_SECONDS, PREPROCESS_SECONDS, FORWARD_SECONDS, POSTPROCESS_SECONDS)
REPLICA = ("replica",)


def one_model() -> Dashboard:
    """One model."""
    return Dashboard(
        "model",
        "automodel-serve: one model",
        "One model: outcomes, latency by stage, batches and their padding, replicas.",
        variables(REQUESTS, several=False),
        [
            Row("Requests", _requests()),
            Row("Time", _time()),
            Row("Batches", _batches()),
            Row("Replicas", _replicas()),
        ],
    )


def _requests() -> list[Panel]:
    return [
        rate(REQUESTS, ("outcome",), stack="normal"),
        rate(REJECTED, ("reason",), stack="normal"),
        rate(ITEMS, ()),
        rate(TOKENS, ("direction",)),
        rate(TRUNCATED, ()),
        rate(ROWS_DROPPED, ("reason",)),
    ]


def _time() -> list[Panel]:
    spent = [promql.rate(part, (), part="_sum") for part in PARTS]
    rest = f"clamp_min({promql.rate(REQUEST_SECONDS, (), part='_sum')} - {' - '.join(spent)}, 0)"
    shares = [Query(each, title_of(part)) for each, part in zip(spent, PARTS, strict=True)]
    return [
        Panel(
            "Where the time goes",
            "Shares of the latency of all answered requests. The rest is reading and sending, and parts of a client "
            "batch that run concurrently.",
            SHARE,
            [*shares, Query(rest, "Rest")],
            stack="percent",
            width=12,
        ),
        distribution(REQUEST_SECONDS, width=12),
        percentiles(REQUEST_SECONDS),
        *(percentiles(part) for part in PARTS),
    ]


def _batches() -> list[Panel]:
    return [
        mean(BATCH_ROWS, ()),
        percentiles(BATCH_COST),
        percentiles(BATCH_SECONDS),
        mean(PADDING, (), threshold=PADDED, max_value=1),
        distribution(BATCH_ROWS),
        rate(SPLITS, ()),
        gauge(WAITING_ROWS, REPLICA),
        gauge(RUNNING_ROWS, REPLICA),
        gauge(IN_FLIGHT, REPLICA),
    ]


def _replicas() -> list[Panel]:
    return [
        gauge(MODEL_READY, ()),
        gauge(MODEL_MEMORY, REPLICA),
        gauge(MODEL_LOAD_SECONDS, ("stage",), "max"),
        rate(MODEL_LOADS, ("outcome",)),
        rate(CANARIES, ("outcome",)),
        rate(OUT_OF_MEMORY, ()),
    ]
