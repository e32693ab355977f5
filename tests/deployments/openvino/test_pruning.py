"""Removing builds that are no longer used, and never one that a process uses."""

import subprocess
import sys
from pathlib import Path

import pytest

from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.openvino.manifest import GRAPH, Manifest, make_build, versions
from deployments.openvino.pruning import is_held, prune
from deployments.tasks.text_classification import TextClassification

KIND = TextClassification
HOLDER = """
import sys
from pathlib import Path
from deployments.openvino.pruning import hold
hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelConfig:
    monkeypatch.setenv("AUTOMODEL_SERVE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    return ModelConfig(model=str(folder), name="small")


def built(config: ModelConfig) -> Path:
    def fill(folder: Path) -> Manifest:
        (folder / GRAPH).write_bytes(b"graph")
        return Manifest(layout="packed", versions=versions())

    return make_build(config, KIND, fill).folder


def test_what_is_no_longer_used_goes(config: ModelConfig) -> None:
    used = built(config)
    old = built(config.model_copy(update={"max_length": 64}))
    other = built(config.model_copy(update={"name": "small-er"}))
    foreign = used.parent / "small-notes"
    foreign.mkdir()
    assert prune([(config, KIND)]) == ([old], [])
    assert used.exists()
    assert other.exists()
    assert foreign.exists()
    assert not old.exists()
    assert prune([(config, KIND)]) == ([], [])


@pytest.mark.skipif(sys.platform == "win32", reason="files have no such locks")
def test_what_a_process_uses_stays(config: ModelConfig) -> None:
    built(config)
    old = built(config.model_copy(update={"max_length": 64}))
    command = [sys.executable, "-c", HOLDER, str(old)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        assert prune([(config, KIND)]) == ([], [old])
        holder.stdin.close()
    assert not is_held(old)
    assert prune([(config, KIND)]) == ([old], [])


def test_nothing_goes_where_a_checkpoint_cannot_be_read(config: ModelConfig, tmp_path: Path) -> None:
    old = built(config.model_copy(update={"max_length": 64}))
    (tmp_path / "checkpoint" / "config.json").unlink()
    with pytest.raises(LoadError):
        prune([(config, KIND)])
    assert old.exists()
