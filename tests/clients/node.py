"""JavaScript clients, each a program in `javascript/` that is asked in JSON."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

JAVASCRIPT = Path(__file__).parent / "javascript"
NODE = shutil.which("node")

NEEDS_NODE = [
    pytest.mark.skipif(NODE is None, reason="Node is not installed"),
    pytest.mark.skipif(
        not (JAVASCRIPT / "node_modules").exists(), reason="the client is not installed; `make javascript` does it"
    ),
]


def run(program: str, request: dict[str, Any], encode: Callable[[Any], Any] | None = None) -> dict[str, Any]:
    """What the program's client gives back as `answer`, or the `error` that it throws, with the `status`."""
    assert NODE is not None
    asked = json.dumps(request, default=encode)
    ran = subprocess.run(
        [NODE, program], cwd=JAVASCRIPT, input=asked, capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    return told
