"""Competitor: the composition that Ray Serve's examples teach, with Ray's defaults.

An ingress, a handle, and `@serve.batch` around the model. One thing is better than in the examples: they leave
`max_ongoing_requests` at 5, which caps every batch at five. `--model FOLDER --port PORT`.
"""

from argparse import ArgumentParser
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from ray import serve
from ray.serve.handle import DeploymentHandle

from loadtests.bench.servers.ray_server import serve_until_told
from loadtests.bench.servers.sentence_model import SentenceModel

app = FastAPI()


class Request(BaseModel):
    inputs: str


@serve.deployment(max_ongoing_requests=128, ray_actor_options={"num_cpus": 0.1})
class Model:
    def __init__(self, folder: str) -> None:
        self._model = SentenceModel(folder)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.01)  # type: ignore[untyped-decorator]
    async def embed(self, texts: list[str]) -> list[list[float]]:
        return self._model.embed(texts)


@serve.deployment(max_ongoing_requests=128, ray_actor_options={"num_cpus": 0.1})
@serve.ingress(app)
class Ingress:
    def __init__(self, model: DeploymentHandle[Any]) -> None:
        self._model = model

    @app.post("/")
    async def embed(self, request: Request) -> dict[str, Any]:
        return {"embedding": await self._model.embed.remote(request.inputs)}


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    serve_until_told(Ingress.bind(Model.bind(arguments.model)), arguments.port)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
