"""Debian's `prometheus` and `promtool`: on the path, or where `make prometheus` unpacks them."""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from serve.cluster.launch import free_port

UNPACKED = Path(__file__).parents[1] / ".prometheus" / "usr" / "bin"


def program(name: str) -> str:
    """The path of one of them; skips the test where there is none."""
    found = shutil.which(name) or shutil.which(name, path=str(UNPACKED))
    if found is None:
        pytest.skip(f"no {name} on this machine; on Debian `make prometheus` fetches it")
    return found


class RunningPrometheus:
    """A Prometheus on a free loopback port; a context manager.

    Args:
        folder: for its configuration and data.
        jobs: what it scrapes, as in its configuration.
        rules: a file of rules, evaluated as often as it scrapes: every six seconds, twice the time between two
            exports of a replica. A node that is short of processor time takes seconds for an answer.
    """

    def __init__(self, folder: Path, jobs: list[dict[str, Any]], rules: str) -> None:
        self._api = httpx.Client(base_url=f"http://127.0.0.1:{(port := free_port())}/api/v1", timeout=30)
        often = {"scrape_interval": "6s", "scrape_timeout": "6s", "evaluation_interval": "6s"}
        configuration = {"global": often, "rule_files": ["rules.yml"], "scrape_configs": jobs}
        (folder / "rules.yml").write_text(rules)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        self._log = folder / "log"
        self._command = [
            program("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]

    def __enter__(self) -> "RunningPrometheus":
        with self._log.open("w") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT)
        return self

    def __exit__(self, *_: object) -> None:
        self._api.close()
        self._process.terminate()
        self._process.wait(30)

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API; an expression that it cannot evaluate fails."""
        answer = self._api.get(path, params=parameters)
        assert answer.status_code == 200, f"{parameters}: {answer.text}"
        return answer.json()["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples that an expression has now."""
        result: list[dict[str, Any]] = self.get("/query", query=expression)["result"]
        return result

    def wait_until(self, what: str, holds: Callable[[], bool], seconds: float = 60.0) -> None:
        """Ask again and again, also while it starts."""
        end = time.monotonic() + seconds
        while True:
            try:
                if holds():
                    return
            except (httpx.TransportError, AssertionError):
                if self._process.poll() is not None:
                    raise
            assert time.monotonic() < end, f"not {what} after {seconds} s:\n{self._log.read_text()[-4000:]}"
            time.sleep(0.5)
