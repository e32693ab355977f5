"""A Redis for the head's state: the one on the path, or the one that `make redis` unpacks."""

import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from serve.cluster.launch import free_port

UNPACKED = Path(__file__).parents[2] / ".redis" / "usr"


class RedisServer:
    """Keeps what it is told in memory alone; a context manager.

    Attributes:
        address: `host:port`.
        password: that it wants.
    """

    def __init__(self, host: str, folder: Path) -> None:
        self._host, self._port, self._folder = host, free_port(), folder
        self.address, self.password = f"{host}:{self._port}", secrets.token_hex(8)

    def __enter__(self) -> "RedisServer":
        program = shutil.which("redis-server") or shutil.which("redis-server", path=str(UNPACKED / "bin"))
        if program is None:
            pytest.skip("no redis-server on this machine; on Debian `make redis` fetches it")
        libraries = ":".join(map(str, (UNPACKED / "lib").glob("*-linux-gnu")))
        keep = ["--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        command = [program, "--port", str(self._port), "--bind", self._host, "--requirepass", self.password, *keep]
        with (self._folder / "redis.log").open("w") as log:
            environment = os.environ | {"LD_LIBRARY_PATH": libraries}
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        time.sleep(0.5)
        assert self._process.poll() is None, (self._folder / "redis.log").read_text()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
