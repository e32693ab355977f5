"""Starts the servers that the benchmarks compare."""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from deployments.registry import TASKS
from loadtests.processes.server import Server, running_server

EXAMPLE = json.dumps({"inputs": "A man plays a guitar."})
NAME = "measured"  # of the model in this service
SERVICE_PATH = "/tasks/feature-extraction"
NOOP_PATH = "/tasks/no-op"


@contextmanager
def service(
    folder: Path,
    model: str,
    pooling: str | None = None,
    task: str = "feature-extraction",
    limits: Mapping[str, float] | None = None,
) -> Iterator[Server]:
    """This service with one model, started from its command line. The configuration is written to `folder`."""
    entry: dict[str, Any] = {"model": model, "name": NAME, "task": task, "resources": {"cpu_threads": 1}}
    if pooling is not None:
        entry["pooling"] = {"mode": pooling}
    config = folder / "service.yaml"
    config.write_text(json.dumps({"models": [entry], "limits": dict(limits or {})}))  # JSON is YAML
    body = json.dumps(TASKS[task].example)
    with running_server("serve.cli.main", ["up", str(config)], f"/tasks/{task}", body, model=NAME) as server:
        yield server


def noop_service(folder: Path, *options: str, path: str = NOOP_PATH) -> AbstractContextManager[Server]:
    """This service with a model that does nothing; `folder` has the checkpoint that it loads."""
    module = "loadtests.bench.servers.noop_service"
    return running_server(module, ["--model", str(folder), *options], path, EXAMPLE, model=NAME)


def fastapi_app(model: Path | None = None) -> AbstractContextManager[Server]:
    """FastAPI with one forward per request; without a model, it does nothing."""
    return running_server("loadtests.bench.servers.fastapi_app", _model_option(model), "/", EXAMPLE)


def ray_serve_app(model: Path | None = None) -> AbstractContextManager[Server]:
    """Ray Serve with `@serve.batch`, as in its examples; without a model, it does nothing."""
    return running_server("loadtests.bench.servers.ray_serve_app", _model_option(model), "/", EXAMPLE)


def _model_option(model: Path | None) -> list[str]:
    return [] if model is None else ["--model", str(model)]
