"""The inputs of `compute`: every row is in one batch, and pictures are written as files."""

from pathlib import Path

from deployments.tasks.feature_extraction import FeatureExtraction
from deployments.tasks.image_classification import ImageClassification
from loadtests.bench.compute.inputs import SUBJECTS, batches
from tests.checkpoints import Checkpoints, load_task


def test_every_row_is_in_one_batch(tmp_path: Path) -> None:
    task = load_task(FeatureExtraction, Checkpoints(tmp_path).of(FeatureExtraction, "bert"))
    prepared = [task.preprocess(each) for each in SUBJECTS["text"].requests(FeatureExtraction, 40, tmp_path)]
    found = [row for batch in batches(task, prepared) for row in batch]
    assert len(found) == 40
    assert {id(row) for row in found} == {id(item.rows[0]) for item in prepared}


def test_pictures_are_files(tmp_path: Path) -> None:
    requests = SUBJECTS["image"].requests(ImageClassification, 3, tmp_path / "image")
    assert len({request.inputs.data for request in requests}) == 3
    assert len([*(tmp_path / "image").iterdir()]) == 3
