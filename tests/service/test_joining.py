"""`up --address`: a running cluster is joined, and left as it was."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serve.cluster.launch import free_port
from tests.checkpoints import small_checkpoint
from tests.service.running import RunningService

pytestmark = pytest.mark.ray

# A cluster as somebody else runs it, with Serve listening on the port given.
CLUSTER = """
import sys, time
from serve.cluster.launch import set_environment
set_environment()
import ray
from ray import serve
ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.readline()
end = time.monotonic() + 45  # replicas drain before they go
while serve.status().applications and time.monotonic() < end:
    time.sleep(0.2)
print(list(serve.status().applications), flush=True)
serve.shutdown()
ray.shutdown()
"""


@pytest.fixture
def cluster() -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )
    assert process.stdout is not None
    address = ""
    try:
        while address.count(":") != 1:
            address = process.stdout.readline().strip()
            assert process.poll() is None, "the cluster did not start"
        yield process, port, address
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=30)


def test_a_running_cluster_is_joined_and_left(cluster: tuple[subprocess.Popen[str], int, str], tmp_path: Path) -> None:
    process, port, address = cluster
    checkpoint = small_checkpoint(tmp_path / "small", "bert", "SequenceClassification")
    arguments = ("--model", str(checkpoint), "--address", address)
    env = {"RAY_AUTH_MODE": "token"}  # Ray's clusters want a token by default; where they keep it is the same here
    with RunningService(*arguments, log=tmp_path / "log", port=port, env=env) as service:
        answer = httpx.post(f"{service.url}/tasks/text-classification", json={"inputs": "a"}, timeout=30)
        assert answer.status_code == 200, answer.text
        service.wait_until_said(f"Serving at http://127.0.0.1:{port}")
        assert service.stop() == 0
    left, _ = process.communicate("\n", timeout=90)  # the cluster is still there, and says which applications are on it
    assert left.splitlines()[0] == "[]"
    assert process.returncode == 0
