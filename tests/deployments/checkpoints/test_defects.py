"""Checkpoints that cannot be served: each says what is wrong and what to do, before anything is loaded."""

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from deployments.checkpoints.defects import require_known
from deployments.checkpoints.load import require_servable
from deployments.config import ModelConfig
from deployments.errors import InvalidInput, LoadError
from deployments.registry import task_of
from tests.checkpoints import Checkpoints, load_task

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 438000000\n"
)
Spoil = Callable[[Path], object]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    return Checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def folder(checkpoints: Checkpoints, tmp_path: Path) -> Path:
    """A checkpoint that may be spoilt."""
    return shutil.copytree(checkpoints("bert", "SequenceClassification", num_labels=3), tmp_path / "copy")


def change(name: str, **entries: object) -> Spoil:
    """Set entries of a JSON file; None removes them."""

    def spoil(folder: Path) -> None:
        settings = json.loads((folder / name).read_text()) | entries
        kept = {key: value for key, value in settings.items() if value is not None}
        (folder / name).write_text(json.dumps(kept))

    return spoil


def config(**entries: object) -> Spoil:
    return change("config.json", **entries)


def alone(name: str, text: str = "{}") -> Spoil:
    """A folder with nothing but this file."""

    def spoil(folder: Path) -> None:
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / name).write_text(text)

    return spoil


def pointer(name: str) -> Spoil:
    return lambda folder: (folder / name).write_text(POINTER)


REMOTE = {"AutoConfig": "configuration_x.Config", "AutoModel": "modeling_x.Model"}
TIMM = json.dumps({"architecture": "resnet18", "num_classes": 1000, "pretrained_cfg": {"tag": "a1_in1k"}})
DEFECTS: dict[str, tuple[Spoil, str]] = {
    "weights in git-lfs": (
        pointer("model.safetensors"),
        r"pointers of git-lfs in place of model\.safetensors; run `git lfs pull` in ",
    ),
    "other weights in git-lfs": (pointer("pytorch_model.bin"), r"pointers of git-lfs in place of pytorch_model\.bin"),
    "a tokenizer in git-lfs": (pointer("tokenizer.json"), r"pointers of git-lfs in place of tokenizer\.json"),
    "a configuration in git-lfs": (pointer("config.json"), r"pointers of git-lfs in place of config\.json"),
    "labels with holes": (
        config(id2label={"0": "a", "1": "b", "3": "d"}),
        r"id2label in config\.json has 3 labels, but none for 2; add them",
    ),
    "code of its own": (
        config(model_type="superbert", auto_map=REMOTE),
        r"needs code of its own \(configuration_x\.py, modeling_x\.py\), which is not run",
    ),
    "an unknown architecture": (config(model_type="superbert"), r"transformers 5\S+ does not know .*'superbert'"),
    "no architecture": (config(model_type=None), r"config\.json has no model_type"),
    "timm": (alone("config.json", TIMM), r"a checkpoint of timm \(resnet18\), which needs timm's code"),
    "timm in transformers": (config(model_type="timm_wrapper", architecture="resnet18"), r"a checkpoint of timm"),
    "diffusers": (alone("model_index.json"), r"no config\.json, but a pipeline of diffusers"),
    "GGUF": (alone("model-q4.gguf"), r"no config\.json, but GGUF files; use the repository with the weights"),
    "ONNX": (alone("model.onnx"), r"no config\.json, but an ONNX model"),
    "nothing": (alone("README.md"), r"no config\.json found; is it a transformers checkpoint\?"),
    "no JSON": (alone("config.json", "{"), r"config\.json: not readable as JSON"),
}


@pytest.mark.parametrize(("spoil", "words"), DEFECTS.values(), ids=DEFECTS)
def test_a_defect_is_found_without_loading(folder: Path, spoil: Spoil, words: str) -> None:
    spoil(folder)
    with pytest.raises(LoadError, match=words) as caught:
        require_servable(ModelConfig(model=str(folder), name="small"))
    assert str(folder) in str(caught.value)


def test_the_documentation_has_every_defect_with_its_words(tmp_path: Path, checkpoints: Checkpoints) -> None:
    page = Path(__file__).parents[3] / "docs" / "checkpoints.md"
    rows = [line.strip("| ").split(" | ") for line in page.read_text(encoding="utf-8").splitlines() if "|" in line]
    documented = {row[0]: row[1] for row in rows if row[0] in DEFECTS}
    assert documented.keys() == DEFECTS.keys()
    for number, (name, (spoil, _)) in enumerate(DEFECTS.items()):
        folder = shutil.copytree(checkpoints("bert", "SequenceClassification", num_labels=3), tmp_path / str(number))
        spoil(folder)
        with pytest.raises(LoadError) as caught:
            require_servable(ModelConfig(model=str(folder), name="small"))
        for part in documented[name].split(" … "):
            assert part.strip(" …") in str(caught.value)


@pytest.mark.parametrize("count", [2, 5])
def test_a_number_of_labels_that_the_weights_do_not_have(folder: Path, count: int) -> None:
    labels = {str(i): f"LABEL_{i}" for i in range(count)}
    config(id2label=labels, label2id={label: int(i) for i, label in labels.items()})(folder)
    words = rf"other shapes than config\.json says \(num_labels, .*classifier\.bias is \[3\], not \[{count}\]"
    with pytest.raises(LoadError, match=words):
        loaded(folder)


def test_code_of_its_own_is_not_needed_for_an_architecture_that_transformers_has(folder: Path) -> None:
    config(auto_map=REMOTE)(folder)
    assert type(loaded(folder).checkpoint.model).__module__.startswith("transformers.models.bert.")


@pytest.mark.parametrize(("family", "known"), [("siglip_text_model", True), ("siglip_text_modell", False)])
def test_a_family_without_a_folder_in_transformers(family: str, known: bool) -> None:
    with nullcontext() if known else pytest.raises(LoadError, match=f"does not know the model_type '{family}'"):
        require_known("x", {"model_type": family})


@pytest.mark.parametrize("limit", [-1, None, 10**30])
def test_a_tokenizer_without_a_maximum(folder: Path, limit: int | None) -> None:
    change("tokenizer_config.json", model_max_length=limit)(folder)
    task = loaded(folder)
    assert task.max_length == 128  # of the position embeddings
    assert task.preprocess(task.request(inputs="a " * 500)).truncated


def test_weights_without_a_place_are_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["bert.encoder.layer.0.extra.weight"] = weights["classifier.bias"].clone()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert loaded(folder).checkpoint.unused_weights == ("bert.encoder.layer.0.extra.weight",)
    assert caplog.text.count("has no place for weights of the checkpoint: bert.encoder.layer.0.extra.weight") == 1


def test_a_token_that_the_model_has_no_embedding_for_is_refused(folder: Path) -> None:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["grobblefink"])
    tokenizer.save_pretrained(folder)
    task = loaded(folder)
    with pytest.raises(InvalidInput, match=r"inputs has the token 'grobblefink' \(\d+\), and the model has embeddings"):
        task.preprocess(task.request(inputs="a grobblefink"))
    assert task.preprocess(task.request(inputs="a guitar")).rows


def test_a_model_that_reads_places_on_a_page_is_refused(folder: Path) -> None:
    import transformers

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = transformers.AutoConfig.for_model("layoutlm", vocab_size=400, max_position_embeddings=128, **sizes)
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    with pytest.raises(LoadError, match=r"LayoutLMForSequenceClassification also reads where on a page each word is"):
        loaded(folder)


def loaded(folder: Path):  # type: ignore[no-untyped-def]
    return load_task(task_of(ModelConfig(model=str(folder), name="small")), folder)
