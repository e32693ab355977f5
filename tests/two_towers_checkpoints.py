"""Small checkpoints with a tower for texts and one for pictures or sound, with the files that the hub's have."""

import io
from pathlib import Path
from typing import Any

from tests.checkpoints import POSITIONS, SENTENCES, draw_weights, small_tokenizer
from tests.media_checkpoints import RATE, SIDE

WIDTH = 16  # of the space of both towers

_TRANSFORMER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_PATCHES = _TRANSFORMER | {"image_size": SIDE, "patch_size": 8}
_BERT = _TRANSFORMER | {"max_position_embeddings": POSITIONS}
_ROBERTA = _TRANSFORMER | {"max_position_embeddings": POSITIONS + 2, "type_vocab_size": 1}
_CLIP = _TRANSFORMER | {"max_position_embeddings": 77, "projection_dim": WIDTH}
_SIGLIP = _TRANSFORMER | {"max_position_embeddings": 64, "projection_size": 32}
_SWIN = {
    "num_mel_bins": 16,
    "spec_size": 64,
    "patch_size": 2,
    "patch_stride": 2,
    "window_size": 4,
    "hidden_size": 32,
    "patch_embeds_hidden_size": 16,
    "depths": [2, 2],
    "num_attention_heads": [2, 2],
    "num_hidden_layers": 2,
    "projection_dim": WIDTH,
    "aff_block_r": 1,
}
# The extractor makes 64 bins of a recording that it shrinks, whatever it is told.
_FUSED = {
    "enable_fusion": True,
    "fusion_type": "aff_2d",
    "num_mel_bins": 64,
    "spec_size": 128,
    "patch_size": 4,
    "patch_stride": 4,
}
# family: (model type, text tower, other tower)
_FAMILIES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "clip": ("clip", _CLIP, _PATCHES),
    "clip-legacy": ("clip", _CLIP, _PATCHES),  # its end is the highest token, whatever its configuration says
    "chinese-clip": ("chinese_clip", _BERT, _PATCHES),
    "altclip": ("altclip", _ROBERTA | {"project_dim": WIDTH}, _PATCHES),
    "siglip": ("siglip", _SIGLIP, _PATCHES),
    "siglip2": ("siglip", _SIGLIP, _PATCHES),  # the second release at a fixed resolution: only its tokenizer is new
    "siglip2-naflex": ("siglip2", _SIGLIP, _TRANSFORMER | {"num_patches": 16, "patch_size": 8}),
    "clap": ("clap", _ROBERTA | {"projection_dim": WIDTH}, _SWIN),
    "clap-fused": (
        "clap",
        _ROBERTA | {"projection_dim": WIDTH},
        _SWIN | _FUSED,
    ),
}
IMAGE_FAMILIES = tuple(name for name, (kind, _, _) in _FAMILIES.items() if kind != "clap")
AUDIO_FAMILIES = tuple(name for name, (kind, _, _) in _FAMILIES.items() if kind == "clap")


def two_towers_checkpoint(folder: Path, family: str) -> Path:
    """Save a random model of a family with its processors' files, and return the folder."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    folder.mkdir(parents=True, exist_ok=True)
    kind, text, media = _FAMILIES[family]
    tokenizer = _tokenizer(family, folder)
    tokens = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id}
    end = 2 if family == "clip-legacy" else tokenizer.eos_token_id
    text = text | tokens | {"vocab_size": len(tokenizer), "eos_token_id": end}
    tower = "audio_config" if family in AUDIO_FAMILIES else "vision_config"
    settings = {"text_config": text, tower: media} | ({} if "siglip" in kind else {"projection_dim": WIDTH})
    model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(kind, **settings))
    draw_weights(model, seed=len(family))
    _set_scale(model)
    _extractor(family).save_pretrained(folder)
    model.eval().save_pretrained(folder)
    return folder


def _set_scale(model: Any) -> None:
    """Let cosines matter: a factor of about 10, and for a sigmoid the bias that brings logits around 0."""
    import torch

    values = {"logit_scale": 2.3, "logit_scale_a": 2.5, "logit_scale_t": 2.0, "logit_bias": -4.0}
    with torch.no_grad():
        for name, value in values.items():
            if hasattr(model, name):
                getattr(model, name).fill_(value)


def _tokenizer(family: str, folder: Path) -> Any:
    """The tokenizer, saved into the folder."""
    if family.startswith("clip"):
        tokenizer = _letters()
        tokenizer.save_pretrained(folder)
        return tokenizer
    if family.startswith("siglip2"):
        tokenizer = _small_letters()
        tokenizer.save_pretrained(folder)
        return tokenizer
    if family == "siglip":
        return _pieces(folder)
    return small_tokenizer("wordpiece" if family == "chinese-clip" else "bytelevel", folder)


def _letters() -> Any:
    """CLIP's tokenizer, with a token for each letter and each last letter of a word."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {name: index for index, name in enumerate(names)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def _small_letters() -> Any:
    """SigLIP 2's tokenizer, with a token for each letter. It pads on the left and gives a mask."""
    from transformers import Siglip2Tokenizer

    letters = sorted({letter for sentence in SENTENCES for letter in sentence.lower()} | {"▁"})
    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *letters, *(f"<0x{byte:02X}>" for byte in range(256))]
    return Siglip2Tokenizer(vocab={name: index for index, name in enumerate(names)}, model_max_length=64)


def _pieces(folder: Path) -> Any:
    """SigLIP's tokenizer, of sentencepiece, which the hub's checkpoints tell to give no mask."""
    import sentencepiece
    from transformers import SiglipTokenizer

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES[:9]),
        model_writer=model,
        vocab_size=120,
        pad_id=-1,
        bos_id=-1,
        eos_id=1,
        unk_id=2,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(model.getvalue())
    tokenizer = SiglipTokenizer(str(folder / "spiece.model"), model_input_names=["input_ids"])
    tokenizer.save_pretrained(folder)
    return tokenizer


def _extractor(family: str) -> Any:
    import transformers

    if family in AUDIO_FAMILIES:
        truncation, bins = ("fusion", 64) if family == "clap-fused" else ("rand_trunc", 16)
        sizes = {"feature_size": bins, "sampling_rate": RATE, "hop_length": 160, "max_length_s": 1}
        return transformers.ClapFeatureExtractor(**sizes, frequency_max=8000, truncation=truncation)
    if family == "siglip2-naflex":
        return transformers.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    if family.startswith("siglip"):
        return transformers.SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    square = {"height": SIDE, "width": SIDE}
    kind = transformers.ChineseCLIPImageProcessorPil if family == "chinese-clip" else transformers.CLIPImageProcessorPil
    return kind(size={"shortest_edge": SIDE}, crop_size=square)
