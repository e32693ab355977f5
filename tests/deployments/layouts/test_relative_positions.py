"""DeBERTa-v2's tables of relative positions, cut to what a batch needs: less to compute, the same answers."""

import pytest
import torch

from deployments.contract.task import Row
from deployments.layouts.relative_positions import CutPositions
from deployments.layouts.text import Alone, Padded

WIDTH, LENGTHS = 32, (1, 2, 9, 17, 64)
KINDS = {
    "published": {"position_buckets": 16, "norm_rel_ebd": "layer_norm", "share_att_key": True},
    "own projections": {"position_buckets": 16},
    "no buckets": {"max_relative_positions": 24},
    "longer than its buckets reach": {"position_buckets": 16, "max_relative_positions": 12, "share_att_key": True},
    "content to position only": {"position_buckets": 16, "pos_att_type": ["c2p"]},
    "position to content only": {"position_buckets": 16, "pos_att_type": ["p2c"]},
    "with a convolution": {"position_buckets": 16, "share_att_key": True, "conv_kernel_size": 3},
    "no relative attention": {"relative_attention": False, "position_biased_input": True},
}


def deberta(**settings):
    from transformers import DebertaV2Config, DebertaV2Model

    torch.manual_seed(0)
    shape = {
        "vocab_size": 100,
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "initializer_range": 0.5,  # of trained size: with the usual 0.02 attention hardly looks at positions
    }
    return DebertaV2Model(DebertaV2Config(**shape | settings)).eval()


def hidden(model, length):
    tokens = torch.arange(3 * length).reshape(3, length) * 7 % 95 + 5
    with torch.inference_mode():
        return model(input_ids=tokens).last_hidden_state


def rows(*lengths):
    return [Row({"input_ids": [5 + place * 7 % 95 for place in range(length)]}, length) for length in lengths]


def projected(model, length):
    """The most rows that a projection of the first layer reads: of the tokens or of the table."""
    seen = []
    hooks = [
        module.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[-2]))
        for name, module in model.encoder.layer[0].attention.self.named_children()
        if name in ("query_proj", "key_proj", "pos_query_proj", "pos_key_proj")
    ]
    hidden(model, length)
    for hook in hooks:
        hook.remove()
    return max(seen)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_the_whole_table(kind):
    model = deberta(**KINDS[kind])
    whole = [hidden(model, length) for length in LENGTHS]
    cut = CutPositions(model)
    for length, expected in zip((*LENGTHS, LENGTHS[0]), (*whole, whole[0]), strict=True):  # shorter again, too
        torch.testing.assert_close(hidden(model, length), expected, atol=2e-5, rtol=1e-5)
    cut.remove()
    for length, expected in zip(LENGTHS, whole, strict=True):
        assert hidden(model, length).equal(expected), "the model is as it was found"


def test_positions_matter_to_these_models():
    """Or a wrong cut would give the right answers."""
    model = deberta(**KINDS["published"])
    whole = hidden(model, 9)
    with torch.no_grad():
        model.encoder.rel_embeddings.weight.copy_(model.encoder.rel_embeddings.weight.roll(1, 0))
    assert (hidden(model, 9) - whole).abs().max() > 0.1


@pytest.mark.parametrize("kind", ["published", "own projections"])
def test_only_what_a_batch_needs_is_projected(kind):
    model = deberta(**KINDS[kind])
    assert projected(model, 5) == 32, "the whole table: twice its buckets"
    cut = CutPositions(model)
    assert [projected(model, length) for length in (1, 5, 9)] == [2, 10, 18]
    assert projected(model, 64) == 64, "a long text has more tokens than the table has rows"
    cut.remove()
    assert projected(model, 5) == 32


def test_padded_rows_are_cut_and_what_they_are_compared_with_is_not():
    model = deberta(**KINDS["published"])
    alone, padded = Alone(model), Padded(model)
    alone.attach()
    assert projected(model, 5) == 32
    expected = [alone.run([row]).output.last_hidden_state[0] for row in rows(9, 8)]
    alone.detach()
    padded.attach()
    assert projected(model, 5) == 10
    batch = padded.run(rows(9, 8)).output.last_hidden_state
    padded.detach()
    assert projected(model, 5) == 32
    for got, want in zip(batch, expected, strict=True):
        torch.testing.assert_close(got[: len(want)], want, atol=2e-5, rtol=1e-5)
