"""Embedded models for the tests, built once in the user's cache and found there the next time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deployments.zoo.cache import built_folder
from deployments.zoo.embedded import EMBEDDED, cache_folder, ensure
from deployments.zoo.package import PackageUnavailable


def _ignore(stage: str, fraction: float) -> None:
    """Take progress and do nothing."""


@pytest.fixture(scope="session")
def folder_of() -> Callable[[str], Path]:
    """Give a function from an embedded model's name to its folder; the test is skipped where it cannot be built.

    So it is where an opt-in model has not been built already.
    """
    asked_for = [model for model in EMBEDDED.values() if model.opt_in]
    unbuilt = [model.name for model in asked_for if not built_folder(model, cache_folder()).is_dir()]
    missing = {name: f"{name} has not been built here, and is built only on demand" for name in unbuilt}

    def folder(name: str) -> Path:
        if name not in missing:
            try:
                return ensure(name, cache_folder(), _ignore)
            except PackageUnavailable as error:
                missing[name] = str(error)
        pytest.skip(missing[name])

    return folder
