"""Every metric, declared once, for the exporter, the merged `/metrics`, dashboards, alerts and docs/metrics.md.

Ray puts `ray_` in front of each name: `automodel_requests_total` is scraped as `ray_automodel_requests_total`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

from deployments import errors

PREFIX = "automodel_"
EXPORTED_PREFIX = f"ray_{PREFIX}"

OUTCOMES = ("ok", "client_error", "overloaded", "unavailable", "expired", "cancelled", "error")
# Statuses of rejected requests and the names of their errors; an error of a special kind counts as its kind.
REASONS: Mapping[int, str] = {
    kind.status: kind.error_type for kind in errors.ServiceError.__subclasses__() if kind.status not in (500, 504)
}

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
SHORT_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
COSTS = tuple(float(4**power) for power in range(2, 13))  # 16 to 16,777,216
RATIOS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric.

    Attributes:
        name: in Prometheus, without `ray_`.
        kind: counter, gauge or histogram.
        unit: base unit of a value.
        description: one sentence.
        labels: in order; `replica` is added by the exporter where `of_replica`.
        values: of the labels whose values are known in advance; their series exist from the start.
        buckets: upper bounds of a histogram.
        of_replica: a gauge for each replica.
        begins_when_used: its series exist from the first value on: for metrics that many models never have.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    description: str
    labels: tuple[str, ...] = ("model", "task")
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()
    of_replica: bool = False
    begins_when_used: bool = False

    @property
    def exported_name(self) -> str:
        """The name that Prometheus scrapes."""
        return f"ray_{self.name}"

    def known_series(self, fixed: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
        """Label values of the series that exist from the start; none if the values of a label are not known.

        Args:
            fixed: values of labels that are the same for the whole process.
        """
        known = [(fixed[label],) if label in fixed else self.values.get(label, ()) for label in self.labels]
        yield from product(*known)


def _counter(name: str, unit: str, description: str, **labels: tuple[str, ...]) -> Metric:
    return Metric(f"{PREFIX}{name}", "counter", unit, description, ("model", "task", *labels), labels)


def _gauge(name: str, unit: str, description: str, **labels: tuple[str, ...]) -> Metric:
    return Metric(f"{PREFIX}{name}", "gauge", unit, description, ("model", "task", *labels), labels, of_replica=True)


def _histogram(
    name: str, unit: str, buckets: tuple[float, ...], description: str, *, begins_when_used: bool = False
) -> Metric:
    name = f"{PREFIX}{name}"
    return Metric(name, "histogram", unit, description, buckets=buckets, begins_when_used=begins_when_used)


REQUESTS = _counter("requests_total", "requests", "Requests that have ended, by outcome.", outcome=OUTCOMES)
REJECTED = _counter(
    "rejected_total", "requests", "Requests that were rejected, by reason.", reason=tuple(REASONS.values())
)
REQUEST_SECONDS = _histogram(
    "request_seconds", "seconds", SECONDS, "Time of an answered request in the replica; of a stream, until its end."
)
QUEUE_SECONDS = _histogram(
    "queue_seconds", "seconds", SHORT_SECONDS, "Time that an answered request waited for the model."
)
PREPROCESS_SECONDS = _histogram(
    "preprocess_seconds", "seconds", SHORT_SECONDS, "Time to preprocess an answered request for the model."
)
FORWARD_SECONDS = _histogram(
    "forward_seconds", "seconds", SECONDS, "Time of an answered request in the model, over all its batches."
)
POSTPROCESS_SECONDS = _histogram(
    "postprocess_seconds", "seconds", SHORT_SECONDS, "Time to turn the model's outputs into an answer."
)
ITEMS = _counter("items_total", "items", "Inputs of answered requests; a client batch has several.")
TRUNCATED = _counter("truncated_items_total", "items", "Inputs that were truncated to the model's maximum length.")
TOKENS = _counter(
    "tokens_total",
    "tokens",
    "Tokens of answered requests that the model read (in) or generated (out).",
    direction=("in", "out"),
)
FIRST_TOKEN_SECONDS = _histogram(
    "time_to_first_token_seconds",
    "seconds",
    SECONDS,
    "Time from a request's arrival in the queue to its first token.",
    begins_when_used=True,
)
OUTPUT_TOKEN_SECONDS = _histogram(
    "time_per_output_token_seconds",
    "seconds",
    SHORT_SECONDS,
    "Mean time per token of an answer after the first.",
    begins_when_used=True,
)
IN_FLIGHT = _gauge("requests_in_flight", "requests", "Requests in progress in a replica.")

BATCH_ROWS = _histogram("batch_rows", "rows", ROWS, "Rows of a batch: of a forward, or of a decode step.")
BATCH_COST = _histogram(
    "batch_cost", "cost", COSTS, "Cost of a batch: tokens, pixels, or milliseconds of audio; KV slots of a decode step."
)
BATCH_SECONDS = _histogram("batch_seconds", "seconds", SHORT_SECONDS, "Time of a batch in the model.")
PADDING = _histogram("padding_ratio", "ratio", RATIOS, "Share of padding in a batch.")
PROMPT_TOKENS = _counter(
    "prompt_tokens_total",
    "tokens",
    "Tokens of prompts, by where their keys came from: the prefix cache, or a forward.",
    source=("cache", "forward"),
)
GUESSED_TOKENS = _counter(
    "guessed_tokens_total",
    "tokens",
    "Tokens that were guessed from the text before them, by whether the model would have written them.",
    outcome=("accepted", "rejected"),
)
SPLITS = _counter("batch_splits_total", "batches", "Batches that failed and were retried in parts.")
OUT_OF_MEMORY = _counter("out_of_memory_total", "batches", "Batches that ran out of memory; the budget was halved.")
ROWS_DROPPED = _counter(
    "rows_dropped_total",
    "rows",
    "Rows dropped from the queue: past their deadline, or cancelled.",
    reason=("expired", "cancelled"),
)
WAITING_ROWS = _gauge("waiting_rows", "rows", "Rows in the queue.")
RUNNING_ROWS = _gauge("running_rows", "rows", "Rows in the model.")
KV_CACHE_USED = _gauge("kv_cache_used_ratio", "ratio", "Share of the key-value cache in use.")

STAGES = ("loading", "checking", "warming")
MODEL_READY = _gauge("model_ready", "boolean", "1 while a replica is loaded and passes its health checks, else 0.")
MODEL_LOAD_SECONDS = _gauge("model_load_seconds", "seconds", "Time of each stage of loading.", stage=STAGES)
MODEL_MEMORY = _gauge("model_memory_bytes", "bytes", "Memory of a model's weights and buffers on its device.")
MODEL_LOADS = _counter(
    "model_loads_total",
    "loads",
    "Loads that have ended; many in a short time mean that replicas keep failing.",
    outcome=("ready", "failed"),
)
CANARIES = _counter(
    "canaries_total",
    "forwards",
    "Forwards of an example by which an idle replica checks itself.",
    outcome=("ok", "failed"),
)

APIS = ("tasks", "models", "openai", "embeddings_inference", "open_inference", "health", "pages")
GATEWAY_REQUESTS = Metric(
    f"{PREFIX}gateway_requests_total",
    "counter",
    "requests",
    "Requests to the gateway, by API; those forwarded to a model are counted there as well.",
    ("api", "code"),
)
GATEWAY_SECONDS = Metric(
    f"{PREFIX}gateway_request_seconds",
    "histogram",
    "seconds",
    "Time of a request in the gateway, the model included.",
    ("api",),
    {"api": APIS},
    SECONDS,
    begins_when_used=True,
)
BUILD_INFO = Metric(
    f"{PREFIX}build_info",
    "gauge",
    "boolean",
    "Always 1; its labels are the versions that run.",
    ("version", "ray", "torch", "transformers", "python"),
)

MODEL_METRICS = tuple(each for each in vars().copy().values() if isinstance(each, Metric) and "model" in each.labels)
GATEWAY_METRICS = (GATEWAY_REQUESTS, GATEWAY_SECONDS, BUILD_INFO)
METRICS = (*MODEL_METRICS, *GATEWAY_METRICS)
