"""Alerts on symptoms, independent of error budgets. Each threshold has its reason beside it."""

from collections.abc import Iterator

from deployments.telemetry.metrics import (
    BATCH_SECONDS,
    BUILD_INFO,
    CANARIES,
    GATEWAY_REQUESTS,
    KV_CACHE_USED,
    MODEL_LOADS,
    MODEL_READY,
    OUT_OF_MEMORY,
    PADDING,
    QUEUE_SECONDS,
    REQUEST_SECONDS,
    REQUESTS,
    WAITING_ROWS,
)
from serve.observability.alert import Alert
from serve.observability.objectives import MIN_BAD
from serve.observability.promql import BY_API, BY_MODEL, Expressions

REFUSED = 0.01  # of requests: fewer are bursts, which a short queue is meant to refuse
QUEUED = 0.5  # of the latency: above this, callers wait longer for others than for their own answer
WAITING = 1.0  # rows on average: without a queue, its share does not matter
PADDED = 0.3  # three times the padded layout's limit (`batching.max_padding`)
BUSY = 0.1  # of the time in the model: an idle model's waste costs nothing
CACHE_FULL = 0.9  # a row can start only when another ends
LOADS = 3  # of each replica within an hour: a release and a scale-up are two
GATEWAY_FAILED = 0.05

_now = Expressions("10m")


def symptom_alerts() -> Iterator[Alert]:
    """All symptom alerts."""
    yield from _availability()
    yield from _replicas()
    yield from _load()
    yield from _waste()


def _availability() -> Iterator[Alert]:
    yield Alert(
        "AutomodelDown",
        f"absent({_now.series(BUILD_INFO)})",
        "5m",
        "critical",
        "no automodel-serve is scraped",
        "Neither a gateway nor any replica exports metrics: the service is down, or scraping is broken.",
    )
    ready = Expressions("2m").over_time(
        "max_over_time", MODEL_READY, BY_MODEL
    )  # a scrape may miss a replica that replaces another
    yield Alert(
        "AutomodelModelNotReady",
        f"{ready} == 0",
        "5m",
        "critical",
        "{{ $labels.model }} has no replica that is ready",
        "Requests to this model are not answered. Its replicas are loading, or fail their health checks.",
    )
    failed = _now.rate(GATEWAY_REQUESTS, BY_API, {"code": "5.."})
    yield Alert(
        "AutomodelGatewayFailing",
        f"{failed} / {_now.rate(GATEWAY_REQUESTS, BY_API)} > {GATEWAY_FAILED:g}\n"
        f"and {_now.increase(GATEWAY_REQUESTS, BY_API, {'code': '5..'})} >= {MIN_BAD}",
        "5m",
        "critical",
        "the gateway answers {{ $value | humanizePercentage }} of the requests to {{ $labels.api }} with 5xx",
        "A model behind it has no replica, fails or times out, or the gateway itself fails.",
    )


def _replicas() -> Iterator[Alert]:
    loads = Expressions("1h").increase(MODEL_LOADS, BY_MODEL, {"outcome": ("ready",)})
    replicas = _now.total(MODEL_READY, BY_MODEL, function="count")
    yield Alert(
        "AutomodelReplicaFlapping",
        f"{loads} > {LOADS} * {replicas}",
        "0m",
        "warning",
        "replicas of {{ $labels.model }} were loaded {{ $value | humanize }} times in an hour",
        "They are killed or fail their health checks after they have become ready; each time, requests are lost or "
        "sent again, and other replicas take over the load.",
    )
    yield Alert(
        "AutomodelLoadFailing",
        f"{Expressions('15m').increase(MODEL_LOADS, BY_MODEL, {'outcome': ('failed',)})} > 1",
        "0m",
        "critical",
        "{{ $labels.model }} cannot be loaded",
        "New replicas fail while they load. Running ones continue, but are not replaced if they end.",
    )
    yield Alert(
        "AutomodelCanaryFailing",
        f"{Expressions('15m').increase(CANARIES, BY_MODEL, {'outcome': ('failed',)})} > 0",
        "0m",
        "warning",
        "an idle replica of {{ $labels.model }} could not answer its own example",
        "Its health check fails from now on, and Ray replaces it.",
    )


def _load() -> Iterator[Alert]:
    refused = _now.rate(REQUESTS, BY_MODEL, {"outcome": ("overloaded",)})
    yield Alert(
        "AutomodelRefusing",
        f"{refused} / {_now.rate(REQUESTS, BY_MODEL)} > {REFUSED:g}",
        "10m",
        "warning",
        "{{ $labels.model }} refuses {{ $value | humanizePercentage }} of its requests",
        "It is overloaded; callers get 429 with a Retry-After.",
    )
    queued = f"{_now.rate(QUEUE_SECONDS, BY_MODEL, part='_sum')} / {_now.rate(REQUEST_SECONDS, BY_MODEL, part='_sum')}"
    waiting = f"{_now.average(WAITING_ROWS, BY_MODEL)} > {WAITING:g}"
    yield Alert(
        "AutomodelQueueing",
        f"{queued} > {QUEUED:g}\nand {waiting}",
        "15m",
        "warning",
        "requests to {{ $labels.model }} spend {{ $value | humanizePercentage }} of their time in the queue",
        "The model is busy all the time; with a little more load, it refuses requests.",
    )
    cache = f"max by ({', '.join(BY_MODEL)}) (avg_over_time({_now.series(KV_CACHE_USED)}[10m]))"
    yield Alert(
        "AutomodelKVCacheFull",
        f"{cache} > {CACHE_FULL:g}\nand {waiting}",
        "10m",
        "warning",
        "the KV cache of {{ $labels.model }} is {{ $value | humanizePercentage }} full, and rows wait for it",
        "Answers are generated one after another that could be generated together.",
    )


def _waste() -> Iterator[Alert]:
    hour = Expressions("1h")
    busy = f"{hour.rate(BATCH_SECONDS, BY_MODEL, part='_sum')} > {BUSY:g}"
    yield Alert(
        "AutomodelPaddingWaste",
        f"{hour.mean(PADDING, BY_MODEL)} > {PADDED:g}\nand {busy}",
        "1h",
        "warning",
        "{{ $value | humanizePercentage }} of the computation of {{ $labels.model }} is padding",
        "Inputs of very different length share batches; without that, the load would need fewer replicas.",
    )
    yield Alert(
        "AutomodelOutOfMemory",
        f"{hour.increase(OUT_OF_MEMORY, BY_MODEL)} > 0",
        "0m",
        "warning",
        "{{ $labels.model }} ran out of memory",
        "The batch was split, and the budget of later batches halved: the replica is slower until it is replaced.",
    )
