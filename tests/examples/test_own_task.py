"""The example of a task of one's own runs as it stands there, in a process without Ray and HTTP."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.checkpoints import small_checkpoint

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples/own_task.py"


def test_it_answers_each_text(tmp_path: Path) -> None:
    checkpoint = small_checkpoint(tmp_path / "checkpoint", "bert", "SequenceClassification")
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", str(SCRIPT), str(checkpoint)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    answers = [json.loads(line.partition("  ")[0]) for line in ran.stdout.splitlines()]
    assert len(answers) == 2
    assert all(answer["allowed"] == (answer["score"] <= 0.5) for answer in answers)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in ran.stderr.splitlines()}
    assert "torch" in imported
    assert not imported & {"ray", "starlette", "serve"}
