"""RayExporter passes on what has changed, and every gauge each time; Ray's metrics are replaced by a record of them."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from deployments.telemetry import ray_metrics
from deployments.telemetry.metrics import BATCH_ROWS, MODEL_METRICS, MODEL_READY, SPLITS
from deployments.telemetry.model_meter import ModelMeter
from deployments.telemetry.ray_metrics import RayExporter

Record = tuple[str, float, Mapping[str, str]]


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """What reaches Ray."""
    records: list[Record] = []

    class Kept:
        def __init__(self, name: str, *_: object) -> None:
            self.name = name

        def set(self, value: float, tags: Mapping[str, str]) -> None:
            records.append((self.name, value, tags))

    def add(counter: Any, value: float, tags: Mapping[str, str]) -> None:
        records.append((counter.name, value, tags))

    monkeypatch.setattr("ray.util.metrics.Counter", Kept)
    monkeypatch.setattr("ray.util.metrics.Gauge", Kept)
    monkeypatch.setattr(ray_metrics, "add_to_counter", add)
    monkeypatch.setattr(ray_metrics, "FLUSH_S", 3600)  # only the test flushes
    return records


@pytest.fixture
def meter() -> ModelMeter:
    return ModelMeter("small", "fill-mask")


@pytest.fixture
def exporter(exported: list[Record], meter: ModelMeter) -> Iterator[RayExporter]:
    exporter = RayExporter(meter.meter, MODEL_METRICS, "a-replica")
    yield exporter
    exporter.stop()


def test_every_series_begins_at_zero(exported: list[Record], exporter: RayExporter) -> None:
    exporter.flush()
    assert (SPLITS.name, 0, {"model": "small", "task": "fill-mask"}) in exported
    assert {value for name, value, _ in exported if name.startswith(BATCH_ROWS.name)} == {0}


def test_an_idle_replica_passes_on_its_gauges_alone(exported: list[Record], exporter: RayExporter) -> None:
    exporter.flush()
    exported.clear()
    exporter.flush()
    assert {name for name, _, _ in exported} == {MODEL_READY.name}  # Ray drops a gauge that is not set again


def test_what_changed_is_passed_on_once(exported: list[Record], exporter: RayExporter, meter: ModelMeter) -> None:
    exporter.flush()
    exported.clear()
    meter.split()
    meter.meter.observe(BATCH_ROWS, 3)
    exporter.flush()
    exporter.flush()
    counters = [(name, value) for name, value, _ in exported if name != MODEL_READY.name]
    assert counters.count((SPLITS.name, 1)) == 1
    assert counters.count((f"{BATCH_ROWS.name}_sum", 3)) == 1
    assert counters.count((f"{BATCH_ROWS.name}_count", 1)) == 1
    assert {name for name, _ in counters} == {SPLITS.name, *(BATCH_ROWS.name + part for part in ray_metrics.PARTS)}
