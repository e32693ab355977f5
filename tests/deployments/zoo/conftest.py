"""Embedded models for the tests, built once in the user's cache and found there the next time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deployments.zoo.embedded import cache_folder, ensure
from deployments.zoo.package import PackageUnavailable


def _ignore(stage: str, fraction: float) -> None:
    """Take progress and do nothing."""


@pytest.fixture(scope="session")
def folder_of() -> Callable[[str], Path]:
    """Give a function from an embedded model's name to its folder; the test is skipped where it cannot be built."""
    missing: dict[str, str] = {}

    def folder(name: str) -> Path:
        if name not in missing:
            try:
                return ensure(name, cache_folder(), _ignore)
            except PackageUnavailable as error:
                missing[name] = str(error)
        pytest.skip(missing[name])

    return folder
