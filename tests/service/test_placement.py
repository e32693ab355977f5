"""Models on nodes of which some pretend to have a GPU, and models that have no place or cannot be served."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.checkpoints import small_checkpoint
from tests.service.running import RunningService
from tests.time_spent import starting
from tests.waiting import until

pytestmark = pytest.mark.ray

# A node with CPUs alone, one with an L4, half of which is taken, and one more. Prints, as a line of JSON each, on how
# many nodes three replicas are that would all fit on one, and why each of some models would not be placed.
NODES = """
import json, sys
from serve.cluster.launch import set_environment
set_environment("pack")
import ray
from ray import serve
from ray.cluster_utils import Cluster
from deployments.config import ModelConfig
from serve.cluster.launch import free_port
from serve.cluster.placement import Nodes

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "include_dashboard": False})
cluster.add_node(num_cpus=1, num_gpus=1, resources={"accelerator_type:L4": 1})
cluster.add_node(num_cpus=4)
cluster.wait_for_nodes()
ray.init(cluster.address, log_to_driver=False)

@ray.remote(num_cpus=0, num_gpus=0.5)
class Neighbour:
    def node(self):
        return ray.get_runtime_context().get_node_id()

neighbour = Neighbour.remote()
ray.get(neighbour.node.remote())
models = [ModelConfig.model_validate(model) for model in json.loads(sys.argv[1])]
nodes = Nodes()
print(json.dumps([[nodes.obstacle(model) for model in models], nodes.unplaceable(models)]), flush=True)

serve.start(http_options={"host": "127.0.0.1", "port": free_port()})

@serve.deployment(num_replicas=3, ray_actor_options={"num_cpus": 0.1})
class Model:
    pass

serve.run(Model.bind(), route_prefix=None)
found = [actor["Address"]["NodeID"] for actor in ray._private.state.actors().values()
         if actor["State"] == "ALIVE" and actor["ActorClassName"].startswith("ServeReplica")]
print(json.dumps([len(found), len(set(found))]), flush=True)
ray.shutdown()
cluster.shutdown()
"""


def model(name: str, **resources: Any) -> dict[str, Any]:
    return {"model": "none", "name": name, "resources": resources}


def test_nodes_say_who_fits_and_replicas_are_packed_where_that_is_wanted() -> None:
    models = [
        model("shares", num_gpus=0.5, accelerator_type="L4"),
        model("waits", num_gpus=1),
        model("never", num_gpus=2),
        model("elsewhere", num_gpus=1, accelerator_type="H100"),
        model("cpus", num_cpus=2),
    ]
    with starting("three nodes"):
        ran = subprocess.run(
            [sys.executable, "-c", NODES, json.dumps(models)],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env=os.environ | {"PYTHONPATH": os.getcwd()},
        )
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("[")]
    (obstacles, impossible), packed = lines
    assert obstacles[0] == obstacles[4] == ""
    assert obstacles[1].startswith("requests 0.1 CPU, 1 GPU; free are ")
    assert "0.5 GPU" in obstacles[1]
    assert list(impossible) == ["never", "elsewhere"]
    assert "2 GPU, which no node has" in impossible["never"]
    assert "(L4)" in impossible["elsewhere"]
    assert packed == [3, 1]  # spread, as Ray does by itself, they are on more


def test_models_that_cannot_be_served_do_not_end_the_others(tmp_path: Path) -> None:
    """One whose files are not there, one that no node has room for, and one whose weights do not fit."""
    good, broken = (small_checkpoint(tmp_path / name, "bert", "SequenceClassification") for name in ("good", "broken"))
    settings = json.loads((broken / "config.json").read_text())
    labels = {str(i): f"LABEL_{i}" for i in range(5)}
    settings |= {"id2label": labels, "label2id": {label: int(i) for i, label in labels.items()}}
    (broken / "config.json").write_text(json.dumps(settings))
    models = [
        {"model": "./absent", "name": "absent"},
        {"model": str(good), "name": "large", "resources": {"num_cpus": 65}},
        {"model": str(broken), "name": "broken"},
        {"model": str(good), "name": "good"},
    ]
    config = tmp_path / "service.yaml"
    config.write_text(json.dumps({"models": models}))
    service = RunningService(str(config), "--num-cpus", "2", log=tmp_path / "log")
    try:
        with starting("up beside broken models"):
            service.wait_until_said("broken is not served")
        answer = httpx.post(f"{service.url}/models/good", json={"inputs": "a"}, timeout=60)
        assert answer.status_code == 200, answer.text

        def health() -> httpx.Response:
            return httpx.get(f"{service.url}/health/ready", timeout=60)

        until(lambda: health().json()["status"] != "loading", what="Serve tries the broken model once more")
        assert (health().status_code, health().json()["status"]) == (503, "failed")
        states = health().json()["models"]
        assert states.pop("good")["state"] == "ready"
        words = {"absent": "no such folder", "large": "requests 65 CPU, which no node has", "broken": "not [5]"}
        assert states.keys() == words.keys()
        for name, part in words.items():
            assert part in states[name]["reason"]
            assert f"error: {name} is not served: " in service.log.read_text()
            refused = httpx.post(f"{service.url}/models/{name}", json={"inputs": "a"}, timeout=60)
            assert refused.status_code == 503
            assert f"{name} cannot be served" in refused.text
            assert part in refused.text
    finally:
        status = service.stop()
    assert status == 0
