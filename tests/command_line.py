"""`automodel-serve` in the process of a test: a process of its own would import everything anew for seconds."""

from io import StringIO
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
