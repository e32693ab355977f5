"""Gemma 3 270M, where it has been built already: it is large, and its terms must be accepted first."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deployments.zoo.gemma import CONFIG, rename


@pytest.fixture(scope="module")
def gemma(folder_of: Callable[[str], Path]) -> tuple[Any, Any]:
    """Model, in float32, and tokenizer."""
    import transformers

    folder = folder_of("gemma-3-270m")
    loaded = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
    return loaded, transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("prompt", "goes_on"),
    [
        ("Once upon a time, there was a little", " girl named Lily."),
        ("The opposite of hot is", " cold."),
        ("def fibonacci(n):", "\n    if n == 0:\n        return 0\n"),
    ],
)
def test_goes_on_sensibly(gemma: tuple[Any, Any], prompt: str, goes_on: str) -> None:
    model, tokenizer = gemma
    inputs = tokenizer(prompt, return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=14, do_sample=False)[0]
    assert tokenizer.decode(output, skip_special_tokens=True).startswith(prompt + goes_on)


@pytest.mark.parametrize("text", ["a   b\n\n\nc\td", "naïve café 東京 🙂", "  leading", "don't 12345.67"])
def test_tokens_give_the_text_back(gemma: tuple[Any, Any], text: str) -> None:
    _, tokenizer = gemma
    numbers = tokenizer(text).input_ids
    assert numbers[0] == tokenizer.bos_token_id
    assert tokenizer.decode(numbers, skip_special_tokens=True) == text


def test_every_sixth_layer_sees_everything() -> None:
    whole = [number for number, kind in enumerate(CONFIG["layer_types"], 1) if kind == "full_attention"]
    assert whole == [6, 12, 18]


def test_names_of_weights() -> None:
    assert rename("blk.3.attn_q_norm.weight") == "model.layers.3.self_attn.q_norm.weight"
    assert rename("blk.17.post_ffw_norm.weight") == "model.layers.17.post_feedforward_layernorm.weight"
    assert rename("token_embd.weight") == "model.embed_tokens.weight"
    for unknown in ("blk.0.ffn_gate_exps.weight", "output.weight"):
        with pytest.raises(KeyError):
            rename(unknown)
