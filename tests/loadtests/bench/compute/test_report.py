"""The report of `compute`: ratios of rounds, and variants that do not run here."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from loadtests.bench.compute.benchmark import Measured, Plan
from loadtests.bench.compute.report import report


def test_ratios_are_of_the_same_round(tmp_path: Path) -> None:
    torch = Measured("", 8.0, 7.0, 400.0, 1.0, [10.0, 40.0, 12.0], [20.0, 80.0, 24.0])
    faster = Measured("", 1.0, 0.5, 100.0, 0.99, [5.0, 20.0, 6.0], [5.0, 20.0, 6.0])
    found = {"text": {"torch": torch, "OpenVINO int8": faster, "OpenVINO bfloat16": Measured(refused="no bfloat16")}}
    made = report(Plan(), found)
    made.show(Console(width=160, quiet=True))
    made.write(tmp_path / "compute.json")
    written = json.loads((tmp_path / "compute.json").read_text())
    first, int8, absent = written["rows"]
    assert (first["x torch"], first["alone x torch"]) == (1, 1)
    assert int8["x torch"] == pytest.approx(2)
    assert int8["alone x torch"] == pytest.approx(4)
    assert int8["batch ms"] == 6
    assert absent["batch ms"] == "not run"
    assert "text: OpenVINO bfloat16: no bfloat16" in written["notes"]
