"""Where spans go: to a collector over OTLP, or nowhere, which costs nothing and harms nobody."""

import logging
import subprocess
import sys
import time

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes, url_attributes
from pydantic import ValidationError

from deployments.config import Tracing
from deployments.registry import KINDS
from deployments.telemetry.tracing import attributes
from deployments.telemetry.tracing.setup import open_tracer
from serve.cluster.launch import free_port
from tests.spans import Collector


def test_without_an_endpoint_nothing_is_traced_and_no_sdk_imported() -> None:
    """By us: Ray Serve imports it, too."""
    code = """
import sys
import deployments.replica.replica
import serve.middleware.access_log, serve.middleware.request_context, serve.middleware.stack, serve.middleware.tracing
from deployments.config import Tracing
from deployments.telemetry.tracing.setup import open_tracer
assert open_tracer(Tracing(), "me") is None
print(*(name for name in sys.modules if name.startswith("opentelemetry")))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (0, ""), ran.stderr


@pytest.mark.parametrize("path", ["", "/", "/v1/traces"])
def test_what_is_under_way_is_sent_when_it_ends(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    with Collector() as collector:
        tracer = open_tracer(Tracing(endpoint=collector.endpoint + path), "me", {"automodel.task": "fill-mask"})
        assert tracer is not None
        tracer.request("request", {}, {}).end({})
        tracer.close()
        (span,) = collector.spans
        assert (span.name, span.kind, span.process) == ("request", "server", "me")
        assert span.attributes == {"automodel.task": "fill-mask"}
        assert collector.paths == {"/v1/traces"}
        resource = collector.requests[0].resource_spans[0].resource
        attributes = {each.key: each.value.string_value for each in resource.attributes}
        assert attributes["service.name"] == "automodel-serve"
        assert attributes["deployment.environment.name"] == "test"


def test_a_collector_that_is_not_there_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    tracer = open_tracer(Tracing(endpoint=f"http://127.0.0.1:{free_port()}"), "me")
    assert tracer is not None
    with caplog.at_level(logging.DEBUG, logger="deployments"):
        began = time.monotonic()
        for _ in range(20_000):  # more than wait
            tracer.request("request", {}, {}).end({})
        assert time.monotonic() - began < 20, "nothing waits for it"
        time.sleep(6.5)  # some tries
        tracer.request("request", {}, {}).end({})
        began = time.monotonic()
        tracer.close()
        assert time.monotonic() - began < 4
    logged = [record for record in caplog.records if not record.name.startswith("urllib3")]
    assert [record.levelname for record in logged] == ["WARNING"], [record.getMessage() for record in logged]
    assert "are dropped until they can" in logged[0].getMessage()


def test_names_are_those_of_the_conventions() -> None:
    conventions = {
        value
        for module in (gen_ai_attributes, error_attributes, http_attributes, url_attributes)
        for value in vars(module).values()
        if isinstance(value, str)
    }
    ours = {value for name, value in vars(attributes).items() if name.isupper() and isinstance(value, str)}
    assert {name for name in ours if not name.startswith("automodel")} <= conventions


def test_operations_are_those_of_the_conventions() -> None:
    known = {each.value for each in gen_ai_attributes.GenAiOperationNameValues}
    assert {kind.operation for kind in KINDS if kind.operation} <= known


@pytest.mark.parametrize("wrong", [{"endpoint": "collector:4318"}, {"sample_ratio": 1.5}, {"sample_ratio": -1}])
def test_settings_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Tracing.model_validate(wrong)
