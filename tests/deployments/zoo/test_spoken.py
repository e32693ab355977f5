"""The models of spoken digits: known answers, and the same answer in a padded batch as alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.zoo.spoken import DIGITS, LETTERS, SAMPLING_RATE

FolderOf = Callable[[str], Path]
MEDIA = Path(__file__).parents[3] / "examples" / "media"


def sound(name: str) -> Any:
    """Return the samples of a file in `examples/media`, float32 [time], at the models' rate."""
    import av
    import soxr

    with av.open(str(MEDIA / name)) as file:
        rate = file.streams.audio[0].rate
        samples = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    return soxr.resample(samples.astype(np.float32) / 32768, rate, SAMPLING_RATE)


def load(folder_of: FolderOf, name: str) -> tuple[Any, Any]:
    """Return model and processor."""
    import transformers

    kinds = {
        "spoken-digits-ctc": (transformers.AutoModelForCTC, transformers.AutoProcessor),
        "spoken-digit": (transformers.AutoModelForAudioClassification, transformers.AutoFeatureExtractor),
    }
    model, processor = kinds[name]
    return model.from_pretrained(folder_of(name)).eval(), processor.from_pretrained(folder_of(name))


def logits(model: Any, processor: Any, sounds: list[Any]) -> Any:
    """Run the model over a padded batch."""
    import torch

    with torch.inference_mode():
        return model(**processor(sounds, sampling_rate=SAMPLING_RATE, padding=True, return_tensors="pt")).logits


def test_writes_down_the_digits_of_the_sample(folder_of: FolderOf) -> None:
    model, processor = load(folder_of, "spoken-digits-ctc")
    assert type(processor).__name__ == "Wav2Vec2Processor"
    best = logits(model, processor, [sound("digits.wav")]).argmax(-1)
    assert processor.batch_decode(best) == ["three one four"]


def test_recognises_the_digit_of_the_sample(folder_of: FolderOf) -> None:
    model, extractor = load(folder_of, "spoken-digit")
    shares = logits(model, extractor, [sound("digit.flac")]).softmax(-1)[0]
    assert model.config.id2label[int(shares.argmax())] == "seven"
    assert shares.max() > 0.9


@pytest.mark.parametrize("name", ["spoken-digits-ctc", "spoken-digit"])
def test_padding_changes_nothing(folder_of: FolderOf, name: str) -> None:
    import torch

    model, processor = load(folder_of, name)
    sounds = [sound("digits.wav"), sound("digit.flac"), sound("digit.flac")[: SAMPLING_RATE // 2]]
    together = logits(model, processor, sounds)
    for row, samples in zip(together, sounds, strict=True):
        alone = logits(model, processor, [samples])[0]
        torch.testing.assert_close(row[: len(alone)] if alone.dim() == 2 else row, alone, atol=1e-4, rtol=1e-4)


def test_a_frame_is_twenty_milliseconds(folder_of: FolderOf) -> None:
    model, processor = load(folder_of, "spoken-digits-ctc")
    assert model.config.inputs_to_logits_ratio == SAMPLING_RATE // 50
    assert logits(model, processor, [np.zeros(SAMPLING_RATE, np.float32)]).shape == (1, 48, len(LETTERS))


def test_tokenizer_spells_with_the_letters_of_the_model(folder_of: FolderOf) -> None:
    _, processor = load(folder_of, "spoken-digits-ctc")
    assert processor.tokenizer.get_vocab() == {letter: number for number, letter in enumerate(LETTERS)}
    assert processor.tokenizer("six two").input_ids == [LETTERS.index(letter) for letter in "six|two"]


def test_labels_are_the_digits(folder_of: FolderOf) -> None:
    model, _ = load(folder_of, "spoken-digit")
    assert tuple(model.config.id2label[number] for number in range(10)) == DIGITS
