"""`build_once` with a fake recipe: built once, never half, and safe when two do it at the same time."""

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from deployments.zoo.cache import ABANDONED_AFTER_SECONDS, build_once, built_folder, cache_folder
from deployments.zoo.model import EmbeddedModel
from deployments.zoo.package import Progress
from tests.waiting import PATIENCE_S


def ignore(stage: str, fraction: float) -> None:
    """Take progress and do nothing."""


class Recipe:
    """Writes one file and counts how often it was asked to; `wait` holds every build until all have begun."""

    def __init__(self, wait: threading.Barrier | None = None) -> None:
        self.wait = wait
        self.times = 0

    def __call__(self, wheels: Sequence[Path], into: Path, progress: Progress) -> None:
        self.times += 1
        (into / "config.json").write_text("{}")
        progress("convert", 1.0)
        if self.wait:
            self.wait.wait(timeout=PATIENCE_S)


def fake(recipe: Recipe) -> EmbeddedModel:
    """Return a model that needs no package."""
    return EmbeddedModel("fake", "fill-mask", "a fake", (), "MIT", "Made by nobody.", 0.0, 0, recipe)


def test_built_once_with_its_attribution(tmp_path: Path) -> None:
    recipe = Recipe()
    seen: list[tuple[str, float]] = []
    first = build_once(fake(recipe), tmp_path, lambda stage, fraction: seen.append((stage, fraction)))
    assert first == build_once(fake(recipe), tmp_path, ignore) == built_folder(fake(recipe), tmp_path)
    assert recipe.times == 1
    assert seen == [("convert", 1.0)]
    assert sorted(path.name for path in first.iterdir()) == ["ATTRIBUTION.txt", "config.json"]
    assert (first / "ATTRIBUTION.txt").read_text() == "fake: a fake\n\nLicence: MIT\n\nMade by nobody.\n"


def test_interrupted_build_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(stage: str, fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_once(fake(Recipe()), tmp_path, interrupted)
    assert list((tmp_path / "models").iterdir()) == []


def test_two_at_once_do_not_hurt_each_other(tmp_path: Path) -> None:
    recipe = Recipe(wait=threading.Barrier(2))
    folders: list[Path] = []
    builders = [
        threading.Thread(target=lambda: folders.append(build_once(fake(recipe), tmp_path, ignore))) for _ in range(2)
    ]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(timeout=PATIENCE_S)
    assert recipe.times == 2
    assert folders == [built_folder(fake(recipe), tmp_path)] * 2
    assert list((tmp_path / "models").iterdir()) == folders[:1]


def test_other_weights_make_another_folder(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(b"one")
    model = replace(fake(Recipe()), weights=(weights,))
    before = model.digest
    weights.write_bytes(b"two")
    assert model.digest != before
    assert fake(Recipe()).digest not in (before, model.digest)


def test_abandoned_builds_are_cleared_and_running_ones_left(tmp_path: Path) -> None:
    old, running = tmp_path / "models" / ".old-1", tmp_path / "models" / ".running-1"
    old.mkdir(parents=True)
    running.mkdir()
    long_ago = time.time() - ABANDONED_AFTER_SECONDS - 60
    os.utime(old, (long_ago, long_ago))
    build_once(fake(Recipe()), tmp_path, ignore)
    assert not old.exists()
    assert running.exists()


def test_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOMODEL_SERVE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("AUTOMODEL_SERVE_CACHE")
    assert cache_folder().name == "automodel-serve"
