"""Loading: what is there is loaded as asked, and what is missing is refused in words that help."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
import transformers

from deployments.checkpoints.files import find_file, read_config
from deployments.checkpoints.load import Checkpoint, choose_device, load
from deployments.config import ModelConfig, Resources
from deployments.errors import LoadError
from tests.checkpoints import Checkpoints


def kind_of(auto_model, unused_weights=()):
    """What a task's class says of loading."""

    def load_processor(source, revision):
        return transformers.AutoTokenizer.from_pretrained(source, revision=revision)

    return auto_model, load_processor, unused_weights


def load_as(settings, kind):
    return load(settings, *kind)


CLASSIFIER = kind_of("AutoModelForSequenceClassification")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return Checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def copy(tmp_path):
    """A checkpoint that may be spoilt."""
    return lambda folder: shutil.copytree(folder, tmp_path / "copy")


def config(folder, **settings):
    return ModelConfig(model=str(folder), name="small", **settings)


def test_a_checkpoint_loads_ready_to_answer(checkpoints):
    folder = checkpoints("bert", "SequenceClassification")
    loaded = load_as(config(folder), CLASSIFIER)
    assert loaded.folder == folder
    assert (loaded.device, loaded.dtype, loaded.pad_token_id) == ("cpu", "float32", 0)
    assert not loaded.model.training
    assert loaded.model.config.use_cache is False
    assert loaded.processor.is_fast
    assert loaded.config.name == "small"


@pytest.mark.parametrize(("wanted", "dtype"), [(None, "float32"), ("auto", "float32"), ("bfloat16", "bfloat16")])
def test_dtype(checkpoints, wanted, dtype):
    loaded = load_as(config(checkpoints("bert", "SequenceClassification"), dtype=wanted), CLASSIFIER)
    assert loaded.dtype == dtype
    assert next(loaded.model.parameters()).dtype == getattr(torch, dtype)


def test_a_half_precision_checkpoint_is_float32_on_a_cpu_unless_told_otherwise(checkpoints, tmp_path):
    from transformers import AutoModel

    folder = shutil.copytree(checkpoints("bert", ""), tmp_path / "half")
    AutoModel.from_pretrained(folder, dtype="bfloat16").save_pretrained(folder)
    names = kind_of("AutoModel")
    assert load_as(config(folder), names).dtype == "float32"
    assert load_as(config(folder, dtype="auto"), names).dtype == "bfloat16"


def test_a_head_that_the_checkpoint_lacks_is_never_drawn_at_random(checkpoints):
    with pytest.raises(LoadError, match=r"no weights for .*classifier\.bias, classifier\.weight") as caught:
        load_as(config(checkpoints("bert", "MaskedLM")), CLASSIFIER)
    assert "random weights" in str(caught.value)
    assert "BertForMaskedLM" in str(caught.value)


def test_weights_that_nobody_reads_may_be_missing(checkpoints):
    folder = checkpoints("bert", "MaskedLM")  # without a pooler
    assert load_as(config(folder), kind_of("AutoModel", ("pooler",))).model.pooler is not None
    with pytest.raises(LoadError, match=r"pooler\.dense"):
        load_as(config(folder), kind_of("AutoModel"))
    with pytest.raises(LoadError, match=r"pooler\.dense"):
        load_as(config(folder), kind_of("AutoModel", ("pool",)))  # whole parts of a name only


def test_weights_of_another_shape_are_refused(checkpoints, copy):
    folder = copy(checkpoints("bert", "SequenceClassification"))
    settings = json.loads((folder / "config.json").read_text())
    settings["id2label"] = {str(i): f"LABEL_{i}" for i in range(5)}
    settings["label2id"] = {label: int(i) for i, label in settings["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(LoadError, match=r"classifier\.bias is \[2\], not \[5\]"):
        load_as(config(folder), CLASSIFIER)


def test_missing_weights_are_a_load_error(checkpoints, copy):
    folder = copy(checkpoints("bert", "SequenceClassification"))
    (folder / "model.safetensors").unlink()
    with pytest.raises(LoadError, match="cannot be loaded as AutoModelForSequenceClassification"):
        load_as(config(folder), CLASSIFIER)


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])
def test_a_missing_tokenizer_is_a_load_error(checkpoints, copy, family):
    """transformers makes one up of special tokens alone, for which every text is the same."""
    folder = copy(checkpoints(family, "SequenceClassification"))
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(LoadError, match="the tokenizer has no vocabulary"):
        load_as(config(folder), CLASSIFIER)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("config.json", r"config.json: not readable as JSON"),
        ("model.safetensors", "cannot be loaded as AutoModelForSequenceClassification"),
        ("tokenizer.json", "cannot be loaded as AutoModelForSequenceClassification"),
    ],
)
def test_a_damaged_file_is_a_load_error(checkpoints, copy, file, message):
    folder = copy(checkpoints("bert", "SequenceClassification"))
    (folder / file).write_bytes((folder / file).read_bytes()[:200])
    with pytest.raises(LoadError, match=message):
        load_as(config(folder), CLASSIFIER)


def test_a_class_that_does_not_know_the_model_is_a_load_error(checkpoints):
    with pytest.raises(LoadError, match="cannot be loaded as AutoModelForCTC"):
        load_as(config(checkpoints("bert", "MaskedLM")), kind_of("AutoModelForCTC"))


def test_padding_id_comes_from_the_tokenizer_then_from_the_model(checkpoints):
    loaded = load_as(config(checkpoints("roberta", "SequenceClassification")), CLASSIFIER)
    assert loaded.pad_token_id == 1
    loaded.processor.pad_token = None
    loaded.model.config.pad_token_id = 3
    assert loaded.pad_token_id == 3
    loaded.model.config.pad_token_id = None
    assert loaded.pad_token_id == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_gpu_that_is_not_there_is_a_load_error_that_names_the_model(checkpoints):
    assert choose_device(config("x")) == "cpu"
    with pytest.raises(LoadError, match="small: a GPU is configured"):
        choose_device(config("x", device="cuda"))
    with pytest.raises(LoadError, match="small: a GPU is configured"):
        choose_device(config("x", resources=Resources(num_gpus=0.5)))
    assert choose_device(config("x", device="cpu", resources=Resources(num_gpus=1))) == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_used_exactly_when_one_is_configured(checkpoints):
    folder = checkpoints("bert", "SequenceClassification")
    assert load_as(config(folder), CLASSIFIER).device == "cpu"
    loaded = load_as(config(folder, resources=Resources(num_gpus=1)), CLASSIFIER)
    assert next(loaded.model.parameters()).device.type == "cuda"


class TestReadConfig:
    def test_reads_a_folder(self, checkpoints):
        assert read_config(str(checkpoints("bert", "MaskedLM")))["architectures"] == ["BertForMaskedLM"]

    @pytest.mark.parametrize(
        ("content", "message"),
        [(None, "no config.json found"), ("{", "not readable as JSON"), ("[]", "not a JSON object")],
    )
    def test_refuses(self, tmp_path, content, message):
        if content is not None:
            (tmp_path / "config.json").write_text(content)
        with pytest.raises(LoadError, match=message):
            read_config(str(tmp_path))

    @pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "~/no-such-folder", "a/b/c"])
    def test_a_path_is_never_looked_for_on_the_hub(self, name):
        with pytest.raises(LoadError, match="no such folder"):
            read_config(name)

    def test_a_name_that_is_none_is_a_load_error(self):
        with pytest.raises(LoadError, match="not a name!: not a local folder, not in the cache"):
            read_config("not a name!")

    def test_needs_neither_torch_nor_transformers(self, checkpoints):
        folder = str(checkpoints("bert", "MaskedLM"))
        code = (
            "import sys; from deployments.checkpoints.files import read_config; "
            f"read_config({folder!r}); print(*{{'torch', 'transformers'}} & set(sys.modules))"
        )
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert ran.stdout.strip() == ""


def test_find_file(checkpoints):
    folder = checkpoints("bert", "MaskedLM")
    assert find_file(str(folder), "config.json") == folder / "config.json"
    assert find_file(str(folder), "modules.json") is None


def test_checkpoints_are_frozen(checkpoints):
    loaded = load_as(config(checkpoints("bert", "SequenceClassification")), CLASSIFIER)
    assert isinstance(loaded, Checkpoint)
    with pytest.raises(AttributeError):
        loaded.model = None
