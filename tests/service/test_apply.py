"""`apply`: a running service is changed under load. No request is lost, and what does not change is not touched."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.checkpoints import small_checkpoint
from tests.service.constant_load import ConstantLoad, Figures
from tests.service.running import RunningService

pytestmark = pytest.mark.ray

JUDGE, MASKS = "/tasks/text-classification", "/tasks/fill-mask"
BODIES = {
    JUDGE: {"inputs": "What a wonderful film."},
    "/models/masks": {"inputs": "Paris is the [MASK] of France."},
    MASKS: {"inputs": "Paris is the [MASK] of France."},
}
IDLE_S = 120.0
Model = dict[str, Any]


class Changed:
    """A service of small models, and its configuration, which `apply` makes it follow."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        checkpoint = str(small_checkpoint(folder / "judge", "bert", "SequenceClassification"))
        self.headless = str(small_checkpoint(folder / "masks", "bert", "MaskedLM"))
        self.judge: Model = {"model": checkpoint, "name": "judge"}
        self.second: Model = {"model": checkpoint, "name": "second"}
        self.masks: Model = {"model": self.headless, "name": "masks", "task": "fill-mask"}
        self.sleeper: Model = {
            "model": checkpoint,
            "name": "sleeper",
            "replicas": {"min": 0, "max": 1, "scale_down_delay_s": 1},
        }
        self.running = RunningService(str(self.file(self.judge, self.masks, self.sleeper)), log=folder / "log")

    def file(self, *models: Model) -> Path:
        file = self.folder / "service.yaml"
        file.write_text(yaml.safe_dump({"models": list(models)}), encoding="utf-8")
        return file

    def apply(self, *models: Model, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "serve.cli.main", "apply", str(self.file(*models)), *options]
        port = ("--port", str(self.running.port))
        return subprocess.run([*command, *port], capture_output=True, text=True, check=False, timeout=300)

    def pids(self, model: str) -> list[int]:
        return sorted(process.pid for process in self.running.replicas(model))

    def ask(self, path: str) -> httpx.Response:
        return httpx.post(f"{self.running.url}{path}", json={"inputs": "A fine day."}, timeout=60)


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Changed]:
    changed = Changed(tmp_path_factory.mktemp("changed"))
    with changed.running:
        yield changed


def test_a_dry_run_says_what_would_change_and_changes_nothing(changed: Changed) -> None:
    before = changed.pids("masks")
    ran = changed.apply(changed.judge, changed.masks | {"max_length": 64}, changed.second, options=("--dry-run",))
    assert ran.returncode == 0, ran.stderr
    assert [line.split()[:2] for line in ran.stdout.splitlines()[2:7]] == [
        ["judge", "unchanged"],
        ["masks", "upgraded"],
        ["second", "added"],
        ["sleeper", "removed"],
        ["gateway", "replaced"],
    ]
    assert "max_length: null → 64" in ran.stdout
    assert changed.pids("masks") == before


def test_what_cannot_be_done_is_refused_before_anything_is_touched(changed: Changed) -> None:
    ran = changed.apply(changed.second, changed.judge, changed.masks)
    assert ran.returncode == 1
    assert "judge answers at /tasks/text-classification and must stay the first model of this task" in ran.stderr
    ran = changed.apply(changed.judge, changed.masks | {"resources": {"num_cpus": 65}})
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: masks: requests 65 CPU, which no node has")


def test_changes_under_load_lose_no_request(changed: Changed) -> None:
    judge = changed.pids("judge")
    with ThreadPoolExecutor() as pool, ConstantLoad(changed.running.url, BODIES) as load:

        def during(what: str, change: Callable[[Changed], None]) -> Figures:
            began = time.monotonic()
            change(changed)
            took = time.monotonic() - began
            figures = load.figures(began)
            print(f"{what}: {took:.1f} s, {figures}")
            assert not figures.lost, what
            return figures

        assert changed.pids("sleeper") == []
        woken = pool.submit(changed.ask, "/models/sleeper")
        during("add and upgrade", add_and_upgrade)
        assert woken.result().status_code == 200
        during("upgrade that fails", upgrade_that_fails)
        during("more replicas", more_replicas)
        during("fewer replicas", fewer_replicas)
        assert changed.pids("judge") == judge, "a model that did not change was started anew"
        figures = during("remove the default", remove_the_default)
        assert figures.models[JUDGE] == {"judge", "second"}
    until = time.monotonic() + IDLE_S
    while changed.pids("sleeper"):
        assert time.monotonic() < until
        time.sleep(0.5)
    assert changed.ask("/models/sleeper").status_code == 200
    assert changed.running.stop() == 0
    assert changed.running.left == []
    assert "Traceback" not in changed.running.log.read_text()


def add_and_upgrade(changed: Changed) -> None:
    before = changed.pids("masks")
    ran = changed.apply(changed.judge, changed.masks | {"max_length": 64}, changed.sleeper, changed.second)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.splitlines()[-1] == "✓ 1 added, 1 upgraded"
    assert not set(before) & set(changed.pids("masks"))
    assert httpx.get(f"{changed.running.url}{MASKS}").json()["max_length"] == 64
    assert changed.ask(f"{JUDGE}/second").headers["x-model"] == "second"
    assert list(httpx.get(f"{changed.running.url}/health/ready").json()["models"])[-1] == "second"


def upgrade_that_fails(changed: Changed) -> None:
    before = changed.pids("second")
    bad = changed.second | {"model": changed.headless, "task": "text-classification"}
    ran = changed.apply(changed.judge, changed.masks | {"max_length": 64}, changed.sleeper, bad)
    assert ran.returncode == 1
    assert "error: second: " in ran.stderr
    assert "the checkpoint has no weights for" in ran.stderr
    assert "all changes were rolled back" in ran.stderr
    assert changed.pids("second") == before
    assert changed.ask(f"{JUDGE}/second").status_code == 200


def more_replicas(changed: Changed) -> None:
    _scale(changed, 2)


def fewer_replicas(changed: Changed) -> None:
    _scale(changed, 1)


def _scale(changed: Changed, replicas: int) -> None:
    before = changed.pids("masks")
    masks = changed.masks | {"max_length": 64, "replicas": {"min": replicas, "max": replicas}}
    ran = changed.apply(changed.judge, masks, changed.sleeper, changed.second)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    after = changed.pids("masks")
    assert len(after) == replicas
    assert len(set(before) & set(after)) == 1


def remove_the_default(changed: Changed) -> None:
    ran = changed.apply(changed.second, changed.masks | {"max_length": 64}, changed.sleeper)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "/tasks/text-classification moves to second" in ran.stdout
    assert "/tasks/text-classification reaches second through the gateway" in ran.stdout
    assert changed.pids("judge") == []
    time.sleep(1)
    assert changed.ask(JUDGE).headers["x-model"] == "second"
