"""Gemma 3 270M where it has been built already, for it is large and its terms must be accepted first; and its recipe.

The recipe is tried on a small file, cut into wheels as the large one is.
"""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from deployments.zoo.gemma import PARTS, convert_gemma

WIDTH, LAYERS, HEADS, HEAD, INNER = 32, 6, 2, 16, 64
TOKENS = ["<pad>", "<eos>", "<bos>", "<unk>", "ab", "a", "b", "\u2581", "  "]
CONTROL, NORMAL, GIVEN = 3, 1, 4


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


def tensors() -> Iterator[tuple[str, np.ndarray]]:
    """As llama.cpp names and stores them: each norm is one more than Gemma's own."""
    shapes = {
        "attn_norm": (WIDTH,),
        "attn_q": (HEADS * HEAD, WIDTH),
        "attn_q_norm": (HEAD,),
        "attn_k": (HEAD, WIDTH),
        "attn_k_norm": (HEAD,),
        "attn_v": (HEAD, WIDTH),
        "attn_output": (WIDTH, HEADS * HEAD),
        "post_attention_norm": (WIDTH,),
        "ffn_norm": (WIDTH,),
        "ffn_gate": (INNER, WIDTH),
        "ffn_up": (INNER, WIDTH),
        "ffn_down": (WIDTH, INNER),
        "post_ffw_norm": (WIDTH,),
    }
    chance = np.random.default_rng(0)
    yield "token_embd.weight", chance.normal(size=(len(TOKENS), WIDTH)).astype(np.float32)
    yield "output_norm.weight", chance.normal(size=WIDTH).astype(np.float32)
    for layer in range(LAYERS):
        for name, shape in shapes.items():
            yield f"blk.{layer}.{name}.weight", chance.normal(size=shape).astype(np.float32)


def write(path: Path) -> None:
    """A small GGUF file of Gemma's kind: the wide matrices in 8 bits, the rest in 32."""
    writer = gguf.GGUFWriter(path, "gemma3")
    writer.add_context_length(64)
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_key_length(HEAD)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_sliding_window(16)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(TOKENS)
    writer.add_token_types([CONTROL] * 4 + [NORMAL] * 4 + [GIVEN])
    writer.add_token_scores([0.0] * 4 + [-float(rank) for rank in range(5)])
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_pad_token_id(0)
    for name, value in tensors():
        if value.shape[-1] % 32 == 0 and value.ndim == 2:
            form = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(value, form), raw_dtype=form)
        else:
            writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def wheels(tmp_path: Path) -> list[Path]:
    """Four wheels with the quarters of a small file."""
    write(tmp_path / "model.gguf")
    whole = (tmp_path / "model.gguf").read_bytes()
    quarter = -(-len(whole) // len(PARTS))
    paths = [tmp_path / f"part{number}.whl" for number in range(len(PARTS))]
    for number, (path, (inside, part)) in enumerate(zip(paths, PARTS, strict=True)):
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"{inside}/{part}", whole[number * quarter : (number + 1) * quarter])
    return paths


def test_the_parts_become_a_folder(wheels: list[Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import torch
    import transformers

    into = tmp_path / "built" / "model"
    into.mkdir(parents=True)
    seen: list[tuple[str, float]] = []
    convert_gemma(wheels, into, lambda stage, fraction: seen.append((stage, fraction)))
    assert capfd.readouterr().err == "", "the command line has a progress bar of its own"
    model, report = transformers.AutoModelForCausalLM.from_pretrained(into, output_loading_info=True)
    assert not report["missing_keys"] | report["unexpected_keys"]
    assert model.dtype == torch.bfloat16
    stored = dict(tensors())
    inner = model.model.layers[0]
    for norm, name in ((model.model.norm, "output_norm"), (inner.self_attn.q_norm, "blk.0.attn_q_norm")):
        assert torch.equal(norm.weight, (torch.from_numpy(stored[f"{name}.weight"]) - 1).bfloat16())
    for layer, name in ((model.model.embed_tokens, "token_embd"), (inner.mlp.down_proj, "blk.0.ffn_down")):
        torch.testing.assert_close(layer.weight.float(), torch.from_numpy(stored[f"{name}.weight"]), atol=0.04, rtol=0)
    assert model.config.layer_types == ["sliding_attention"] * 5 + ["full_attention"]
    assert (model.config.sliding_window, model.config.num_key_value_heads) == (16, 1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(into)
    assert tokenizer.tokenize("abb  a", add_special_tokens=True) == ["<bos>", "ab", "b", "\u2581\u2581", "a"]
    assert (tokenizer.model_max_length, tokenizer.padding_side) == (64, "left")
    unpacked = [fraction for stage, fraction in seen if stage == "unpack"]
    assert unpacked == [0.25, 0.5, 0.75, 1.0], "a quarter each"
    assert [fraction for stage, fraction in seen if stage == "convert"] == [0.0, 0.5, 1.0]
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in into.iterdir()), "the service may be another user"
    assert list(into.parent.iterdir()) == [into], "nothing is left beside the folder"
