"""A short load test of the running service, as `make loadtest URL=…` runs it."""

import csv
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from loadtests.load.records import read_records
from loadtests.processes.environment import ROOT
from loadtests.traffic.callers import CALLERS
from tests.service.running import RunningService

pytestmark = pytest.mark.ray

# Fast ones, so that a crowded machine can answer them; every kind of caller asks at least one.
MODELS = "prompt-injection bert-tiny spoken-digit glosses"
LAX = "up_to_rate: 8\nerror_share: {share}\n"


def loadtest(service: RunningService, folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "loadtests", "--url", service.url, "--output", str(folder), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=180)


def test_a_load_is_put_on_measured_and_reported(service: RunningService, tmp_path: Path) -> None:
    objectives = tmp_path / "slo.yaml"
    objectives.write_text(LAX.format(share=0.2))
    options = ("--models", MODELS, "--rates", "8", "--seconds", "8", "--slo", str(objectives))
    ran = loadtest(service, tmp_path, *options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    records = read_records(tmp_path / "requests.csv")
    assert Counter(record.caller for record in records).keys() == {caller.name for caller in CALLERS}
    assert {record.model for record in records} == set(MODELS.split())
    assert sum(record.is_answered for record in records) > 0.8 * len(records) > 40
    assert all(record.tokens for record in records if record.caller == "chat stream" and record.is_answered)
    models = list(csv.DictReader((tmp_path / "models.csv").read_text().splitlines()))
    asked = {row["model"]: row for row in models if row["model"] in MODELS.split()}
    assert len(asked) == 4
    answered = sum(float(row["answered"]) for row in models)
    assert answered == pytest.approx(sum(record.is_answered for record in records), rel=0.1)
    assert all(float(row["mean_batch_rows"]) >= 1 for row in asked.values())
    assert (tmp_path / "report.html").read_text().count("<svg") == 5


def test_names_that_are_not_served_are_told(service: RunningService, tmp_path: Path) -> None:
    ran = loadtest(service, tmp_path, "--models", "minilm nosuch")
    assert ran.returncode == 2
    assert "does not serve nosuch; it serves minilm" in ran.stdout
