"""One `/metrics` for the whole service: every node's agent, merged.

A replica's metrics are exported by Ray's agent on its node. They are fetched from all nodes, filtered and merged: ours
(`ray_automodel_…`), and those of Ray in `RAY_METRICS`. Ray's labels of processes and sessions are dropped; `node` is
kept, so that the series of a node end with it.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import httpx
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Sample

from deployments.telemetry.metrics import EXPORTED_PREFIX, METRICS

logger = logging.getLogger(__name__)

MAX_AGE_S = 1.0  # of the response, so that several scrapers cost as much as one
# Per node: a dead one does not accept the connection, a busy one is slow. Prometheus waits 10 s for all.
CONNECT_S, TIMEOUT_S = 2.0, 8.0
SCRAPE_OK = "automodel_node_scrape_ok"
RAY_METRICS = (
    "ray_serve_deployment_replica_healthy",
    "ray_serve_deployment_replica_starts",
    "ray_serve_autoscaling_target_replicas",
    "ray_node_cpu_utilization",
    "ray_node_cpu_count",
    "ray_node_mem_used",
    "ray_node_mem_total",
    "ray_node_gpus_utilization",
    "ray_node_gram_used",
    "ray_node_gram_available",
)
# Ray's labels of processes and sessions, removed from the text: parsing them would take three times as long.
_DROPPED = re.compile(
    r'(?<=[{,])(?:SessionName|Version|Component|WorkerId|NodeAddress|ip|JobId|otel_scope_\w+)="[^"]*",?'
)
_HISTOGRAM_PARTS = {
    f"{metric.exported_name}{part}_total": f"{metric.exported_name}{part}"
    for metric in METRICS
    if metric.kind == "histogram"
    for part in ("_bucket", "_sum", "_count")
}
_DECLARED = {metric.exported_name.removesuffix("_total"): metric for metric in METRICS}

Labels = tuple[tuple[str, str], ...]


class MergedMetrics:
    """Fetches and merges the metrics of all nodes.

    Args:
        nodes: the addresses (`host:port`) of the agents; may block.
    """

    def __init__(self, nodes: Callable[[], Sequence[str]]) -> None:
        self._nodes = nodes
        self._lock = asyncio.Lock()
        self._families: list[Family] = []
        self._at = float("-inf")

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """The text and its content type: OpenMetrics if `accept` asks for it, else Prometheus' own format."""
        async with self._lock:  # one fetch for concurrent requests
            if time.monotonic() - self._at > MAX_AGE_S:
                self._families = await self._fetch()
                self._at = time.monotonic()
            families = self._families
        return await asyncio.to_thread(_write, families, accept)

    async def _fetch(self) -> list[Family]:
        addresses = await asyncio.to_thread(self._nodes)
        timeout = httpx.Timeout(TIMEOUT_S, connect=CONNECT_S)
        async with httpx.AsyncClient(timeout=timeout, trust_env=False) as client:
            texts = await asyncio.gather(*(_text(client, address) for address in addresses))
        return await asyncio.to_thread(merge, dict(zip(addresses, texts, strict=True)))


async def _text(client: httpx.AsyncClient, address: str) -> str | None:
    try:
        return (await client.get(f"http://{address}/metrics")).raise_for_status().text
    except httpx.HTTPError as error:
        logger.warning("cannot fetch the metrics of node %s: %r", address, error)
        return None


def merge(texts: Mapping[str, str | None]) -> list[Family]:
    """Merge the texts of the agents at these addresses; None for one that did not answer."""
    sums: dict[str, dict[str, dict[Labels, float]]] = {}  # family, name of the sample, labels
    kinds: dict[str, tuple[str, str]] = {}
    up = Family(SCRAPE_OK, "1 if the metrics of a node could be fetched.", "gauge")
    for address, text in texts.items():
        node = address.rpartition(":")[0].strip("[]")
        up.add_sample(SCRAPE_OK, {"node": node}, float(text is not None))
        for family in text_string_to_metric_families(_relevant(text or "")):
            for sample in family.samples:
                _add(sums, kinds, family, sample, node)
    return [up, *(_family(name, *kinds[name], samples) for name, samples in sorted(sums.items()))]


def _relevant(text: str) -> str:
    """The lines to parse, without the dropped labels."""
    prefixes = tuple(
        f"{start}{name}" for name in (EXPORTED_PREFIX, *RAY_METRICS) for start in ("", "# HELP ", "# TYPE ")
    )
    return _DROPPED.sub("", "".join(line + "\n" for line in text.splitlines() if line.startswith(prefixes)))


def _add(
    sums: dict[str, dict[str, dict[Labels, float]]],
    kinds: dict[str, tuple[str, str]],
    family: Family,
    sample: Sample,
    node: str,
) -> None:
    name, kind, documentation = family.name, family.type, family.documentation
    sample_name = _HISTOGRAM_PARTS.get(sample.name)
    if sample_name is not None:
        name, kind = sample_name.rpartition("_")[0], "histogram"
    declared = _DECLARED.get(name)
    if declared is not None:
        kind, documentation = declared.kind, declared.description
    kinds[name] = (kind, documentation)
    labels = tuple(sorted((sample.labels | {"node": node}).items()))
    series = sums.setdefault(name, {}).setdefault(sample_name or sample.name, {})
    # Series that differ only in dropped labels: counters are added up, of gauges the last is kept.
    series[labels] = sample.value + (series.get(labels, 0.0) if kind != "gauge" else 0.0)


def _family(name: str, kind: str, documentation: str, samples: Mapping[str, Mapping[Labels, float]]) -> Family:
    family = Family(name, documentation, kind)
    if kind == "histogram":
        family.samples = list(_histogram_samples(name, samples))
    else:
        for sample, series in samples.items():
            for labels, value in series.items():
                family.add_sample(sample, dict(labels), value)
    return family


def _histogram_samples(name: str, samples: Mapping[str, Mapping[Labels, float]]) -> Iterable[Sample]:
    """Each series' buckets in order, then its count and sum.

    An agent receives a histogram counter by counter, and may be scraped in between. So buckets are made non-decreasing,
    the count is the last bucket's, and a series without that one is left out.
    """
    buckets: dict[Labels, list[tuple[float, str, float]]] = {}
    for labels, value in samples.get(f"{name}_bucket", {}).items():
        bound = dict(labels)["le"]
        others = tuple(pair for pair in labels if pair[0] != "le")
        buckets.setdefault(others, []).append((float(bound), bound, value))
    for labels, bounds in buckets.items():
        ordered = sorted(bounds)
        if ordered[-1][0] != float("inf"):
            continue
        below = 0.0
        for _, bound, value in ordered:
            below = max(below, value)
            yield Sample(f"{name}_bucket", {**dict(labels), "le": bound}, below)
        yield Sample(f"{name}_count", dict(labels), below)
        yield Sample(f"{name}_sum", dict(labels), samples.get(f"{name}_sum", {}).get(labels, 0.0))


class _Collected(Collector):
    """A collector of given families."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def _write(families: Iterable[Family], accept: str) -> tuple[bytes, str]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(families))
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type
