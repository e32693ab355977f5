"""Competitor: the composition that Ray Serve's examples teach, around a model that does nothing. `--port PORT`.

As in `taught_model`, with Ray's defaults but for `max_ongoing_requests`.
"""

from argparse import ArgumentParser
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from ray import serve
from ray.serve.handle import DeploymentHandle

from loadtests.bench.servers.ray_server import serve_until_told

app = FastAPI()


class Request(BaseModel):
    inputs: str


@serve.deployment(max_ongoing_requests=128, ray_actor_options={"num_cpus": 0.1})
class Model:
    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.01)  # type: ignore[untyped-decorator]
    async def answer(self, texts: list[str]) -> list[int]:
        return [len(text) for text in texts]


@serve.deployment(max_ongoing_requests=128, ray_actor_options={"num_cpus": 0.1})
@serve.ingress(app)
class Ingress:
    def __init__(self, model: DeploymentHandle[Any]) -> None:
        self._model = model

    @app.post("/")
    async def answer(self, request: Request) -> dict[str, int]:
        return {"characters": await self._model.answer.remote(request.inputs)}


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    serve_until_told(Ingress.bind(Model.bind()), arguments.port)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
