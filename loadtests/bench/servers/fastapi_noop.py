"""Competitor: a bare FastAPI application under uvicorn, without any model. `--port PORT`."""

from argparse import ArgumentParser

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Request(BaseModel):
    inputs: str


app = FastAPI()


@app.post("/")
async def answer(request: Request) -> dict[str, int]:
    return {"characters": len(request.inputs)}


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
