"""What small checkpoints for speech recognition spell with: letters of their own, and tokenizers for them."""

import json
from pathlib import Path
from typing import Any

RATE = 16_000
LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"etaonihsrdlumwcfgypbvkxjqz'"]


def write_letters(folder: Path) -> None:
    """The tokenizer of the CTC models: a letter each, words divided by `|`."""
    (folder / "vocab.json").write_text(json.dumps({letter: index for index, letter in enumerate(LETTERS)}))
    settings = {
        "tokenizer_class": "Wav2Vec2CTCTokenizer",
        "pad_token": "<pad>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "word_delimiter_token": "|",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def write_pieces(folder: Path) -> None:
    """The tokenizer of Parakeet: made by the library `tokenizers`, and without times of letters."""
    from tokenizers import Tokenizer, decoders, models

    tokenizer = Tokenizer(models.WordLevel({letter: index for index, letter in enumerate(LETTERS)}, "<unk>"))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "ParakeetTokenizer", "pad_token": "<pad>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def balance_letters(model: Any, folder: Path) -> None:
    """Take the mean from the letters' scores, or a random model says the same letter all the time."""
    import numpy as np
    import torch
    from transformers import AutoFeatureExtractor

    random = np.random.default_rng(0)
    pitch, loudness = (np.repeat(random.uniform(*range_, 30), RATE // 10) for range_ in ((80, 3000), (0.02, 0.6)))
    samples = (loudness * np.sin(2 * np.pi * np.cumsum(pitch) / RATE)).astype(np.float32)
    features = AutoFeatureExtractor.from_pretrained(folder)(samples, sampling_rate=RATE, return_tensors="pt")
    head = model.ctc_head if hasattr(model, "ctc_head") else model.lm_head
    with torch.no_grad():
        head.bias -= model(**features).logits[0].mean(0)
