"""Servers that generate, each with a child process that puts a load on it over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtests.bench.generation.backends.continuous import BATCH_TOKENS, BLOCKS, PAGE_SIZE
from loadtests.bench.generation.child import GenerationChild, generation_child
from loadtests.bench.servers.start import service
from loadtests.processes.server import ServerError, running_server

TASK = "text-generation"
COMPLETIONS = "/v1/completions"
START_LIMIT_S = 120.0
# `transformers serve` has no option for the number of rows, and is slower with more of them (see `continuous`).
_SERVE = (
    "serve {model} --host 127.0.0.1 --device cpu --dtype float32 --continuous-batching"
    f" --cb-block-size {PAGE_SIZE} --cb-num-blocks {BLOCKS} --cb-max-batch-tokens {BATCH_TOKENS}"
)


@contextmanager
def this_service(folder: Path, model: Path) -> Iterator[GenerationChild]:
    """This service, started from its command line. The configuration is written to `folder`."""
    with service(folder, str(model), task=TASK) as server, generation_child() as child:
        child.open("http", port=server.port, path=f"/tasks/{TASK}", style="tgi")
        yield child


@contextmanager
def transformers_serve(model: Path) -> Iterator[GenerationChild]:
    """`transformers serve` with continuous batching.

    Raises:
        ServerError: it does not start on this machine.
    """
    command = _SERVE.format(model=model).split()
    example = '{"prompt": "bada cibo", "max_tokens": 2}'
    with (
        running_server("transformers.cli.transformers", command, COMPLETIONS, example, limit_s=START_LIMIT_S) as server,
        generation_child() as child,
    ):
        child.open("http", port=server.port, path=COMPLETIONS, style="openai")
        yield child


def last_line(error: ServerError) -> str:
    """The last line of the server's output, without the frame that rich draws around it."""
    lines = [line.strip(" │╭╰─╮╯") for line in str(error).splitlines()]
    return next((line for line in reversed(lines) if line), "no output")[:160]
