"""What is drawn: the right distribution, and the same however many candidates were looked at."""

import pytest
import torch

from deployments.generation.sampling import counter_rng, draw
from deployments.generation.sampling.params import SamplingParams
from deployments.generation.sampling.sampler import RowSpec, Sampler

DRAWS = 20_000


def chi_square(counts, expected):
    """The statistic over cells of at least five expected draws (the rest in one cell), in standard deviations."""
    large = expected >= 5
    cells = torch.cat([counts[large], counts[~large].sum()[None]])
    wanted = torch.cat([expected[large], expected[~large].sum()[None]])
    cells, wanted = cells[wanted > 0], wanted[wanted > 0]
    degrees = max(1, len(cells) - 1)
    return float((((cells - wanted) ** 2 / wanted).sum() - degrees) / (2 * degrees) ** 0.5)


@pytest.mark.parametrize(
    ("options", "warpers"),
    [
        ({}, []),
        ({"temperature": 0.7}, [("TemperatureLogitsWarper", 0.7)]),
        ({"top_k": 6}, [("TopKLogitsWarper", 6)]),
        ({"top_p": 0.8}, [("TopPLogitsWarper", 0.8)]),
        ({"min_p": 0.05}, [("MinPLogitsWarper", 0.05)]),
        ({"typical_p": 0.7}, [("TypicalLogitsWarper", 0.7)]),
        ({"temperature": 1.5, "top_k": 15, "top_p": 0.9}, None),
    ],
)
@pytest.mark.parametrize("vocabulary", [25, 400])
def test_the_distribution_is_the_filtered_softmax(options, warpers, vocabulary):
    """Over 500 seeds, 40 steps each."""
    from transformers.generation import logits_process

    if warpers is None:
        warpers = [("TemperatureLogitsWarper", 1.5), ("TopKLogitsWarper", 15), ("TopPLogitsWarper", 0.9)]
    logits = torch.randn(vocabulary, generator=torch.Generator().manual_seed(3)) * 2
    scores = logits[None].clone()
    for name, value in warpers:
        scores = getattr(logits_process, name)(value)(None, scores)
    expected = scores.softmax(-1)[0] * DRAWS

    sampler = Sampler()
    rows, steps = 500, DRAWS // 500
    sampler.admit([RowSpec(SamplingParams(do_sample=True, seed=seed, **options), [0]) for seed in range(rows)])
    counts = torch.zeros(vocabulary)
    for _ in range(steps):
        counts += torch.bincount(sampler.step(logits.expand(rows, -1)).tokens, minlength=vocabulary)
    assert (counts[expected == 0] == 0).all()
    assert abs(chi_square(counts, expected)) < 4


def test_noise_is_uniform_and_differs_from_key_to_key():
    keys = torch.tensor([counter_rng.key(seed, step) for seed in range(8) for step in range(8)])[:, None]
    uniform = counter_rng.bits(torch.arange(4096), keys).double() / 2**32
    counts = torch.histc(uniform, 256, 0, 1)
    assert abs(chi_square(counts, torch.full((256,), uniform.numel() / 256))) < 4
    correlation = torch.corrcoef(uniform) - torch.eye(len(keys))
    assert correlation.abs().max() < 5 / 4096**0.5
    neighbours = torch.corrcoef(torch.stack([uniform[:, :-1].flatten(), uniform[:, 1:].flatten()]))[0, 1]
    assert neighbours.abs() < 4 / uniform.numel() ** 0.5


def test_noise_is_that_of_the_paper():
    """Against Widynski's C code, written out with Python's integers."""
    mask = 2**64 - 1
    for key in (counter_rng.key(0, 0), counter_rng.key(7, 3), counter_rng.key(2**64 - 1, 10**6)):
        for counter in (0, 1, 50_256):
            x = y = counter * key & mask
            z = y + key & mask
            for addend in (y, z, y):
                x = x * x + addend & mask
                x = (x >> 32) | (x << 32) & mask
            wanted = (x * x + z & mask) >> 32
            assert int(counter_rng.bits(torch.tensor(counter), torch.tensor(key))) == wanted


def test_noise_is_finite_and_keeps_small_values_apart():
    least, most = torch.tensor([0]), torch.tensor([0xFFFFFFFF])
    with pytest.MonkeyPatch.context() as patch:
        for value in (least, most):
            patch.setattr(counter_rng, "bits", lambda tokens, keys, value=value: value)
            assert counter_rng.gumbel(value, value).isfinite().all()
    assert counter_rng.key(1, 2) != counter_rng.key(2, 1)


@pytest.mark.parametrize("scale", [0.5, 3.0, 10.0])
def test_few_candidates_give_what_all_tokens_give(scale, monkeypatch):
    options = [
        {"top_k": 5},
        {"top_k": 127},
        {"top_k": 128},
        {"top_k": 1500},
        {"top_p": 0.5},
        {"top_p": 0.97},
        {"min_p": 0.001},
        {"top_k": 100, "top_p": 0.9, "min_p": 0.01, "typical_p": 0.6},
        {"top_p": 0.9, "typical_p": 0.6},
        {"typical_p": 0.6},
        {},
    ]
    rows = [RowSpec(SamplingParams(do_sample=True, seed=i, **row), [0]) for i, row in enumerate(options * 4)]
    logits = torch.randn(len(rows), 4000, generator=torch.Generator().manual_seed(5)) * scale
    found = []
    for widths in (draw.WIDTHS, ()):
        monkeypatch.setattr(draw, "WIDTHS", widths)
        sampler = Sampler()
        sampler.admit(rows)
        found.append(torch.stack([sampler.step(logits).tokens for _ in range(10)]).tolist())
    assert found[0] == found[1]


def test_a_single_token_that_may_come_does_come():
    sampler = Sampler()
    params = [SamplingParams(do_sample=True, top_k=1), SamplingParams(do_sample=True, top_p=1e-9)]
    sampler.admit([RowSpec(row, [0]) for row in params])
    logits = torch.randn(2, 3000)
    for _ in range(50):
        assert sampler.step(logits).tokens.tolist() == logits.argmax(-1).tolist()
