"""Pooling of hidden states."""

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
