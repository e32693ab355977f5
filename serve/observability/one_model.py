"""The dashboard of one model: what its requests take, and what its replicas are doing."""

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
from serve.observability.metric_panels import ask, distribution, gauge, mean, percentiles, rate, title_of
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
        "One model: outcomes, where the time goes, how full batches are and how much of them is padding, its replicas.",
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
    spent = [ask.rate(part, (), part="_sum") for part in PARTS]
    rest = f"clamp_min({ask.rate(REQUEST_SECONDS, (), part='_sum')} - {' - '.join(spent)}, 0)"
    shares = [Query(each, title_of(part)) for each, part in zip(spent, PARTS, strict=True)]
    return [
        Panel(
            "Where the time goes",
            "Shares of all answered requests' time. The rest is reading and sending, and a client batch's parts that "
            "run beside each other.",
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
        mean(PADDING, (), threshold=PADDED, most=1),
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
