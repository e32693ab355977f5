"""Debian's `prometheus` and `promtool`: on the path, or where `make prometheus` unpacks them."""

import shutil
from pathlib import Path

import pytest

UNPACKED = Path(__file__).parents[1] / ".prometheus" / "usr" / "bin"


def program(name: str) -> str:
    """The path of one of them; skips the test where there is none."""
    found = shutil.which(name) or shutil.which(name, path=str(UNPACKED))
    if found is None:
        pytest.skip(f"no {name} on this machine; on Debian `make prometheus` fetches it")
    return found
