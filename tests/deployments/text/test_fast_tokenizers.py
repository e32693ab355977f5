"""Slow tokenizers made fast: the same ids for every text, and the answers of transformers with the slow one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from deployments.config import ModelConfig
from deployments.registry import task_of
from deployments.text.fast_tokenizers import as_fast
from tests.checkpoints import draw_weights, load_task

# Of ESM-2.
TOKENS = "<cls> <pad> <eos> <unk> L A G V S E R T I D P K Q N F Y M H W C X B U Z O . - <null_1> <mask>".split()
SEQUENCES = ["MKTAYIAKQRQISFVKSHFSRQ", "MKT<mask>YIAK", "LL", "GSHMASMTGGQQMGRDLYDDDDKDP" * 3]


def save_tokenizer(folder: Path) -> Any:
    (folder / "vocab.txt").write_text("\n".join(TOKENS))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "EsmTokenizer"}')
    return transformers.EsmTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    slow = save_tokenizer(tmp_path_factory.mktemp("esm"))
    assert not slow.is_fast
    return slow, as_fast(slow)


@given(
    text=st.lists(st.sampled_from([*TOKENS, "a", "x1", " ", "  ", "é", "\n", "<mas", "k>", "J", "MKT"])).map("".join)
)
def test_the_same_ids(tokenizers: tuple[Any, Any], text: str) -> None:
    slow, fast = tokenizers
    assert fast.is_fast
    assert fast(text)["input_ids"] == slow(text)["input_ids"]
    assert fast(text, "MKT")["input_ids"] == slow(text, "MKT")["input_ids"]


def test_the_rest_is_the_slow_ones(tokenizers: tuple[Any, Any]) -> None:
    slow, fast = tokenizers
    assert fast.special_tokens_map == slow.special_tokens_map
    assert fast.model_input_names == slow.model_input_names
    assert fast.get_vocab() == slow.get_vocab()
    assert fast("MK T<mask>", return_offsets_mapping=True)["offset_mapping"][1:-1] == [(0, 1), (1, 2), (3, 4), (4, 10)]


def test_others_stay_as_they_are(tokenizers: tuple[Any, Any]) -> None:
    slow, fast = tokenizers
    assert as_fast(fast) is fast
    canine = transformers.CanineTokenizer()
    assert as_fast(canine) is canine


@pytest.mark.parametrize("head", ["MaskedLM", "SequenceClassification"])
def test_a_checkpoint_as_the_hub_has_it(tmp_path: Path, head: str) -> None:
    tokenizer = save_tokenizer(tmp_path)
    config = transformers.EsmConfig(
        vocab_size=len(TOKENS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=1026,
        mask_token_id=tokenizer.mask_token_id,
        pad_token_id=tokenizer.pad_token_id,
        position_embedding_type="rotary",
        token_dropout=True,
    )
    model = getattr(transformers, f"AutoModelFor{head}").from_config(config)
    draw_weights(model, 0)
    model.eval().save_pretrained(tmp_path)
    task = load_task(task_of(ModelConfig(model=str(tmp_path), name="esm")), tmp_path)
    sequences = [text for text in SEQUENCES if head != "MaskedLM" or "<mask>" in text]
    rows = [task.preprocess(task.request(inputs=text)).rows[0] for text in sequences]
    for text, output in zip(sequences, task.forward(rows, None), strict=True):
        encoded = tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            logits = model(**encoded).logits[0]
        expected = logits if head != "MaskedLM" else logits[encoded["input_ids"][0] == tokenizer.mask_token_id]
        np.testing.assert_allclose(np.asarray(output).reshape(expected.shape), expected.numpy(), atol=1e-4)
