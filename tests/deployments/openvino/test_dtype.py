"""Builds in another dtype than float32: what computes them, how far they are from torch, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.openvino import build as building
from deployments.openvino import precision, quantize
from deployments.openvino.agreement import agreement_of
from deployments.openvino.backend import choose_backend
from deployments.openvino.build import build_model
from deployments.openvino.calibration import items_for
from deployments.openvino.load import load_build
from deployments.openvino.manifest import REFERENCE, WEIGHTS, Build, build_folder, make_build, read_build
from deployments.replica.replica import Replica
from deployments.tasks.feature_extraction import FeatureExtraction
from deployments.tasks.image_classification import ImageClassification
from deployments.tasks.multiple_choice import MultipleChoice
from deployments.tasks.text2text_generation import Text2TextGeneration
from deployments.tasks.text_classification import TextClassification
from tests.checkpoints import Checkpoints, load_task, run_rows
from tests.media_checkpoints import MediaCheckpoints

needs_nncf = pytest.mark.skipif(not quantize.is_available(), reason="NNCF is not installed")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    return Checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOMODEL_SERVE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bfloat16_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a CPU that has it; one without computes in float32 all the same."""
    monkeypatch.setattr(precision, "cpu_capabilities", lambda: ("FP32", "BF16"))


def built(kind: Any, checkpoint: Path, dtype: str, **settings: Any) -> tuple[Any, Build]:
    """The task in torch, and the build in a dtype."""
    config = ModelConfig.model_validate({"model": str(checkpoint), "name": "small", "dtype": dtype, **settings})
    task = load_task(kind, checkpoint, None)
    object.__setattr__(task.checkpoint, "config", config.model_copy(update={"dtype": "float32"}))
    return task, make_build(config, kind, lambda folder: build_model(task, folder, dtype))


@needs_nncf
@pytest.mark.parametrize(
    ("kind", "family"),
    [(FeatureExtraction, "bert"), (MultipleChoice, "electra")],
)
def test_int8_texts(checkpoints: Checkpoints, kind: Any, family: str) -> None:
    checkpoint = checkpoints.of(kind, family)
    task, build = built(kind, checkpoint, "int8")
    agreement = build.manifest.agreement
    assert agreement is not None
    assert 0 < agreement.largest_difference == build.manifest.difference < 0.5
    assert (agreement.label_agreement is None) == (kind is FeatureExtraction)
    assert read_build(build.folder) == build
    assert build.manifest.facts is not None
    assert build.manifest.facts.weight_bytes == (build.folder / WEIGHTS).stat().st_size
    config = ModelConfig(model=str(checkpoint), name="small", dtype="int8")
    served = load_build(config, kind, build)
    assert served.checkpoint.dtype == "int8"
    rows = [row for words in (3, 24, 200) for row in served.preprocess(served.sized_example(words)).rows]
    params = served.preprocess(served.sized_example(3)).params
    together = run_rows(served, rows, params)
    task.layout = alone = task.layouts()[-1]
    alone.attach()
    expected = [task.forward([row], params)[0] for row in rows]
    alone.detach()
    difference = max(float(np.abs(a - b).max()) for a, b in zip(together, expected, strict=True))
    assert 1e-6 < difference <= 1.5 * agreement.largest_difference


@needs_nncf
def test_int8_pictures(tmp_path: Path) -> None:
    checkpoint = MediaCheckpoints(tmp_path / "checkpoints").of(ImageClassification, "vit")
    _, build = built(ImageClassification, checkpoint, "int8")
    assert build.manifest.agreement is not None
    assert build.manifest.agreement.smallest_cosine is not None
    assert build.manifest.agreement.smallest_cosine > 0.9


@needs_nncf
def test_a_replica_says_what_was_measured_and_notices_another_machine(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = []

    def spy(*arguments: Any) -> Any:
        measured.append(agreement_of(*arguments))
        return measured[-1]

    monkeypatch.setattr(building, "agreement_of", spy)
    checkpoint = checkpoints.of(TextClassification, "bert")
    _, build = built(TextClassification, checkpoint, "int8")
    assert len(measured) == 2  # smoothed and not; the closer one stays
    assert build.manifest.agreement == max(measured, key=lambda each: each.smallest_cosine)
    config = ModelConfig(model=str(checkpoint), name="small", dtype="int8")
    replica = Replica(config, TextClassification)
    replica.load()
    replica.stop()
    told = replica.description
    assert told["backend"] == "openvino"
    assert told["backend_agreement"]["items"] > 3
    assert 0 <= told["backend_agreement"]["label_agreement"] <= 1
    with np.load(build.folder / REFERENCE) as stored:
        changed = [stored[name] + 3 for name in stored.files]
    np.savez(build.folder / REFERENCE, *changed)
    with pytest.raises(LoadError, match=r"answers otherwise on this machine.*or set another `dtype`"):
        Replica(config, TextClassification).load()


def test_bfloat16_where_the_cpu_has_it(
    checkpoints: Checkpoints, bfloat16_cpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hints = []
    graph = building.Graph

    def spy(*arguments: Any, **options: Any) -> Any:
        hints.append(options.get("precision", "f32"))
        return graph(*arguments, **options)

    monkeypatch.setattr(building, "Graph", spy)
    checkpoint = checkpoints.of(TextClassification, "bert")
    _, build = built(TextClassification, checkpoint, "bfloat16")
    assert hints == ["f32", "bf16"]  # the check of the export, and the measured one
    assert build.manifest.agreement is not None
    assert build.manifest.agreement.label_agreement == 1
    config = ModelConfig(model=str(checkpoint), name="small", dtype="bfloat16")
    assert choose_backend(config, TextClassification).build == build
    assert load_build(config, TextClassification, build).checkpoint.dtype == "bfloat16"


def test_bfloat16_where_the_cpu_lacks_it(checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch emulates it, and says why; openvino is refused."""
    monkeypatch.setattr(precision, "cpu_capabilities", lambda: ("FP32", "INT8"))
    config = ModelConfig(model=str(checkpoints.of(TextClassification, "bert")), name="small", dtype="bfloat16")
    replica = Replica(config, TextClassification)
    replica.load()
    replica.stop()
    assert replica.description["backend"] == "torch"
    assert "this CPU has no bfloat16 (avx512_bf16 or amx_bf16)" in replica.description["backend_reason"]
    assert replica.task is not None
    assert replica.task.checkpoint.dtype == "bfloat16"
    with pytest.raises(LoadError, match="backend: openvino cannot compute it: this CPU has no bfloat16"):
        choose_backend(config.model_copy(update={"backend": "openvino"}), TextClassification)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dtype": "int8", "backend": "torch"}, "int8 runs from builds of OpenVINO, not in torch"),
        ({"dtype": "int8", "device": "cuda"}, "not on a GPU"),
        ({"dtype": "int8", "resources": {"num_gpus": 0.5}}, "not on a GPU"),
        ({"calibration": "texts.jsonl"}, "calibration is of `dtype: int8` alone"),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelConfig.model_validate({"model": "small", **settings})


def test_int8_without_a_build(checkpoints: Checkpoints) -> None:
    config = ModelConfig(model=str(checkpoints.of(TextClassification, "bert")), name="small", dtype="int8")
    with pytest.raises(LoadError, match="small: dtype: int8 cannot compute it: it has no build on this machine"):
        choose_backend(config, TextClassification)
    with pytest.raises(
        LoadError,
        match="small: dtype: int8 cannot compute it: only decoders of text are exported",
    ):
        choose_backend(config, Text2TextGeneration)


def test_the_dtype_and_the_calibration_name_a_build(checkpoints: Checkpoints, tmp_path: Path) -> None:
    base = {"model": str(checkpoints.of(TextClassification, "bert"))}
    file = tmp_path / "texts.jsonl"
    file.write_text('"one"\n')

    def folder(**settings: Any) -> Path:
        return build_folder(ModelConfig.model_validate({**base, **settings}), TextClassification)

    names = {folder(), folder(dtype="bfloat16"), folder(dtype="int8"), folder(dtype="int8", calibration=str(file))}
    file.write_text('"two"\n')
    names.add(folder(dtype="int8", calibration=str(file)))
    assert len(names) == 5
    with pytest.raises(LoadError, match=r"calibration: .*absent.jsonl cannot be read"):
        folder(dtype="int8", calibration=str(tmp_path / "absent.jsonl"))


@needs_nncf
def test_a_calibration_of_ones_own(checkpoints: Checkpoints, tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    texts = ["letter" + number * " came" for number in range(12)]
    file.write_text("".join(f"{json.dumps(text)}\n" for text in texts))
    checkpoint = checkpoints.of(TextClassification, "bert")
    task = load_task(TextClassification, checkpoint, None)
    items = items_for(task, str(file))
    decoded = [task.tokenizer.decode(item.rows[0].inputs["input_ids"]) for item in items.calibrated]
    assert len(items.calibrated) == 9
    assert all("letter" in text for text in decoded)
    others = [task.tokenizer.decode(item.rows[0].inputs["input_ids"]) for item in items.measured]
    assert not {*decoded} & {*others}
    _, build = built(TextClassification, checkpoint, "int8", calibration=str(file))
    assert build.manifest.agreement is not None
    assert build.manifest.agreement.items == len(items.measured)


@pytest.fixture
def task(checkpoints: Checkpoints) -> Any:
    return load_task(TextClassification, checkpoints.of(TextClassification, "bert"), None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('"one"\n', "has 1 inputs; at least 8 are needed"),
        ('"one"\nno json\n', ":2: Expecting value"),
        ('"one"\n{"texts": 3}\n', ":2: inputs"),
        ('"one"\n' * 3 + '""\n', ":4:"),
    ],
)
def test_a_calibration_that_cannot_be_read(task: Any, tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text(content)
    with pytest.raises(LoadError, match=message):
        items_for(task, str(file))


def test_int8_where_nncf_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nncf", None)
    with pytest.raises(LoadError, match=r"NNCF, which is not installed .*automodel-serve\[int8\]"):
        quantize.import_nncf()


def test_agreement_counts_labels_and_angles(task: Any) -> None:
    expected = [[np.array([1.0, 0.0, 0.0])], [np.array([0.0, 2.0, 0.0])]]
    outputs = [[np.array([1.0, 0.0, 0.0])], [np.array([0.0, 1.0, 1.0001])]]
    found = agreement_of(outputs, expected, task.labels_of)
    assert found.items == 2
    assert found.label_agreement == 0.5
    assert found.smallest_cosine == pytest.approx(2**-0.5, abs=1e-3)
    assert found.largest_difference == pytest.approx(1.0, abs=1e-3)
    assert agreement_of([[np.array([1.0])]], [[np.array([1.5])]], task.labels_of).smallest_cosine is None
