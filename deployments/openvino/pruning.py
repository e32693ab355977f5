"""Removes builds that models no longer use, and none that a process uses: replicas hold a lock on theirs."""

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from deployments.config import ModelConfig
from deployments.openvino.manifest import MANIFEST, build_folder
from deployments.zoo.cache import cache_folder

_DIGEST = r"-[0-9a-f]{16}"  # behind a model's name, as `build_folder` writes it
_held: list[IO[bytes]] = []  # locks of this process, until it ends


def hold(folder: Path) -> None:
    """Keep a build from being removed while this process runs. Without effect where files have no such locks."""
    if sys.platform == "win32":
        return
    import fcntl

    file = (folder / MANIFEST).open("rb")
    fcntl.flock(file, fcntl.LOCK_SH)
    _held.append(file)


def is_held(folder: Path) -> bool:
    """Whether a process uses a build on this machine. On Windows an open file keeps itself from being removed."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        with (folder / MANIFEST).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no manifest: not a whole build
        return False
    return False


def prune(models: Sequence[tuple[ModelConfig, type[Any]]]) -> tuple[list[Path], list[Path]]:
    """Remove builds with the names of these models that none of them uses now: of other versions, settings or weights.

    Args:
        models: of one configuration, with their tasks; builds with other names are left alone.

    Returns:
        The folders that were removed, and those that were kept because a process uses them.

    Raises:
        LoadError: a checkpoint cannot be read, so that its builds are unknown; nothing is removed.
    """
    used = {build_folder(model, kind) for model, kind in models}
    removed, kept = [], []
    for folder in sorted((cache_folder() / "builds").glob("*")):
        if folder in used or not any(_is_of(folder, model.name) for model, _ in models):
            continue
        if is_held(folder):
            kept.append(folder)
            continue
        shutil.rmtree(folder)
        removed.append(folder)
    return removed, kept


def _is_of(folder: Path, name: str) -> bool:
    return re.fullmatch(re.escape(name) + _DIGEST, folder.name) is not None
