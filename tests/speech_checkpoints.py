"""Small checkpoints that hear and write: random weights, with the files as the hub has them.

Their Whisper tells time and languages by tokens as the large ones do.
"""

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from deployments.config import ModelConfig
from tests.checkpoints import small_tokenizer
from tests.generation_models import SPREAD, spread
from tests.media_letters import RATE

LANGUAGES = ("en", "zh", "de", "es")
STEPS = 1500  # of a window of 30 s
WORDS = 300  # tokens of the vocabulary before the special ones
_SPECIAL = ("<|endoftext|>", "<|startoftranscript|>")
_TASKS = ("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>")
_SIZES = {"encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 4}
_SMALL = _SIZES | {"d_model": 32, "encoder_ffn_dim": 32, "decoder_ffn_dim": 64, "max_target_positions": 96}
WHISPER = ("whisper-english", "whisper-many")
OTHERS = ("speech-to-text", "moonshine", "wav2vec2-gpt2")


def speech_checkpoint(folder: Path, family: str, **generation: Any) -> Path:
    """Save a random model of a family in `WHISPER` or `OTHERS`, and return the folder.

    Args:
        folder: where; made if need be.
        family: one of both.
        generation: goes into `generation_config.json`.
    """
    transformers.utils.logging.disable_progress_bar()
    folder.mkdir(parents=True, exist_ok=True)
    make = {"speech-to-text": _speech_to_text, "moonshine": _moonshine, "wav2vec2-gpt2": _composed}
    model = _whisper(folder, family) if family in WHISPER else make[family](folder)
    _say(model, generation)
    model.save_pretrained(folder)
    return folder


def load_speech(folder: Path, kind: Any, **config: Any) -> Any:
    """The task with its model loaded, without a line."""
    torch.set_num_threads(1)
    settings = ModelConfig.model_validate({"model": str(folder), "name": "small", "device": "cpu", **config})
    return kind(kind.load_checkpoint(settings))


def whisper_tokenizer(folder: Path, languages: tuple[str, ...]) -> Any:
    """Bytes and a few pieces, then special tokens, then the times from 0 to 30 s, in Whisper's order."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    segments = [f"Ġ{letter}" for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQR"]
    vocabulary = {segment: index for index, segment in enumerate([*letters, *segments])}
    merges = [tuple(segment) for segment in segments]
    special = [*_SPECIAL, *(f"<|{language}|>" for language in languages), *_TASKS]
    tokenizer = transformers.WhisperTokenizer(vocab=vocabulary, merges=merges)
    tokenizer.add_tokens([transformers.AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.add_special_tokens({"additional_special_tokens": special[1:]})
    times = [f"<|{step * 30 / STEPS:.2f}|>" for step in range(STEPS + 1)]
    tokenizer.add_tokens([transformers.AddedToken(token, special=False, normalized=False) for token in times])
    tokenizer.save_pretrained(folder)
    return tokenizer


def _whisper(folder: Path, family: str) -> Any:
    tokenizer = whisper_tokenizer(folder, LANGUAGES if family == "whisper-many" else ())
    extractor = transformers.WhisperFeatureExtractor()
    extractor.save_pretrained(folder)
    end, start, silent = (
        tokenizer.convert_tokens_to_ids(token) for token in ("<|endoftext|>", "<|startoftranscript|>", _TASKS[-1])
    )
    ids = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end, "decoder_start_token_id": start}
    config = transformers.WhisperConfig(
        **_SMALL, **ids, vocab_size=len(tokenizer), max_source_positions=STEPS, suppress_tokens=None,
        begin_suppress_tokens=None,
    )  # fmt: skip
    model = transformers.WhisperForConditionalGeneration(config).eval()
    _enliven(model, end, silent)
    special = range(end, silent)
    settings = {
        "no_timestamps_token_id": silent,
        "max_initial_timestamp_index": 50,
        "max_length": 96,
        "begin_suppress_tokens": [tokenizer.convert_tokens_to_ids("Ġ"), end],
        "suppress_tokens": [1, 2, *(token for token in special if token != end)],
        "alignment_heads": [[0, 1], [1, 2], [1, 0]],
    }
    if family == "whisper-many":
        settings |= {
            "is_multilingual": True,
            "lang_to_id": {f"<|{name}|>": tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in LANGUAGES},
            "task_to_id": {
                name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("translate", "transcribe")
            },
        }
    else:
        settings["is_multilingual"] = False
    _say(model, settings)
    return model


def _enliven(model: Any, end: int, silent: int) -> None:
    """Let it say now this, now that: words more than times, an end now and then, and nothing whatever it hears."""
    noise = torch.Generator().manual_seed(2)
    decoder = model.model.decoder
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1 and parameter.requires_grad:
                parameter.normal_(0, SPREAD, generator=noise)
        decoder.embed_tokens.weight[silent + 1 :] *= 0.4
        decoder.embed_tokens.weight[end] *= 1.15
        features = torch.randn(4, model.config.num_mel_bins, 2 * STEPS, generator=noise)
        ids = torch.randint(0, silent, (4, 64), generator=noise)
        decoder.layer_norm.bias -= model.model(features, decoder_input_ids=ids).last_hidden_state.mean((0, 1))


def _say(model: Any, settings: dict[str, Any]) -> None:
    """Into `generation_config.json`, whose class knows only some of these."""
    for name, value in {"_from_model_config": False, **settings}.items():  # or it would be made anew at the load
        setattr(model.generation_config, name, value)


def _speech_to_text(folder: Path) -> Any:
    size, ids = _text(folder)
    transformers.Speech2TextFeatureExtractor(feature_size=16, num_mel_bins=16).save_pretrained(folder)
    config = transformers.Speech2TextConfig(
        **_SMALL, **ids, vocab_size=size, input_feat_per_channel=16, conv_channels=16, decoder_start_token_id=2
    )
    return spread(transformers.Speech2TextForConditionalGeneration(config))


def _moonshine(folder: Path) -> Any:
    size, ids = _text(folder)
    _waveform(folder)
    layers = {"hidden_layers": 2, "attention_heads": 4}
    same = {f"{part}_num_{what}": number for part in ("encoder", "decoder") for what, number in layers.items()}
    config = transformers.MoonshineConfig(
        **same, **ids, vocab_size=size, hidden_size=32, intermediate_size=64, decoder_start_token_id=0
    )
    return spread(transformers.MoonshineForConditionalGeneration(config))


def _composed(folder: Path) -> Any:
    size, ids = _text(folder)
    _waveform(folder)
    transformer = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    encoder = transformers.Wav2Vec2Config(
        **transformer, conv_dim=[8] * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4, conv_bias=True,
        feat_extract_norm="layer", do_stable_layer_norm=True,
    )  # fmt: skip
    decoder = transformers.GPT2Config(**ids, vocab_size=size, n_embd=32, n_layer=2, n_head=4, n_positions=256,
                                      add_cross_attention=True, is_decoder=True)  # fmt: skip
    config = transformers.SpeechEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 0, ids["pad_token_id"], 2
    return spread(transformers.SpeechEncoderDecoderModel(config))


def _text(folder: Path) -> tuple[int, dict[str, int]]:
    tokenizer = small_tokenizer("bytelevel", folder, token_types=False)
    return len(tokenizer), {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}


def _waveform(folder: Path) -> None:
    settings = {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "sampling_rate": RATE,
        "return_attention_mask": True,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
