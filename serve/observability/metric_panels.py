"""Panels of a metric; title, unit and description come from its declaration."""

from collections.abc import Sequence
from typing import Any

from deployments.telemetry.metrics import PREFIX, Metric
from serve.observability.panel import Panel, Query
from serve.observability.promql import Expressions, Where
from serve.observability.units import unit_of, unit_of_rate

QUANTILES = (0.5, 0.95, 0.99)
promql = Expressions("$__rate_interval", {"job": "$job", "task": "$task", "model": "$model"})


def title_of(metric: Metric) -> str:
    """`automodel_queue_seconds` is "Queue time", `automodel_model_memory_bytes` "Model memory"."""
    words = metric.name.removeprefix(PREFIX).removesuffix("_total").removesuffix("_bytes").removesuffix("_ratio")
    if words.endswith("_seconds"):
        words = words.removesuffix("_seconds") + ("" if words.startswith("time_") else "_time")
    return words.replace("_", " ").capitalize().replace("Kv ", "KV ")


def legend_of(by: Sequence[str]) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in by)


def percentiles(metric: Metric, **options: Any) -> Panel:
    """The 50th, 95th and 99th percentile of a histogram."""
    queries = [Query(promql.quantile(q, metric, ()), f"p{q * 100:g}") for q in QUANTILES]
    return Panel(title_of(metric), metric.description, unit_of(metric), queries, **options)


def quantile_by(q: float, metric: Metric, by: tuple[str, ...], **options: Any) -> Panel:
    """One quantile for each value of some labels."""
    title = f"{title_of(metric)}, p{q * 100:g}"
    return Panel(
        title, metric.description, unit_of(metric), [Query(promql.quantile(q, metric, by), legend_of(by))], **options
    )


def mean(metric: Metric, by: tuple[str, ...] = ("model",), **options: Any) -> Panel:
    """The mean of a histogram."""
    title = f"{title_of(metric)}, mean"
    query = Query(promql.mean(metric, by), legend_of(by) or title)
    return Panel(title, metric.description, unit_of(metric), [query], **options)


def distribution(metric: Metric, **options: Any) -> Panel:
    """A heatmap of a histogram's buckets."""
    query = Query(promql.rate(metric, ("le",), part="_bucket"), "{{le}}")
    title = f"{title_of(metric)}, distribution"
    return Panel(title, metric.description, unit_of(metric), [query], kind="heatmap", **options)


def rate(metric: Metric, by: tuple[str, ...], where: Where | None = None, **options: Any) -> Panel:
    """The rate of a counter."""
    query = Query(promql.rate(metric, by, where), legend_of(by) or title_of(metric))
    return Panel(title_of(metric), metric.description, unit_of_rate(metric), [query], **options)


def gauge(metric: Metric, by: tuple[str, ...], function: str = "sum", **options: Any) -> Panel:
    """The values of a gauge."""
    query = Query(promql.total(metric, by, function=function), legend_of(by) or title_of(metric))
    return Panel(title_of(metric), metric.description, unit_of(metric), [query], **options)
