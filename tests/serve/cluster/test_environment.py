"""Ray's environment variables: a misspelt one, or one that an upgrade has removed, would be ignored without a word."""

from functools import cache
from pathlib import Path

import pytest
import ray

from serve.cluster.environment import PLACEMENT, RAY_ENVIRONMENT

RAY = Path(ray.__file__).parent
READERS = (
    *(RAY / "_common").rglob("*.py"),
    *(RAY / "_private").rglob("*.py"),
    RAY / "serve" / "_private" / "constants.py",
    RAY / "_raylet.so",  # and with it the GCS and the raylet: one list of settings for all
)


NAMES = [*RAY_ENVIRONMENT, *(name for names in PLACEMENT.values() for name in names)]


@cache
def read_by_ray() -> frozenset[str]:
    """Those of the names that Ray's files contain."""
    found: set[str] = set()
    for file in READERS:
        content = file.read_bytes()
        found |= {name for name in NAMES if name.encode() in content}
    return frozenset(found)


@pytest.mark.parametrize("name", NAMES)
def test_ray_reads_the_variable(name: str) -> None:
    assert name in read_by_ray()
