"""`automodel-serve` in the process of a test: a process of its own would import everything anew for seconds."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from io import StringIO
from multiprocessing import get_context
from subprocess import CompletedProcess

from typer.testing import CliRunner

from serve.cli.main import app
from serve.cli.terminal import console, error_console


def run(*arguments: str) -> "CompletedProcess[str]":
    """What the command line prints, and its exit status; what it raises beside that is raised here.

    For commands that do not join a cluster: Ray would stay in the process."""
    printed, refused = StringIO(), StringIO()
    files = console.file, error_console.file
    console.file, error_console.file = printed, refused  # they do not go through sys.stdout
    try:
        ran = CliRunner().invoke(app, arguments, catch_exceptions=False)
    finally:
        console.file, error_console.file = files
    stdout, stderr = ran.stdout + printed.getvalue(), ran.stderr + refused.getvalue()
    return CompletedProcess(arguments, ran.exit_code, stdout, stderr)


@contextmanager
def forks() -> Iterator[ProcessPoolExecutor]:
    """Runs each call in a new process, forked from one that has imported the command line: for those that use Ray."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(max_workers=1, mp_context=context, max_tasks_per_child=1) as pool:
        yield pool
