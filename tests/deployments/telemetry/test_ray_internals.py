"""The private names of Ray that the model side uses are there, and mean what they are used for. Starts no cluster."""

import inspect

import pytest
import ray
from ray import serve
from ray.experimental import internal_kv
from ray.util import metrics

from deployments.telemetry import ray_internals


def test_the_names_were_read_in_the_installed_version():
    assert ray.__version__.startswith(ray_internals.READ_IN + ".")


def test_the_key_value_store_takes_these_arguments():
    assert {"key", "value", "overwrite", "namespace"} <= set(inspect.signature(internal_kv._internal_kv_put).parameters)
    assert {"key", "namespace"} <= set(inspect.signature(internal_kv._internal_kv_get).parameters)


def test_a_counter_takes_zero():
    counter = metrics.Counter("test_ray_internals", "A counter.", ("label",))
    with pytest.raises(ValueError, match="must be >0"):
        counter.inc(0.0, {"label": "a"})
    ray_internals.add_to_counter(counter, 0.0, {"label": "a"})


def test_addresses_of_living_nodes(monkeypatch):
    nodes = [
        {"NodeManagerAddress": "10.0.0.1", "MetricsExportPort": 8080, "Alive": True},
        {"NodeManagerAddress": "fd00::1", "MetricsExportPort": 8080, "Alive": True},
        {"NodeManagerAddress": "10.0.0.2", "MetricsExportPort": 8080, "Alive": False},
        {"NodeManagerAddress": "10.0.0.3", "MetricsExportPort": 0, "Alive": True},
    ]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    assert ray_internals.metrics_addresses() == ["10.0.0.1:8080", "[fd00::1]:8080"]


def test_a_deployment_has_the_version_that_it_was_given():
    deployment = ray_internals.with_version(serve.deployment(lambda: None), "a")
    assert deployment.version == "a"
