"""The servers that the generation benchmark compares behind HTTP, streaming, each with the load's own process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtests.bench.generation.backends.continuous import BATCH_TOKENS, BLOCKS, PAGE_SIZE
from loadtests.bench.generation.child import GenerationChild, generation_child
from loadtests.bench.servers import start as contenders
from loadtests.processes.server import ServerError, running

TASK = "text-generation"
COMPLETIONS = "/v1/completions"
START_LIMIT_S = 120.0
# `transformers serve` has no option for rows, and is slower with more of them: see `continuous`.
_SERVE = (
    "serve {model} --host 127.0.0.1 --device cpu --dtype float32 --continuous-batching"
    f" --cb-block-size {PAGE_SIZE} --cb-num-blocks {BLOCKS} --cb-max-batch-tokens {BATCH_TOKENS}"
)


@contextmanager
def service(folder: Path, model: Path) -> Iterator[GenerationChild]:
    """This service through its command line; `folder` takes the configuration file."""
    with contenders.service(folder, str(model), task=TASK) as server, generation_child() as child:
        child.open("http", port=server.port, path=f"/tasks/{TASK}", body={}, style="tgi")
        yield child


@contextmanager
def transformers_serve(model: Path) -> Iterator[GenerationChild]:
    """`transformers serve` with continuous batching.

    Raises:
        ServerError: it does not start here.
    """
    command = _SERVE.format(model=model).split()
    example = '{"prompt": "bada cibo", "max_tokens": 2}'
    with (
        running("transformers.cli.transformers", command, COMPLETIONS, example, limit_s=START_LIMIT_S) as server,
        generation_child() as child,
    ):
        child.open("http", port=server.port, path=COMPLETIONS, body={}, style="openai")
        yield child


def why(error: ServerError) -> str:
    """In a few words, why it did not start: the last thing that it said."""
    said = [line.strip(" │╭╰─╮╯") for line in str(error).splitlines()]
    return next((line for line in reversed(said) if line), "it said nothing")[:160]
