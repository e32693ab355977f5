"""Models on nodes of which some pretend to have a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serve.cluster.launch import free_port
from tests.checkpoints import small_checkpoint
from tests.time_spent import starting

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


def test_up_ends_when_a_model_has_no_place(tmp_path: Path) -> None:
    checkpoint = small_checkpoint(tmp_path / "small", "bert", "SequenceClassification")
    config = tmp_path / "service.yaml"
    config.write_text(f"models:\n  - {{model: {checkpoint}, name: small, device: cpu, resources: {{num_cpus: 65}}}}\n")
    command = [sys.executable, "-m", "serve.cli.main", "up", str(config), "--port", str(free_port()), "--num-cpus", "2"]
    with starting("up without a place"):
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 1
    assert ran.stderr.strip() == "error: small: requests 65 CPU, which no node has; there are 2 CPU"
