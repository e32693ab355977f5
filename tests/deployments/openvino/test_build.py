"""Builds: the graph of a model answers as the model does in torch, alone and in a crowd."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.numerics import largest_difference
from deployments.openvino.build import build_model
from deployments.openvino.load import load_build
from deployments.openvino.manifest import REFERENCE, Build
from deployments.tasks.feature_extraction import FeatureExtraction
from deployments.tasks.feature_extraction_sparse import SparseFeatureExtraction
from deployments.tasks.fill_mask import FillMask
from deployments.tasks.image_classification import ImageClassification
from deployments.tasks.multiple_choice import MultipleChoice
from deployments.tasks.question_answering import QuestionAnswering
from deployments.tasks.speech_recognition_ctc import CTCSpeechRecognition
from deployments.tasks.text_classification import TextClassification
from deployments.tasks.token_classification import TokenClassification
from tests.checkpoints import Checkpoints, load_task, run_rows
from tests.media_checkpoints import MediaCheckpoints
from tests.sparse_checkpoints import splade

ROWS = 200
TEXTS = (
    (FeatureExtraction, "bert", "packed"),
    (TextClassification, "modernbert", "packed"),  # local attention
    (TokenClassification, "roberta", "packed"),  # positions behind the padding index
    (QuestionAnswering, "albert", "packed"),
    (FillMask, "distilbert", "packed"),  # the head at masks alone
    (MultipleChoice, "electra", "packed"),
    (FillMask, "mpnet", "padded"),
    (TextClassification, "convbert", "same-length"),
)


def built(folder: Path, kind: Any, checkpoint: Path, **config: Any) -> tuple[Any, Any, Build]:
    """The task in torch with its best layout, the task on its build, and the build."""
    torch_task = load_task(kind, checkpoint, None, **config)
    manifest = build_model(torch_task, folder)
    manifest.write(folder)
    build = Build(folder, manifest)
    assert not manifest.refused
    return load_task(kind, checkpoint, **config), load_build(torch_task.checkpoint.config, kind, build), build


def rows_of(task: Any, count: int) -> list[Any]:
    """Rows of many lengths, in no order, of equal params."""
    prepared = [task.preprocess(example) for words in range(1, 60) for example in task.sized_examples(words)]
    rows = [row for item in prepared if item.params == prepared[0].params for row in item.rows]
    return random.Random(count).choices(rows, k=count)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    return Checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.mark.parametrize(("kind", "family", "layout"), TEXTS)
def test_a_crowd_of_texts(checkpoints: Checkpoints, tmp_path: Path, kind: Any, family: str, layout: str) -> None:
    in_torch, task, build = built(tmp_path, kind, checkpoints.of(kind, family))
    assert build.manifest.layout == task.layout.name == in_torch.layout.name == layout
    rows = rows_of(task, ROWS)
    params = task.preprocess(task.sized_example(3)).params
    together = run_rows(task, rows, params)
    assert largest_difference(together, run_rows(in_torch, rows, params)) < 1e-4
    assert largest_difference(together[:20], [task.forward([row], params)[0] for row in rows[:20]]) < 1e-5


@pytest.mark.parametrize(
    ("kind", "family", "layout"),
    [(ImageClassification, "vit", "stacked"), (CTCSpeechRecognition, "wav2vec2-layer", "padded")],
)
def test_pictures_and_sound(tmp_path: Path, kind: Any, family: str, layout: str) -> None:
    checkpoint = MediaCheckpoints(tmp_path / "checkpoints").of(kind, family)
    folder = tmp_path / "build"
    folder.mkdir()
    in_torch, task, build = built(folder, kind, checkpoint)
    assert build.manifest.layout == task.layout.name == layout
    rows = rows_of(task, 30)
    params = task.preprocess(task.sized_example(3)).params
    assert largest_difference(run_rows(task, rows, params), run_rows(in_torch, rows, params)) < 1e-4
    if kind is CTCSpeechRecognition:
        assert [task.frames(n) for n in range(1, 9000, 37)] == [in_torch.frames(n) for n in range(1, 9000, 37)]


def test_a_form_that_needs_torch_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "splade"
    folder.mkdir()
    splade()(folder)
    task = load_task(SparseFeatureExtraction, folder, None)
    manifest = build_model(task, tmp_path)
    assert manifest.refused == "its sparse vectors are computed from hidden states in torch"
    assert not (tmp_path / "model.xml").exists()


def test_a_machine_that_answers_otherwise_is_noticed(checkpoints: Checkpoints, tmp_path: Path) -> None:
    _, _, build = built(tmp_path, FeatureExtraction, checkpoints.of(FeatureExtraction, "bert"))
    with np.load(tmp_path / REFERENCE) as stored:
        outputs = [stored[name] for name in stored.files]
    outputs[0][..., 0] += 0.01
    np.savez(tmp_path / REFERENCE, *outputs)
    config = ModelConfig(model=str(checkpoints.of(FeatureExtraction, "bert")), name="small")
    with pytest.raises(LoadError, match="answers otherwise on this machine than torch did at the build, by"):
        load_build(config, FeatureExtraction, build)
