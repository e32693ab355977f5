"""Adapters of PEFT, merged at load, against PEFT's own answers with the adapter beside its base."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers

from deployments.checkpoints import adapter as adapters
from deployments.checkpoints.files import read_config
from deployments.checkpoints.load import require_servable
from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.registry import task_of
from deployments.tasks.speech_recognition_seq2seq import SpeechRecognition
from tests.checkpoints import SENTENCES, load_task, run_rows, small_checkpoint
from tests.generation_models import spread
from tests.speech_checkpoints import load_speech, speech_checkpoint
from tests.writing_checkpoints import ask, writing_checkpoint, writing_replica

LORA = {"r": 4, "lora_alpha": 32, "target_modules": ["query", "value"]}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, and beside it adapters of it."""
    return tmp_path_factory.mktemp("adapters")


@pytest.fixture(scope="module")
def base(folders: Path) -> Path:
    return small_checkpoint(folders / "roberta-base", "roberta", "MaskedLM")


def adapted(model: Any, folder: Path, named: str | Path, config: Any = None, **settings: Any) -> Any:
    """Save an adapter for a model, with random weights; the model with it, as PEFT runs it. `config`: not LoRA's."""
    tuned = peft.get_peft_model(model, config or peft.LoraConfig(**{**LORA, **settings}))
    tuned.peft_config["default"].base_model_name_or_path = str(named)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if tuned.base_model.prefix in name or "modules_to_save" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    tuned.save_pretrained(folder, save_embedding_layers=False)
    return tuned.eval()


def classifier(base: Path, folder: Path, named: str | Path = "roberta-base", labels: int = 4, **settings: Any) -> Any:
    """Save an adapter with a head of its own, for a base without one."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=labels, dtype="float32")
    return adapted(model, folder, named, **{"task_type": "SEQ_CLS", **settings})


def scores(model: Any, tokenizer: Any) -> np.ndarray:
    with torch.inference_mode():
        return torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in SENTENCES]).numpy()


def answers(folder: Path) -> tuple[Any, np.ndarray]:
    config = ModelConfig(model=str(folder), name="small")
    require_servable(config)
    task = load_task(task_of(config), folder)
    rows = [task.preprocess(task.request(inputs=text)).rows[0] for text in SENTENCES]
    return task, np.array(run_rows(task, rows))


@pytest.mark.parametrize("settings", [{}, {"use_dora": True}, {"use_rslora": True}], ids=["lora", "dora", "rslora"])
def test_an_adapter_beside_its_base(folders: Path, base: Path, settings: dict[str, Any]) -> None:
    folder = folders / f"tuned-{'-'.join(settings)}"
    tuned = classifier(base, folder, **settings)
    expected = scores(tuned, transformers.AutoTokenizer.from_pretrained(base))
    task, own = answers(folder)
    assert (task.name, task.checkpoint.adapter, own.shape) == ("text-classification", "LORA", (len(SENTENCES), 4))
    assert task.layout.name == "packed"
    np.testing.assert_allclose(own, expected, atol=1e-4)
    without = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=4).eval()
    assert np.abs(own - scores(without, transformers.AutoTokenizer.from_pretrained(base))).max() > 0.1


def test_an_adapter_beside_full_weights_is_applied_to_them(folders: Path) -> None:
    folder = small_checkpoint(folders / "whole", "bert", "SequenceClassification", num_labels=3)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    plain = scores(model.eval(), tokenizer)
    tuned = adapted(model, folder, "someone/elses-base", task_type="SEQ_CLS", modules_to_save=[])
    task, own = answers(folder)
    np.testing.assert_allclose(own, scores(tuned, tokenizer), atol=1e-4)
    assert np.abs(own - plain).max() > 0.1
    assert task.checkpoint.adapter == "LORA"


def test_a_text_of_an_adapted_decoder_is_that_of_peft(folders: Path) -> None:
    base = writing_checkpoint(folders / "llama", "llama")
    model = spread(transformers.AutoModelForCausalLM.from_pretrained(base, dtype="float32"))
    model.save_pretrained(base)
    tuned = adapted(model, folders / "llama-tuned", base, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    inputs = tokenizer(SENTENCES[0], return_tensors="pt")
    with torch.inference_mode():
        ids = tuned.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    replica = writing_replica(folders / "llama-tuned")
    assert ask(replica, SENTENCES[0]) == [{"generated_text": tokenizer.decode(ids, skip_special_tokens=True)}]
    replica.stop()


def test_a_speech_recognizer_with_a_tokenizer_of_the_adapters_own(folders: Path) -> None:
    """The feature extractor is the base's, the tokenizer the adapter's."""
    base, folder = speech_checkpoint(folders / "whisper", "whisper-english"), folders / "whisper-tuned"
    model = transformers.AutoModelForSpeechSeq2Seq.from_pretrained(base, dtype="float32")
    tuned = adapted(model, folder, "whisper", target_modules=["q_proj", "v_proj"])
    transformers.AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    config = ModelConfig(model=str(folder), name="small")
    assert task_of(config) is SpeechRecognition
    task = load_speech(folder, SpeechRecognition)
    bins = torch.randn((1, model.config.num_mel_bins, 2 * model.config.max_source_positions))
    with torch.inference_mode():
        expected, own = (each.get_encoder()(bins).last_hidden_state for each in (tuned, task.checkpoint.model))
    torch.testing.assert_close(own, expected, atol=1e-4, rtol=0)
    assert task.tokenizer.name_or_path == str(folder)
    assert task.checkpoint.processor.feature_size == model.config.num_mel_bins


@pytest.mark.parametrize("kind", [peft.IA3Config, peft.LoHaConfig])
def test_other_kinds_are_merged_and_none_is_left_out(folders: Path, kind: Any) -> None:
    """With a head that is one layer; PEFT cannot merge others for these kinds."""
    base = small_checkpoint(folders / f"bert-{kind.__name__}", "bert", "SequenceClassification", num_labels=4)
    folder = folders / kind.__name__
    modules = {"feedforward_modules": []} if kind is peft.IA3Config else {"r": 4, "init_weights": False}
    tuned = classifier(
        base, folder, base, config=kind(target_modules=["query", "value"], task_type="SEQ_CLS", **modules)
    )
    _, own = answers(folder)
    np.testing.assert_allclose(own, scores(tuned, transformers.AutoTokenizer.from_pretrained(base)), atol=1e-4)
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | {"target_modules": ["query", "value", "key"]}))
    with pytest.raises(LoadError, match=r"does not fit its base \(\d+ weights have no counterpart"):
        answers(folder)


def test_the_base_may_be_in_the_cache(folders: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folders / "of-the-hub"
    classifier(base, folder, "someone/roberta-base-of-the-hub")
    with pytest.raises(LoadError, match=r"an adapter \(LORA\) of someone/roberta-base-of-the-hub, which is missing"):
        read_config(str(folder))
    beside = shutil.copytree(base, folders / "roberta-base-of-the-hub")
    assert read_config(str(folder))["model_type"] == "roberta"
    shutil.rmtree(beside)


def test_an_adapter_that_does_not_fit(folders: Path, base: Path) -> None:
    folder = folders / "unfit"
    classifier(base, folder)
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | {"target_modules": ["query"]}))
    with pytest.raises(LoadError, match=r"does not fit its base \(\d+ weights have no counterpart, such as base_model"):
        answers(folder)
    (folder / "adapter_config.json").write_text(json.dumps(settings | {"r": 8}))
    with pytest.raises(LoadError, match=r"the adapter \(LORA\) does not fit its base"):
        answers(folder)
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(LoadError, match=r"an adapter \(LORA\) without its weights"):
        answers(folder)


def test_an_adapter_that_cannot_be_merged_or_read(
    folders: Path, base: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "PROMPT_TUNING"}))
    with pytest.raises(LoadError, match="PROMPT_TUNING adds tokens to each input"):
        read_config(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    with pytest.raises(LoadError, match="does not name its base_model_name_or_path"):
        read_config(str(tmp_path))
    classifier(base, folders / "tuned")
    monkeypatch.setattr(adapters, "find_spec", lambda name: None)
    with pytest.raises(LoadError, match=r"needs PEFT: pip install 'automodel-serve\[peft\]'"):
        require_servable(ModelConfig(model=str(folders / "tuned"), name="small"))
