"""A replica on a build: torch never comes in, and nothing is reported to anybody."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest

from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.openvino.build import build_model
from deployments.openvino.manifest import GRAPH, REFERENCE, make_build
from deployments.replica.replica import Replica
from deployments.tasks.token_classification import TokenClassification
from tests.checkpoints import Checkpoints, load_task
from tests.waiting import PATIENCE_S

PROGRAM = """
import asyncio, json, socket, sys
connected = []
socket.socket.connect = lambda self, address: connected.append(str(address))
from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.replica.replica import Replica
from deployments.tasks.token_classification import TokenClassification
config = ModelConfig(model=sys.argv[1], name="small", resources={"cpu_threads": 1})
replica = Replica(config, TokenClassification, owns_process=True)
replica.load()
request = TokenClassification.request.model_validate({"inputs": "the river rose in the night"})
answer = asyncio.run(replica.predict(request, lambda value: repr(len(value)).encode(), 60))
replica.stop()
libraries = open("/proc/self/maps").read() if sys.platform == "linux" else ""
print(json.dumps({
    "torch": sys.modules["torch"] is not None or "libtorch" in libraries,
    "modules": [name for name in sys.modules if name.startswith(("torch.", "openvino_telemetry."))],
    "connected": connected, "backend": replica.description["backend"],
}))
"""

BACK = """
from deployments.openvino.without_torch import allow_torch, forbid_torch
forbid_torch()
import transformers
assert not transformers.utils.is_torch_available()
allow_torch()
import transformers
assert transformers.utils.is_torch_available()
from transformers import BertConfig, BertModel
print(type(BertModel(BertConfig(hidden_size=8, num_attention_heads=2, num_hidden_layers=1, vocab_size=9))).__name__)
"""


def output_of(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_replica(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOMODEL_SERVE_CACHE", str(tmp_path / "cache"))
    checkpoint = Checkpoints(tmp_path / "checkpoints").of(TokenClassification, "bert")
    config = ModelConfig(model=str(checkpoint), name="small")
    task = load_task(TokenClassification, checkpoint, None)
    make_build(config, TokenClassification, lambda folder: build_model(task, folder))
    told = orjson.loads(output_of(PROGRAM, str(checkpoint)))
    assert told == {"torch": False, "modules": [], "connected": [], "backend": "openvino"}


def test_a_build_that_does_not_hold_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch computes, and says why; where openvino is configured, the model is refused."""
    monkeypatch.setenv("AUTOMODEL_SERVE_CACHE", str(tmp_path / "cache"))
    checkpoint = Checkpoints(tmp_path / "checkpoints").of(TokenClassification, "bert")
    task = load_task(TokenClassification, checkpoint, None)
    config = ModelConfig(model=str(checkpoint), name="small")
    build = make_build(config, TokenClassification, lambda folder: build_model(task, folder))
    with np.load(build.folder / REFERENCE) as stored:
        changed = [stored[name] + 0.01 for name in stored.files]
    np.savez(build.folder / REFERENCE, *changed)
    replica = Replica(config, TokenClassification)
    replica.load()
    replica.stop()
    assert replica.description["backend"] == "torch"
    assert "OpenVINO answers otherwise on this machine" in replica.description["backend_reason"]
    assert replica.description["layout"] == "packed"
    size = (build.folder / GRAPH).stat().st_size
    (build.folder / GRAPH).write_bytes(b"<" * size)
    replica = Replica(config, TokenClassification)
    replica.load()
    replica.stop()
    assert "OpenVINO fails on this machine" in replica.description["backend_reason"]
    with pytest.raises(LoadError, match="OpenVINO fails on this machine"):
        Replica(config.model_copy(update={"backend": "openvino"}), TokenClassification).load()


def test_torch_comes_back_where_it_is_needed_after_all() -> None:
    assert output_of(BACK).strip() == "BertModel"
