import numpy as np
import pytest
import torch

from deployments.batching.selection import ArrivalOrder, NearestLength
from deployments.config import Batching
from deployments.contract.task import Row
from deployments.layouts.media import PaddedAudio, SameLengthAudio, Stacked, StackedAlone, StackedAudio


class Echo(torch.nn.Module):
    """Answers with what it was called with."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1, dtype=dtype))

    def forward(self, **inputs):
        return inputs


def sound(*values, **others):
    samples = np.array(values, np.float32)
    inputs = {"input_values": samples, "attention_mask": np.ones(len(samples), np.int64), **others}
    return Row(inputs, length=len(samples))


def test_pictures_are_stacked():
    rows = [Row({"pixel_values": np.full((3, 2, 2), value, np.float32)}, 1) for value in (1, 2)]
    batch = Stacked(Echo()).run(rows)
    assert batch.output["pixel_values"].shape == (2, 3, 2, 2)
    assert batch.output["pixel_values"][1].eq(2).all()
    assert batch.lengths == [1, 1]


def test_pictures_of_two_shapes_are_not():
    rows = [Row({"pixel_values": np.zeros((3, 2, side), np.float32)}, 1) for side in (2, 3)]
    with pytest.raises(ValueError, match="same shape"):
        Stacked(Echo()).run(rows)


def test_recordings_are_padded_at_the_end_and_masked():
    output = PaddedAudio(Echo(), padding_value=-7).run([sound(1, 2, 3), sound(4)]).output
    assert output["input_values"].tolist() == [[1, 2, 3], [4, -7, -7]]
    assert output["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert output["attention_mask"].dtype == torch.int64


def test_what_a_rows_own_mask_hides_stays_hidden():
    """SeamlessM4T's extractor brings an odd number of frames to an even one, and hides the last."""
    row = sound(1, 2, attention_mask=np.array([1, 0], np.int64))
    assert PaddedAudio(Echo()).run([row, sound(1, 2, 3)]).output["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]


def test_frames_of_features_are_padded_whole():
    rows = [Row({"input_features": np.ones((length, 2), np.float32)}, length) for length in (1, 3)]
    features = PaddedAudio(Echo(), padding_value=1.5).run(rows).output["input_features"]
    assert features[0].tolist() == [[1, 1], [1.5, 1.5], [1.5, 1.5]]


@pytest.mark.parametrize("layout", [Stacked, StackedAudio, PaddedAudio, SameLengthAudio])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_numbers_come_in_the_models_precision(layout, dtype):
    output = layout(Echo(dtype)).run([sound(1, 2)]).output
    assert output["input_values"].dtype == dtype
    assert output["attention_mask"].dtype == torch.int64


def test_how_rows_are_chosen():
    batching = Batching(max_padding=0.2)
    assert Stacked(Echo()).selection(batching, "cpu") == ArrivalOrder(8 * 224 * 224, 8)
    assert Stacked(Echo()).selection(batching, "cuda") == ArrivalOrder(64 * 224 * 224, 64)
    assert StackedAlone(Echo()).selection(batching, "cpu").max_rows == 1
    assert StackedAudio(Echo()).selection(Batching(max_cost=9, max_rows=2), "cpu") == ArrivalOrder(9, 2)
    assert PaddedAudio(Echo()).selection(batching, "cpu") == NearestLength(30_000, 8, 0.2)
    assert SameLengthAudio(Echo()).selection(batching, "cuda") == NearestLength(480_000, 64, 0.0)


def test_what_padding_is_reported():
    assert Stacked(Echo()).padding([1, 1]) == 0
    assert StackedAudio(Echo()).padding([1, 1]) == 0
    assert PaddedAudio(Echo()).padding([30, 10]) == pytest.approx(1 / 3)
    assert SameLengthAudio(Echo()).padding([10, 10]) == 0
