"""The dashboard of a whole service: all its models."""

from deployments.telemetry.metrics import (
    BATCH_ROWS,
    BUILD_INFO,
    GATEWAY_REQUESTS,
    GATEWAY_SECONDS,
    IN_FLIGHT,
    ITEMS,
    MODEL_MEMORY,
    MODEL_READY,
    PADDING,
    QUEUE_SECONDS,
    REJECTED,
    REQUEST_SECONDS,
    REQUESTS,
    TOKENS,
    WAITING_ROWS,
)
from serve.observability.dashboard import Dashboard, Row
from serve.observability.indicators import ANSWERED, FAILED, Indicator, indicators
from serve.observability.metric_panels import gauge, mean, promql, quantile_by, rate
from serve.observability.objectives import BURNS, Objectives
from serve.observability.panel import Panel, Query
from serve.observability.symptom_alerts import PADDED
from serve.observability.units import COUNT, SHARE, unit_of, unit_of_rate
from serve.observability.variables import variables


def overview(objectives: Objectives) -> Dashboard:
    """All models."""
    return Dashboard(
        "overview",
        "automodel-serve: overview",
        "Every model of a service: load, outcomes, latency, batches, replicas; and the gateway.",
        variables(REQUESTS, several=True),
        [
            Row("Now", _now(objectives)),
            Row("By model", _by_model(objectives)),
            Row("Error budgets", [_burn(indicator) for indicator in indicators(objectives)]),
            Row("Gateway", _gateway()),
        ],
    )


def _failed(by: tuple[str, ...]) -> str:
    counted = promql.rate(REQUESTS, by, {"outcome": (*ANSWERED, *FAILED)})
    return f"{promql.rate(REQUESTS, by, {'outcome': FAILED})} / {counted}"


def _now(objectives: Objectives) -> list[Panel]:
    def latest(title: str, description: str, unit: str, expression: str, threshold: float | None = None) -> Panel:
        query = [Query(expression, title)]
        return Panel(title, description, unit, query, kind="stat", threshold=threshold, width=4, height=5)

    failed = f"Share of requests that the service failed: {', '.join(FAILED)}. Red: more than the objective allows."
    # `vector(0)`: 0 instead of nothing if all are ready
    unready = f"count(({promql.total(MODEL_READY, ('model', 'task'))}) == 0) or vector(0)"
    p99 = promql.quantile(0.99, REQUEST_SECONDS, ())
    return [
        latest("Requests", REQUESTS.description, unit_of_rate(REQUESTS), promql.rate(REQUESTS, ())),
        latest("Failed", failed, SHARE, _failed(()), 1 - objectives.availability),
        latest("p99", REQUEST_SECONDS.description, unit_of(REQUEST_SECONDS), p99),
        latest("Models without a replica", MODEL_READY.description, COUNT, unready, 1),
        latest("In progress", IN_FLIGHT.description, COUNT, promql.total(IN_FLIGHT, ())),
        latest("Waiting", WAITING_ROWS.description, COUNT, promql.total(WAITING_ROWS, ())),
    ]


def _by_model(objectives: Objectives) -> list[Panel]:
    model = ("model",)
    return [
        rate(REQUESTS, model),
        Panel(
            "Failed",
            f"Share of requests that the service failed: {', '.join(FAILED)}.",
            SHARE,
            [Query(_failed(model), "{{model}}")],
            threshold=1 - objectives.availability,
        ),
        rate(REJECTED, ("model", "reason")),
        quantile_by(0.5, REQUEST_SECONDS, model),
        quantile_by(0.99, REQUEST_SECONDS, model),
        quantile_by(0.95, QUEUE_SECONDS, model),
        rate(ITEMS, model),
        rate(TOKENS, ("model", "direction")),
        gauge(WAITING_ROWS, model),
        mean(BATCH_ROWS),
        mean(PADDING, threshold=PADDED, max_value=1),
        gauge(MODEL_READY, model),
        gauge(MODEL_MEMORY, model),
    ]


def _burn(indicator: Indicator) -> Panel:
    fastest = BURNS[0]
    recorded = f'{indicator.recorded(fastest.long)}{{job=~"$job",task=~"$task",model=~"$model"}}'
    return Panel(
        f"Budget: requests that {indicator.failure}",
        f"How many times faster than allowed the error budget of {indicator.allowed:.2%} was consumed in the last "
        f"{fastest.long}, from the recording rules. Red: a critical alert.",
        COUNT,
        [Query(f"{recorded} / {indicator.allowed:.6g}", "{{model}}")],
        threshold=fastest.rate,
    )


def _gateway() -> list[Panel]:
    return [
        rate(GATEWAY_REQUESTS, ("api", "code")),
        quantile_by(0.5, GATEWAY_SECONDS, ("api",)),
        quantile_by(0.99, GATEWAY_SECONDS, ("api",)),
        Panel(
            "Versions",
            BUILD_INFO.description,
            COUNT,
            [Query(promql.total(BUILD_INFO, BUILD_INFO.labels, function="count"), _versions())],
            width=24,
            height=6,
        ),
    ]


def _versions() -> str:
    return ", ".join(f"{label} {{{{{label}}}}}" for label in BUILD_INFO.labels)
