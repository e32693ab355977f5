"""`digit-strips` reads a picture that it has never seen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deployments.zoo.digit_strips import HEIGHT, VOCABULARY, WIDTH
from tools.training import digit_strips

FolderOf = Callable[[str], Path]
STRIP = Path(__file__).parents[3] / "examples/media/digits.png"
"""Put together from held-out digits; it shows 40712."""


def load(folder: Path) -> tuple[Any, Any, Any]:
    """Return model, image processor and tokenizer."""
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    return model, AutoImageProcessor.from_pretrained(folder, backend="pil"), AutoTokenizer.from_pretrained(folder)


def read(folder: Path, picture: Image.Image) -> str:
    model, processor, tokenizer = load(folder)
    output = model.generate(**processor(images=picture, return_tensors="pt"), do_sample=False)[0]
    text: str = tokenizer.decode(output, skip_special_tokens=True)
    return text


def test_pixels_are_those_of_the_image_processor(folder_of: FolderOf) -> None:
    _, processor, _ = load(folder_of("digit-strips"))
    picture = Image.open(STRIP).convert("L").resize((WIDTH, HEIGHT))
    theirs = processor(images=picture.convert("RGB"), return_tensors="pt").pixel_values
    np.testing.assert_allclose(theirs, digit_strips.pixels([np.asarray(picture)]), atol=1e-6)


def test_reads_a_strip_in_two_sizes(folder_of: FolderOf) -> None:
    folder = folder_of("digit-strips")
    picture = Image.open(STRIP).convert("RGB")
    larger = picture.resize((picture.width * 4, picture.height * 4), Image.Resampling.BICUBIC)
    assert [read(folder, each) for each in (picture, larger)] == ["40712", "40712"]


def test_finds_as_many_digits_in_the_negative(folder_of: FolderOf) -> None:
    negative = Image.fromarray(255 - np.asarray(Image.open(STRIP).convert("RGB")))
    written = read(folder_of("digit-strips"), negative)
    assert len(written) == 5
    assert sum(one != other for one, other in zip(written, "40712", strict=True)) <= 1  # it takes the 1 for a 0


def test_tokens_are_digits_without_spaces(folder_of: FolderOf) -> None:
    _, _, tokenizer = load(folder_of("digit-strips"))
    assert tokenizer("314").input_ids == [VOCABULARY[token] for token in ("3", "1", "4", "</s>")]
    assert tokenizer.decode(tokenizer("314").input_ids, skip_special_tokens=True) == "314"
