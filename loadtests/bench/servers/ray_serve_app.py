"""A Ray Serve application as in Ray's examples: an ingress, a handle, and `@serve.batch` around the model.

All settings are Ray's defaults except `max_ongoing_requests`: the examples leave it at 5, which limits every batch to
five. `--port PORT [--model FOLDER]`.
"""

import logging
import signal
import threading
from argparse import ArgumentParser
from typing import Any

import ray
from fastapi import FastAPI
from pydantic import BaseModel
from ray import serve
from ray.serve.handle import DeploymentHandle

from loadtests.bench.servers.sentence_model import sentence_model

app = FastAPI()


class Request(BaseModel):
    inputs: str


@serve.deployment(max_ongoing_requests=128, ray_actor_options={"num_cpus": 0.1})
class Model:
    def __init__(self, folder: str | None) -> None:
        self._model = sentence_model(folder)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.01)  # type: ignore[untyped-decorator]
    async def embed(self, texts: list[str]) -> list[Any]:
        return self._model(texts)


@serve.deployment(max_ongoing_requests=128, ray_actor_options={"num_cpus": 0.1})
@serve.ingress(app)
class Ingress:
    def __init__(self, model: DeploymentHandle[Any]) -> None:
        self._model = model

    @app.post("/")
    async def embed(self, request: Request) -> dict[str, Any]:
        return {"outputs": await self._model.embed.remote(request.inputs)}


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    _serve(Ingress.bind(Model.bind(arguments.model)), arguments.port)  # type: ignore[attr-defined]


def _serve(application: serve.Application, port: int) -> None:
    """Run the application until SIGINT or SIGTERM."""
    stop = threading.Event()
    ray.init("local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(application)
        stop.wait()
    finally:
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main()
