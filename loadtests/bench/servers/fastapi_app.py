"""A FastAPI application with one forward per request, as in most tutorials. `--port PORT [--model FOLDER]`."""

from argparse import ArgumentParser
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from loadtests.bench.servers.sentence_model import sentence_model


class Request(BaseModel):
    inputs: str


def build(folder: str | None) -> FastAPI:
    model = sentence_model(folder)
    app = FastAPI()

    @app.post("/")
    async def embed(request: Request) -> dict[str, Any]:
        # On the event loop: the thread pool would run several forwards at once, each with its own thread.
        return {"outputs": model([request.inputs])[0]}

    return app


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    uvicorn.run(build(arguments.model), host="127.0.0.1", port=arguments.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
