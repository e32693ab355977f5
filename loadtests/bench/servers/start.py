"""The servers that the benchmarks compare, each ready to be asked."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deployments.registry import TASKS
from loadtests.bench.encoders import minilm_folder
from loadtests.processes.server import Server, running

EXAMPLE = json.dumps({"inputs": "A man plays a guitar."})
NAME = "measured"  # of the model in this service
SERVICE_PATH = "/tasks/feature-extraction"


@contextmanager
def service(
    folder: Path,
    model: str,
    pooling: str | None = None,
    task: str = "feature-extraction",
    limits: Mapping[str, float] | None = None,
) -> Iterator[Server]:
    """This service with one model, through its command line. `folder` takes the configuration file."""
    entry: dict[str, Any] = {"model": model, "name": NAME, "task": task, "resources": {"cpu_threads": 1}}
    if pooling is not None:
        entry["pooling"] = {"mode": pooling}
    config = folder / "service.yaml"
    config.write_text(json.dumps({"models": [entry], "limits": dict(limits or {})}))  # JSON is YAML
    with running(
        "serve.cli", ["up", str(config)], f"/tasks/{task}", json.dumps(TASKS[task].example), model=NAME
    ) as server:
        yield server


@contextmanager
def fastapi_model() -> Iterator[Server]:
    """FastAPI, one forward per request."""
    with running("loadtests.bench.servers.fastapi_model", ["--model", str(minilm_folder())], "/", EXAMPLE) as server:
        yield server


@contextmanager
def taught_model() -> Iterator[Server]:
    """Ray Serve's taught composition with its own batching."""
    with running("loadtests.bench.servers.taught_model", ["--model", str(minilm_folder())], "/", EXAMPLE) as server:
        yield server
