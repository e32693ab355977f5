"""Locust as a process of its own: importing it patches the standard library for gevent."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from loadtests.plan import Plan
from loadtests.processes.environment import ROOT, child_environment
from loadtests.service import api_key

LOCUSTFILE = ROOT / "loadtests" / "locustfile.py"
STOP_LIMIT_S = 20.0


class LocustFailed(Exception):
    """Locust failed; the message ends with its last output."""


@contextmanager
def locust(plan: Plan, url: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the plan against a service; stop the process at the end of the context if it is still running.

    Args:
        plan: what to run.
        url: of the service.
        folder: for locust's log and statistics.
    """
    options = ["--headless", "--only-summary", "--exit-code-on-error", "0", "--csv", str(folder / "locust")]
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", url, *options]
    with (folder / "locust.log").open("w") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=child_environment() | plan.to_environment() | api_key.to_environment(),
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_LIMIT_S)
        if process.poll() is None:
            process.kill()
            process.wait()


def wait(process: "subprocess.Popen[bytes]", folder: Path, seconds: float) -> None:
    """Wait until it exits by itself.

    Raises:
        LocustFailed: it did not exit in time, or exited with another status than 0.
    """
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise LocustFailed(f"locust is still running after {seconds:.0f} s\n{last_output(folder)}") from None
    if status:
        raise LocustFailed(f"locust exited with status {status}\n{last_output(folder)}")


def last_output(folder: Path, lines: int = 25) -> str:
    """The last lines of locust's log."""
    path = folder / "locust.log"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""
