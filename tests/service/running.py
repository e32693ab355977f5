"""A real service on this machine, started through the command line and ended by process id."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import httpx
import psutil

from loadtests.processes.environment import SERVER_MARK
from loadtests.processes.process_tree import ProcessTree
from serve.cluster.launch import free_port
from serve.http.messages import new_request_id
from tests.replica_processes import replicas_among
from tests.time_spent import starting
from tests.waiting import until

START_S = 480.0
END_S = 30.0


class RunningService:
    """`automodel-serve up …` (or another module) on a free loopback port; its output is kept for messages.

    A context manager: on the way in it waits until every model is ready, on the way out it ends what it started.
    """

    def __init__(
        self,
        *arguments: str,
        log: Path,
        env: dict[str, str] | None = None,
        port: int | None = None,
        grpc_port: int | None = None,
        program: tuple[str, ...] = ("serve.cli.main", "up"),
        python: str = sys.executable,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.grpc_port = grpc_port
        self.log = log
        ports = ["--port", str(self.port), *(["--grpc-port", str(grpc_port)] if grpc_port else [])]
        command = [python, "-m", *program, *arguments, *ports]
        mark = new_request_id()
        variables = os.environ | (env or {}) | {SERVER_MARK: mark}
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=variables, start_new_session=True
            )
        self._tree = ProcessTree(self.process.pid, mark)

    def __enter__(self) -> "RunningService":
        try:
            with starting(self.log.parent.name.rstrip("0123456789")):  # the folder says whose it is
                self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_until_ready(self) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"the service ended with {self.process.returncode}:\n{self.log.read_text()}")
            try:
                if httpx.get(f"{self.url}/health/ready", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.25)
        raise TimeoutError(f"not ready after {START_S} s:\n{self.log.read_text()}")

    def wait_until_said(self, text: str) -> None:
        """Wait for something to stand in the service's output."""
        until(lambda: text in self.log.read_text(), what=f"{text!r} in {self.log}")

    def processes(self) -> list[psutil.Process]:
        """All processes of the service. Replicas are no descendants of the first: they are forks of the fork server."""
        return self._tree.processes()

    def replicas(self, application: str) -> list[psutil.Process]:
        """The processes of a Serve application's replicas."""
        return replicas_among(self.processes(), application)

    def stop(self) -> int:
        """End it as Ctrl-C would; kill what is left after `END_S`. Returns the exit status."""
        before = self.processes()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self.left = [process for process in psutil.wait_procs(before, timeout=5)[1] if process.is_running()]
        for process in self.left:
            process.kill()
        return status
