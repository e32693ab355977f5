"""Workers that are forks: what each has of its own, what happens without a server, and when the server ends."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import orjson
import psutil
import pytest

from deployments.replica import fork_client, fork_server
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a fork server")

WORKER = """
import json, os, random, sys
import numpy
print(json.dumps({
    "arguments": sys.argv[1:], "folder": os.getcwd(), "variable": os.environ.get("MINE"),
    "secret": os.environ.get("ANOTHERS"), "process": os.getpid(), "session": os.getsid(0),
    "has_torch": "torch" in sys.modules, "drawn": [random.random(), float(numpy.random.random())],
    "parent": os.getppid(),
}))
print("to stderr", file=sys.stderr)
import atexit
atexit.register(print, "ended", file=sys.stderr)
"""


def client(modules: str, *arguments: str) -> list[str]:
    """The command that Ray runs."""
    return [sys.executable, "-I", "-S", fork_client.__file__, "torch", modules, "-u", *arguments]


def under_a_raylet(program: str) -> "subprocess.CompletedProcess[str]":
    """Run a program that starts clients, and so is the raylet of a server of its own."""
    command = [sys.executable, "-c", "import json, os, subprocess\n" + program]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("worker") / "worker.py"
    file.write_text(WORKER)
    return file


def test_forks_of_one_server(worker: Path, tmp_path: Path) -> None:
    """Each has its client's environment, folder and streams; the server ends with the raylet."""
    clients = [
        (client("json", str(worker), f"--token={token}"), str(tmp_path), variable)
        for token, variable in (("1", "ANOTHERS"), ("2", "MINE"))
    ]
    done = under_a_raylet(
        f"for command, folder, variable in {clients!r}:\n"
        "    subprocess.run(command, cwd=folder, env=os.environ | {variable: 'a'})"
    )
    one, two = (orjson.loads(line) for line in done.stdout.splitlines())
    assert done.stderr.splitlines() == ["to stderr", "ended"] * 2
    assert (one["arguments"], two["arguments"]) == (["--token=1"], ["--token=2"])
    assert one["folder"] == str(tmp_path)
    assert (one["secret"], two["secret"]) == ("a", None)
    assert two["variable"] == "a"
    assert one["has_torch"]
    assert one["parent"] == two["parent"]
    assert one["process"] == one["session"] != two["process"]
    assert not {*one["drawn"]} & {*two["drawn"]}
    until(lambda: not psutil.pid_exists(one["parent"]))


def test_the_client_ends_with_its_worker(tmp_path: Path) -> None:
    """As soon as Ray kills the worker."""
    (tmp_path / "killed.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    done = under_a_raylet(f"print(subprocess.run({client('json', str(tmp_path / 'killed.py'))!r}))")
    assert "returncode=1" in done.stdout


def test_without_a_server_a_new_python_runs_the_worker(worker: Path) -> None:
    done = under_a_raylet(f"subprocess.run({client('no_such_module', str(worker))!r})")
    assert not orjson.loads(done.stdout)["has_torch"]
    assert "No module named 'no_such_module'" in done.stderr
    assert "no fork server, a new Python starts" in done.stderr


def test_another_users_server_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"automodel-test-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind("\0" + address)
        listener.listen(1)
        user = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: user + 1)
        with pytest.raises(OSError, match="its address is taken by the user"):
            fork_client._try_connect(address)
        monkeypatch.setattr(os, "getuid", lambda: user)
        connection = fork_client._try_connect(address)
        assert connection is not None
        accepted, _ = listener.accept()
        monkeypatch.setattr(os, "getuid", lambda: user + 1)
        with pytest.raises(ValueError, match="the client is the user"):
            fork_server._receive(accepted)
        connection.close()
        accepted.close()
