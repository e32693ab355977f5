"""A rendered configuration, deployed the way that `serve run` and KubeRay do it; then changed in place."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from serve.cluster.launch import free_port
from tests.checkpoints import small_checkpoint
from tests.replica_processes import replicas_among
from tests.service.running import START_S

pytestmark = pytest.mark.ray

# What `serve run CONFIG` does, again for every line of its input.
DRIVER = """
import sys, yaml
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
client.deploy_apps(first, _blocking=False)
while line := sys.stdin.readline():
    client.deploy_apps(read(line.strip()), _blocking=False)
serve.shutdown()
ray.shutdown()
"""


class Deployed:
    """A local cluster with a serveConfigV2 on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None

    def deploy(self, name: str, text: str) -> None:
        """Render a configuration, and deploy what comes out."""
        source, target = self.folder / f"{name}.yaml", self.folder / f"{name}-serve.yaml"
        source.write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "serve.cli.main", "render", "k8s", str(source), "--serve-config"]
        rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        config = yaml.safe_load(rendered)
        config["http_options"] |= {"host": "127.0.0.1", "port": self.port}
        target.write_text(yaml.safe_dump(config), encoding="utf-8")
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-c", DRIVER, str(target)],
                stdin=subprocess.PIPE,
                text=True,
                start_new_session=True,
                env=os.environ | {"PYTHONPATH": os.getcwd()},
            )
        else:
            assert self.process.stdin is not None
            self.process.stdin.write(f"{target}\n")
            self.process.stdin.flush()

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            assert self.process is not None
            assert self.process.poll() is None, "the cluster ended"
            try:
                if is_so():
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.25)
        raise TimeoutError(self.url)

    def is_ready_with(self, *models: str) -> bool:
        answer = httpx.get(f"{self.url}/health/ready", timeout=5)
        return answer.status_code == 200 and list(answer.json()["models"]) == list(models)

    def replicas(self, application: str) -> list[int]:
        """Process ids of its replicas."""
        assert self.process is not None
        started = psutil.Process(self.process.pid).children(recursive=True)
        return [process.pid for process in replicas_among(started, application)]

    def stop(self) -> None:
        if self.process is None:
            return
        before = psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for process in psutil.wait_procs(before, timeout=5)[1]:
            process.kill()


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Deployed]:
    deployed = Deployed(tmp_path)
    try:
        yield deployed
    finally:
        deployed.stop()


def test_a_rendered_configuration_serves_and_changes_in_place(deployed: Deployed, tmp_path: Path) -> None:
    checkpoint = small_checkpoint(tmp_path / "small", "bert", "SequenceClassification")
    small = f"models:\n  - {{model: {checkpoint}, name: small}}\n"
    deployed.deploy("one", small)
    deployed.wait_until(lambda: deployed.is_ready_with("small"))
    body = {"inputs": "The river rose."}
    direct = httpx.post(f"{deployed.url}/tasks/text-classification", json=body, timeout=60)
    assert direct.status_code == 200
    assert sum(label["score"] for label in direct.json()[0]) == pytest.approx(1, abs=1e-5)
    assert direct.headers["x-model"] == "small"
    assert httpx.post(f"{deployed.url}/models/small", json=body, timeout=60).json() == direct.json()
    before = deployed.replicas("small")
    assert len(before) == 1

    deployed.deploy("two", f"{small}  - {{model: {checkpoint}, name: other}}\n")
    deployed.wait_until(lambda: deployed.is_ready_with("small", "other"))
    other = httpx.post(f"{deployed.url}/tasks/text-classification/other", json=body, timeout=60)
    assert other.json() == direct.json()
    assert other.headers["x-model"] == "other"
    assert deployed.replicas("small") == before, "a model that did not change was started anew"
