"""Small checkpoints for pictures and sound: random weights, and the processors' files as the hub has them."""

import json
from pathlib import Path
from typing import Any

from tests.checkpoints import Checkpoints, draw_weights
from tests.media_letters import LETTERS, RATE, balance_letters, write_letters, write_pieces

LABELS = {0: "cat", 1: "dog", 2: "bird", 3: "horse", 4: "river", 5: "bridge", 6: "mill"}
SIDE = 32  # pixels that every small image model reads

_SQUARE = {"height": SIDE, "width": SIDE}
_LARGER = {"height": SIDE + 4, "width": SIDE + 4}
_TRANSFORMER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
_PATCHES = _TRANSFORMER | {"image_size": SIDE, "patch_size": 8}
# name: (model type, configuration, preprocessor_config.json)
_IMAGE: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "vit": ("vit", _PATCHES, {"image_processor_type": "ViTImageProcessor", "size": _SQUARE}),
    "deit": (
        "deit",
        _PATCHES,
        {"image_processor_type": "DeiTImageProcessor", "size": _LARGER, "do_center_crop": True, "crop_size": _SQUARE},
    ),
    "beit": (
        "beit",
        _PATCHES | {"use_relative_position_bias": True, "use_mean_pooling": True},
        {"image_processor_type": "BeitImageProcessor", "size": _LARGER, "do_center_crop": True, "crop_size": _SQUARE},
    ),
    "swin": (
        "swin",
        {"image_size": SIDE, "patch_size": 4, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4], "window_size": 4},
        {"image_processor_type": "ViTImageProcessor", "size": _SQUARE},
    ),
    "convnext": (
        "convnext",
        {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]},
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": SIDE}, "crop_pct": 0.875},
    ),
    "resnet": (
        "resnet",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2], "layer_type": "basic"},
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": SIDE}, "crop_pct": 0.875},
    ),
    "efficientnet": (
        "efficientnet",
        {
            "image_size": SIDE,
            "width_coefficient": 0.25,
            "depth_coefficient": 0.25,
            "hidden_dim": 320,
            "in_channels": [32, 16],
            "out_channels": [16, 24],
            "kernel_sizes": [3, 3],
            "strides": [1, 2],
            "num_block_repeats": [1, 1],
            "expand_ratios": [1, 6],
            "depthwise_padding": [],
        },
        {"image_processor_type": "EfficientNetImageProcessor", "size": _SQUARE},
    ),
}

# Kernels and strides stay those of the large models: a frame each 320 samples, seen through 400 of them.
_WAVES = _TRANSFORMER | {
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 16,
    "conv_bias": True,
}
_GROUP = {"feat_extract_norm": "group"}
_LAYER = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
_WAVEFORM = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": RATE, "do_normalize": True}
_UNMASKED = _WAVEFORM | {"return_attention_mask": False}
_MASKED = _WAVEFORM | {"return_attention_mask": True}
_SQUEEZED = {"conv_dim": [8] * 7, "conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2]}
_AUDIO: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "wav2vec2-group": ("wav2vec2", _WAVES | _GROUP, _UNMASKED),
    "wav2vec2-layer": ("wav2vec2", _WAVES | _LAYER, _MASKED),
    "hubert-group": ("hubert", _WAVES | _GROUP, _UNMASKED),
    "hubert-layer": ("hubert", _WAVES | _LAYER, _MASKED),
    "wavlm-group": ("wavlm", _WAVES | _GROUP, _UNMASKED),
    "wavlm-layer": ("wavlm", _WAVES | _LAYER, _MASKED),
    "data2vec-audio": ("data2vec-audio", _WAVES | {"num_conv_pos_embeddings": 5, "conv_pos_kernel_size": 7}, _MASKED),
    "sew": ("sew", _WAVES | _GROUP | _SQUEEZED | {"squeeze_factor": 2}, _UNMASKED),
    "sew-layer": ("sew", _WAVES | _LAYER | _SQUEEZED | {"squeeze_factor": 2}, _MASKED),
    "wav2vec2-bert": (
        "wav2vec2-bert",
        _TRANSFORMER
        | {
            "feature_projection_input_dim": 160,
            "conv_depthwise_kernel_size": 5,
            "classifier_proj_size": 16,
            "hidden_act": "swish",
        },
        {
            "feature_extractor_type": "SeamlessM4TFeatureExtractor",
            "sampling_rate": RATE,
            "feature_size": 80,
            "num_mel_bins": 80,
            "padding_value": 1,  # as the hub's checkpoints have it
            "stride": 2,
        },
    ),
    "audio-spectrogram-transformer": (
        "audio-spectrogram-transformer",
        _TRANSFORMER | {"max_length": 128, "num_mel_bins": 32},
        {
            "feature_extractor_type": "ASTFeatureExtractor",
            "sampling_rate": RATE,
            "max_length": 128,
            "num_mel_bins": 32,
            "mean": -4.27,
            "std": 4.57,
        },
    ),
    "whisper": (
        "whisper",
        {
            "d_model": 32,
            "encoder_layers": 2,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 64,
            "decoder_layers": 1,
            "decoder_attention_heads": 4,
            "decoder_ffn_dim": 64,
            "max_source_positions": 100,
            "vocab_size": 64,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 1,
        },
        {
            "feature_extractor_type": "WhisperFeatureExtractor",
            "sampling_rate": RATE,
            "feature_size": 80,
            "chunk_length": 2,
        },
    ),
}
_PARAKEET = (
    "parakeet_ctc",
    {
        "encoder_config": _TRANSFORMER
        | {"subsampling_conv_channels": 8, "num_mel_bins": 80, "conv_kernel_size": 5, "max_position_embeddings": 1500}
    },
    {"feature_extractor_type": "ParakeetFeatureExtractor", "sampling_rate": RATE, "feature_size": 80},
)
IMAGE_FAMILIES = tuple(_IMAGE)
AUDIO_FAMILIES = tuple(_AUDIO)
WAVEFORM_FAMILIES = tuple(name for name, (_, _, processor) in _AUDIO.items() if _WAVEFORM.items() <= processor.items())
CTC_FAMILIES = (*WAVEFORM_FAMILIES, "wav2vec2-bert", "parakeet")
# Why not padded: group normalisation runs over time (the first wav2vec2, HuBERT, WavLM, SEW); Data2Vec's position
# convolutions carry padding on from layer to layer; SEW squeezes two frames to one, over the end of a recording.
LAYOUTS = (
    dict.fromkeys(IMAGE_FAMILIES, "stacked")
    | {
        "wav2vec2-group": "same-length",
        "wav2vec2-layer": "padded",
        "hubert-group": "same-length",
        "hubert-layer": "padded",
        "wavlm-group": "same-length",
        "wavlm-layer": "padded",
        "data2vec-audio": "same-length",
        "sew": "same-length",
        "sew-layer": "same-length",
        "wav2vec2-bert": "padded",
        "parakeet": "padded",
    }
    | dict.fromkeys(("audio-spectrogram-transformer", "whisper"), "stacked")
)


def assert_best_layout(task: Any, family: str) -> None:
    """It has the best one that holds for its family."""
    assert task.layout.name == LAYOUTS[family]


def small_media_checkpoint(folder: Path, family: str, head: str, seed: int = 0, **config: Any) -> Path:
    """Save a random model of a family with its processor's files, and return the folder.

    Args:
        folder: where; made if need be.
        family: one of `IMAGE_FAMILIES`, `AUDIO_FAMILIES` or `CTC_FAMILIES`.
        head: what follows `AutoModelFor`, such as "CTC"; "" for `AutoModel`.
        seed: equal seeds draw equal weights.
        config: goes over the family's small configuration (`num_labels=4`, `problem_type=…`).
    """
    import transformers

    transformers.utils.logging.disable_progress_bar()
    model_type, defaults, processor = (_IMAGE | _AUDIO | {"parakeet": _PARAKEET})[family]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    settings = {**defaults, **config}
    if head == "CTC":
        (write_pieces if family == "parakeet" else write_letters)(folder)
        settings |= {"vocab_size": len(LETTERS), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    elif head and "num_labels" not in config:
        settings |= {"id2label": LABELS}
    auto_model = getattr(transformers, f"AutoModelFor{head}" if head else "AutoModel")
    architectures = settings.pop("architectures", [])  # a class among several for one head, such as DeiT's
    model = auto_model.from_config(
        transformers.AutoConfig.for_model(model_type, architectures=architectures, **settings)
    ).eval()
    draw_weights(model, seed)
    if family in _IMAGE:
        _settle_batch_norms(model)
    if head == "CTC":
        balance_letters(model, folder)
    model.eval().save_pretrained(folder)
    return folder


class MediaCheckpoints(Checkpoints):
    """The same for pictures and sound: `checkpoints("vit", "ImageClassification")` is a folder, made once."""

    make = staticmethod(small_media_checkpoint)


def _settle_batch_norms(model: Any) -> None:
    """Let batch normalisations see some noise, or what they should bring to one size dies away from layer to layer."""
    import torch

    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the mean of what was seen
        norm.train()
    if norms:
        with torch.no_grad():
            model(torch.randn(8, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)))
