"""Pooling of hidden states."""

import numpy as np
import pytest
import torch

from deployments.contract.pooling import pool


@pytest.mark.parametrize("mode", ["mean", "cls", "last"])
def test_a_row_is_pooled_from_its_own_positions_whatever_its_padding_holds(mode):
    hidden = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    hidden[0, 2] = torch.nan
    short = {"mean": hidden[0, :2].mean(0), "cls": hidden[0, 0], "last": hidden[0, 1]}[mode]
    long = {"mean": hidden[1].mean(0), "cls": hidden[1, 0], "last": hidden[1, 2]}[mode]
    assert torch.equal(pool(hidden, [2, 3], [mode]), torch.stack([short, long]))


@pytest.mark.parametrize("skip", [0, 2])
@pytest.mark.parametrize("mode", ["cls", "last", "max", "mean_sqrt_len_tokens", "weightedmean"])
def test_arrays_are_pooled_as_tensors_are(mode, skip):
    states = np.random.default_rng(1).normal(size=(4, 7, 5)).astype(np.float32)
    lengths = [7, 1, 3, 6]
    expected = pool(torch.from_numpy(states), lengths, [mode, "mean"], skip).numpy()
    assert np.abs(pool(states, lengths, [mode, "mean"], skip) - expected).max() < 1e-6
