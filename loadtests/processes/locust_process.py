"""Locust as a process of its own: what it patches for gevent stays there."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from loadtests.plan import Plan
from loadtests.processes.environment import ROOT, child_environment
from loadtests.service import api_key as key

LOCUSTFILE = ROOT / "loadtests" / "locustfile.py"
END_S = 20.0  # to end when told


class LocustFailed(Exception):
    """Locust ended badly; the message has the end of what it printed."""


@contextmanager
def locust(plan: Plan, url: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Puts the plan's load on a service; ended by its process id if it is still there at the end.

    Args:
        plan: what to do.
        url: of the service.
        folder: where its log and its own statistics go.
    """
    options = ["--headless", "--only-summary", "--exit-code-on-error", "0", "--csv", str(folder / "locust")]
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", url, *options]
    with (folder / "locust.log").open("w") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=child_environment() | plan.to_environment() | key.to_environment(),
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
        if process.poll() is None:
            process.kill()
            process.wait()


def wait(process: "subprocess.Popen[bytes]", folder: Path, seconds: float) -> None:
    """Until it has ended by itself.

    Raises:
        LocustFailed: it did not, or not well.
    """
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise LocustFailed(f"locust has not ended after {seconds:.0f} s\n{log_of(folder)}") from None
    if status:
        raise LocustFailed(f"locust ended with {status}\n{log_of(folder)}")


def log_of(folder: Path, lines: int = 25) -> str:
    """The end of what it printed."""
    path = folder / "locust.log"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""
