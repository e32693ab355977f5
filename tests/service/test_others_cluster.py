"""A cluster that somebody else runs: joined and left as it was, then given a rendered configuration as KubeRay does."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from loadtests.processes.environment import SERVER_MARK
from loadtests.processes.process_tree import ProcessTree
from serve.cluster.launch import free_port
from serve.http.messages import new_request_id
from tests.checkpoints import small_checkpoint
from tests.command_line import run
from tests.replica_processes import replicas_among
from tests.service.running import START_S, RunningService
from tests.time_spent import starting
from tests.waiting import until

pytestmark = pytest.mark.ray

# What `serve run CONFIG` does, without and then with each configuration of its input; an empty line asks what is left.
DRIVER = """
import sys, time, yaml
from serve.cluster.launch import set_environment
set_environment()
import ray
from ray import serve
from ray.serve._private import api
from ray.serve.schema import ServeDeploySchema

def read(path):
    return ServeDeploySchema.model_validate(yaml.safe_load(open(path)))

ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
first = read(sys.argv[1])
client = api.serve_start(http_options=first.http_options.model_dump(), proxy_location=first.proxy_location)
print(ray.get_runtime_context().gcs_address, flush=True)
while line := sys.stdin.readline():
    if path := line.strip():
        client.deploy_apps(read(path), _blocking=False)
        continue
    end = time.monotonic() + 45  # replicas drain before they go
    while serve.status().applications and time.monotonic() < end:
        time.sleep(0.2)
    print(list(serve.status().applications), flush=True)
serve.shutdown()
ray.shutdown()
"""
# Ray's clusters want a token by default; where they keep it is the same here.
JOINING = {"RAY_AUTH_MODE": "token"}


class Cluster:
    """A local cluster with Serve on it, started from a rendered configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.checkpoint = small_checkpoint(folder / "small", "bert", "SequenceClassification")
        self.small = f"models:\n  - {{model: {self.checkpoint}, name: small}}\n"
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(self.rendered("one", self.small))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.getcwd(), SERVER_MARK: (mark := new_request_id())},
        )
        self._tree = ProcessTree(self.process.pid, mark)
        self.address = ""

    def wait_for_address(self) -> None:
        while self.address.count(":") != 1:
            self.address = self._next_line()
            assert self.process.poll() is None, "the cluster did not start"

    def rendered(self, name: str, text: str) -> Path:
        """The configuration as Ray Serve reads it."""
        source, target = self.folder / f"{name}.yaml", self.folder / f"{name}-serve.yaml"
        source.write_text(text, encoding="utf-8")
        rendered = run("render", "k8s", str(source), "--serve-config")
        assert rendered.returncode == 0, rendered.stderr
        config = yaml.safe_load(rendered.stdout)
        config["http_options"] |= {"host": "127.0.0.1", "port": self.port}
        target.write_text(yaml.safe_dump(config), encoding="utf-8")
        return target

    def deploy(self, name: str, text: str) -> None:
        self._send(str(self.rendered(name, text)))

    def left(self) -> str:
        """The applications that are still there when what was told to go had its time."""
        self._send("")
        while not (line := self._next_line()).startswith("["):
            pass
        return line

    def up(self, *arguments: str, log: Path) -> RunningService:
        """Join it with `automodel-serve up`."""
        return RunningService(*arguments, "--address", self.address, log=log, port=self.port, env=JOINING)

    def is_ready_with(self, *models: str) -> bool:
        assert self.process.poll() is None, "the cluster ended"
        try:
            answer = httpx.get(f"{self.url}/health/ready", timeout=5)
        except httpx.TransportError:
            return False
        return answer.status_code == 200 and list(answer.json()["models"]) == list(models)

    def replicas(self, application: str) -> list[int]:
        """Process ids of its replicas."""
        return [process.pid for process in replicas_among(self._tree.processes(), application)]

    def stop(self) -> None:
        before = self._tree.processes()
        try:
            self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for process in psutil.wait_procs(before, timeout=5)[1]:
            process.kill()

    def _send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def _next_line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the cluster ended"
        return line.strip()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        with starting("somebody else's cluster"):
            cluster.wait_for_address()
        yield cluster
    finally:
        cluster.stop()


def test_a_running_cluster_is_joined_and_left(cluster: Cluster, tmp_path: Path) -> None:
    with cluster.up("--model", str(cluster.checkpoint), log=tmp_path / "log") as service:
        answer = httpx.post(f"{service.url}/tasks/text-classification", json={"inputs": "a"}, timeout=30)
        assert answer.status_code == 200, answer.text
        service.wait_until_said(f"Serving at {cluster.url}")
        assert service.stop() == 0
    assert cluster.left() == "[]"


def test_a_head_that_is_missing_is_refused_at_load(cluster: Cluster, tmp_path: Path) -> None:
    body = small_checkpoint(tmp_path / "body", "bert", "MaskedLM")
    config = tmp_path / "service.yaml"
    config.write_text(f"models:\n  - model: {body}\n    name: headless\n    task: text-classification\n")
    service = cluster.up(str(config), log=tmp_path / "log")
    assert service.process.wait(START_S) == 1
    log = service.log.read_text()
    assert "headless" in log
    assert "the checkpoint has no weights for" in log
    assert "classifier.weight" in log
    service.stop()
    assert service.left == []
    assert cluster.left() == "[]"


def test_a_rendered_configuration_serves_and_changes_in_place(cluster: Cluster) -> None:
    cluster.deploy("one", cluster.small)
    until(lambda: cluster.is_ready_with("small"), START_S)
    body = {"inputs": "The river rose."}
    direct = httpx.post(f"{cluster.url}/tasks/text-classification", json=body, timeout=60)
    assert direct.status_code == 200
    assert sum(label["score"] for label in direct.json()[0]) == pytest.approx(1, abs=1e-5)
    assert direct.headers["x-model"] == "small"
    assert httpx.post(f"{cluster.url}/models/small", json=body, timeout=60).json() == direct.json()
    before = cluster.replicas("small")
    assert len(before) == 1

    cluster.deploy("two", f"{cluster.small}  - {{model: {cluster.checkpoint}, name: other}}\n")
    until(lambda: cluster.is_ready_with("small", "other"), START_S)
    other = httpx.post(f"{cluster.url}/tasks/text-classification/other", json=body, timeout=60)
    assert other.json() == direct.json()
    assert other.headers["x-model"] == "other"
    assert cluster.replicas("small") == before, "a model that did not change was started anew"
