"""The dashboard of generation: tokens, latencies, and the KV cache."""

from deployments.telemetry.metrics import (
    BATCH_ROWS,
    BATCH_SECONDS,
    FIRST_TOKEN_SECONDS,
    GUESSED_TOKENS,
    KV_CACHE_USED,
    OUTPUT_TOKEN_SECONDS,
    PROMPT_TOKENS,
    QUEUE_SECONDS,
    REQUESTS,
    RUNNING_ROWS,
    TOKENS,
    WAITING_ROWS,
)
from serve.observability.dashboard import Dashboard, Row
from serve.observability.metric_panels import gauge, mean, percentiles, promql, quantile_by, rate
from serve.observability.objectives import Objectives
from serve.observability.panel import Panel, Query
from serve.observability.symptom_alerts import CACHE_FULL
from serve.observability.units import COUNT
from serve.observability.variables import variables


def generation(objectives: Objectives) -> Dashboard:
    """Models that have generated tokens."""
    model = ("model",)
    return Dashboard(
        "generation",
        "automodel-serve: generation",
        "Generating models: tokens, time to first token, time per output token, rows, and the KV cache.",
        variables(FIRST_TOKEN_SECONDS, several=True),
        [
            Row(
                "Tokens",
                [
                    rate(TOKENS, ("model", "direction")),
                    _length("in", "Prompt tokens per request, mean"),
                    _length("out", "Generated tokens per request, mean"),
                ],
            ),
            Row(
                "Latency",
                [
                    percentiles(FIRST_TOKEN_SECONDS, threshold=objectives.first_token_s),
                    percentiles(OUTPUT_TOKEN_SECONDS),
                    percentiles(QUEUE_SECONDS),
                    quantile_by(0.95, FIRST_TOKEN_SECONDS, model, threshold=objectives.first_token_s),
                    quantile_by(0.95, OUTPUT_TOKEN_SECONDS, model),
                    quantile_by(0.95, BATCH_SECONDS, model),
                ],
            ),
            Row(
                "Rows and cache",
                [
                    mean(BATCH_ROWS),
                    gauge(RUNNING_ROWS, model),
                    gauge(WAITING_ROWS, model),
                    gauge(KV_CACHE_USED, ("model", "replica"), "max", threshold=CACHE_FULL, max_value=1, width=24),
                    rate(PROMPT_TOKENS, ("model", "source")),
                    rate(GUESSED_TOKENS, ("model", "outcome")),
                ],
            ),
        ],
    )


def _length(direction: str, title: str) -> Panel:
    tokens = promql.rate(TOKENS, ("model",), {"direction": (direction,)})
    answered = promql.rate(REQUESTS, ("model",), {"outcome": ("ok",)})
    return Panel(title, TOKENS.description, COUNT, [Query(f"{tokens} / {answered}", "{{model}}")])
