"""Small checkpoints of generating models, saved as the hub would have them, with the weights of `generation_models`."""

import json
from pathlib import Path
from typing import Any

import transformers

from deployments import checkpoint
from deployments.config import ModelConfig
from tests.checkpoints import small_tokenizer
from tests.generation_models import TEXT, family_config, spread

# Models of which an untrained one has no reason to stop before `max_new_tokens`: the end comes by itself sometimes.
TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'system' and not loop.first %}"
    "{{ raise_exception('the system speaks first') }}{% endif %}"
    "<s>{{ message.role }}: {{ message.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)
DECODERS = tuple(name for name in TEXT if not family_config(name, 99).is_encoder_decoder)
ENCODER_DECODERS = tuple(name for name in TEXT if name not in DECODERS)


def writing_checkpoint(folder: Path, family: str, *, chat: bool = False, **generation: Any) -> Path:
    """Save a random generating model with a byte-level tokenizer, and return the folder.

    Args:
        folder: where; made if need be.
        family: one of `generation_models.TEXT`.
        chat: with a chat template, which refuses a system message that is not the first.
        generation: goes into `generation_config.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = small_tokenizer("bytelevel", folder, token_types=False)
    if chat:
        tokenizer.chat_template = TEMPLATE
        tokenizer.save_pretrained(folder)
    ids = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": 0, "eos_token_id": tokenizer.eos_token_id}
    config = family_config(family, len(tokenizer), **ids)
    model = spread(_class_of(config).from_config(config))
    model.generation_config.update(**generation)
    model.save_pretrained(folder)
    return folder


def _class_of(config: Any) -> Any:
    name = "AutoModelForSeq2SeqLM" if config.is_encoder_decoder else "AutoModelForCausalLM"
    return getattr(transformers, name)


def load_writing(kind: Any, folder: Path, **config: Any) -> Any:
    """A generating task with its model loaded, without a line."""
    import torch

    torch.set_num_threads(1)
    settings = ModelConfig.model_validate({"model": str(folder), "name": "small", "device": "cpu", **config})
    return kind(checkpoint.load(settings, kind))


def architecture(folder: Path) -> str:
    return str(json.loads((folder / "config.json").read_text())["architectures"][0])
