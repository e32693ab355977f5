"""A replica's share of a GPU's memory, with a GPU that is pretended."""

import pytest
import torch

from deployments.memory import free_memory, limit_memory

GIB = 2**30


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A GPU of 24 GiB, 10 of them free, 2 taken by this process; the fractions that torch was told."""
    told: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", told.append)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (10 * GIB, 24 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 2 * GIB)
    return told


def test_a_fraction_is_a_limit(limits: list[float]) -> None:
    for share in (0.25, 0, 1, 2):
        limit_memory(share)
    assert limits == [0.25]


@pytest.mark.parametrize(
    ("share", "gib"),
    [(1, 10), (0, 10), (2, 10), (0.25, 4), (0.5, 10), (1 / 24, 0)],  # of 6 GiB two are taken; of 12, ten are free
)
@pytest.mark.usefixtures("limits")
def test_what_is_left(share: float, gib: float) -> None:
    assert free_memory(share) == pytest.approx(gib * GIB, abs=1)
