"""Layouts on small models: whatever lies beside a row, its numbers are those of the row alone."""

import numpy as np
import pytest
import torch

from deployments.batching.selection import ArrivalOrder, NearestLength
from deployments.config import Batching
from deployments.contract.task import Row
from deployments.layouts.text import Alone, Packed, Padded, SameLength
from tests.checkpoints import POSITIONS, Checkpoints

LENGTHS = (7, 1, 40, POSITIONS, 7, 93)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return Checkpoints(tmp_path_factory.mktemp("checkpoints"))


def load(folder, head=""):
    import transformers

    torch.set_num_threads(1)
    name = f"AutoModelFor{head}" if head else "AutoModel"
    return getattr(transformers, name).from_pretrained(folder, dtype="float32").eval()


def random_rows(model, lengths=LENGTHS, gather_positions=None):
    """Rows of random tokens (none of them special)."""
    random = np.random.default_rng(0)
    return [
        Row(
            {"input_ids": random.integers(5, model.config.vocab_size, length).tolist()},
            length,
            gather_positions and gather_positions(length),
        )
        for length in lengths
    ]


def directly(model, row):
    with torch.inference_mode():
        return model(input_ids=torch.tensor([row.inputs["input_ids"]]))


def attached(layout):
    layout.attach()
    return layout


def assert_hidden_as_alone(batch, model, rows, tolerance=1e-5):
    assert batch.lengths == [row.length for row in rows]
    for i, row in enumerate(rows):
        expected = directly(model, row).last_hidden_state[0]
        torch.testing.assert_close(
            batch.output.last_hidden_state[i, : row.length], expected, atol=tolerance, rtol=tolerance
        )


@pytest.mark.parametrize("family", ["bert", "roberta", "albert", "distilbert", "electra", "modernbert"])
@pytest.mark.parametrize("kind", [Packed, Padded])
def test_rows_together_are_rows_alone(checkpoints, family, kind):
    model = load(checkpoints(family, ""))
    rows = random_rows(model)
    layout = attached(kind(model, model.config.pad_token_id))
    batch = layout.run(rows)
    layout.detach()
    assert_hidden_as_alone(batch, model, rows)


@pytest.mark.parametrize("family", ["bert", "roberta", "albert", "distilbert", "electra", "modernbert"])
def test_a_pack_longer_than_the_models_positions(checkpoints, family):
    """Rows without token types: some families make them up from a buffer that is as long as one text."""
    model = load(checkpoints(family, ""))
    rows = random_rows(model, [POSITIONS] * 4)
    layout = attached(Packed(model, 0))
    batch = layout.run(rows)
    layout.detach()
    assert_hidden_as_alone(batch, model, rows)


def test_the_sliding_window_holds_within_each_text_of_a_pack(checkpoints):
    """ModernBERT looks 8 tokens to either side in two of its three layers here."""
    model, wide = load(checkpoints("modernbert", "")), load(checkpoints("modernbert", "", local_attention=4096))
    rows = random_rows(model, [100, 3, 17, 60])
    outputs = {}
    for name, each in (("narrow", model), ("wide", wide)):
        layout = attached(Packed(each, 1))
        batch = layout.run(rows)
        outputs[name] = batch.output.last_hidden_state
        layout.detach()
        assert_hidden_as_alone(batch, each, rows)
    assert (outputs["narrow"][0] - outputs["wide"][0]).abs().max() > 0.1  # the window is not just ignored


@pytest.mark.parametrize("kind", [Packed, Padded])
@pytest.mark.parametrize("family", ["bert", "roberta", "albert", "distilbert", "electra", "modernbert"])
def test_only_kept_positions_reach_the_head(checkpoints, family, kind):
    model = load(checkpoints(family, "MaskedLM"), "MaskedLM")
    rows = random_rows(model, gather_positions=lambda length: tuple(range(0, length, 30)))
    layout = attached(kind(model, model.config.pad_token_id))
    batch = layout.run(rows)
    layout.detach()
    assert batch.lengths == [len(row.gather_positions) for row in rows]
    assert batch.output.logits.shape[:2] == (len(rows), max(batch.lengths))
    for logits, row in zip(batch.output.logits, rows, strict=True):
        torch.testing.assert_close(
            logits[: len(row.gather_positions)],
            directly(model, row).logits[0, list(row.gather_positions)],
            atol=1e-5,
            rtol=1e-5,
        )


@pytest.mark.parametrize("kind", [Packed, Padded])
def test_some_rows_may_keep_all(checkpoints, kind):
    model = load(checkpoints("bert", ""))
    rows = random_rows(model, [5, 9])
    rows[1] = Row(rows[1].inputs, 9, (2, 8))
    layout = attached(kind(model, 0))
    batch = layout.run(rows)
    layout.detach()
    assert batch.lengths == [5, 2]
    hidden = batch.output.last_hidden_state
    torch.testing.assert_close(hidden[0, :5], directly(model, rows[0]).last_hidden_state[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        hidden[1, :2], directly(model, rows[1]).last_hidden_state[0, [2, 8]], atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("kind", [Packed, Padded])
def test_a_layout_that_does_not_trim_gives_every_position(checkpoints, kind):
    model = load(checkpoints("bert", ""))
    rows = random_rows(model, gather_positions=lambda length: (0,))
    layout = kind(model, 0)
    layout.trims = False
    batch = attached(layout).run(rows)
    layout.detach()
    assert_hidden_as_alone(batch, model, rows)


def test_alone_leaves_nothing_out_and_takes_one_row(checkpoints):
    model = load(checkpoints("bert", ""))
    rows = random_rows(model, gather_positions=lambda length: (0,))
    layout = attached(Alone(model, 0))
    assert_hidden_as_alone(layout.run(rows[:1]), model, rows[:1])
    with pytest.raises(ValueError, match="1 row, got 2"):
        layout.run(rows[:2])


@pytest.mark.parametrize("kind", [Packed, Padded, Alone])
def test_nested_rows_become_choices_of_their_own(checkpoints, kind):
    model = load(checkpoints("bert", "MultipleChoice"), "MultipleChoice")
    rows = random_rows(model, [9] if kind is Alone else [9, 30, 2])
    layout = attached(kind(model, 0, nested=True))
    logits = layout.run(rows).output.logits
    layout.detach()
    with torch.inference_mode():
        expected = [model(input_ids=torch.tensor([[row.inputs["input_ids"]]])).logits[0] for row in rows]
    torch.testing.assert_close(logits, torch.stack(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [Packed, Padded])
def test_detach_leaves_the_model_as_it_was(checkpoints, kind):
    model = load(checkpoints("bert", "MaskedLM"), "MaskedLM")
    row = random_rows(model, [30])[0]
    before, implementation = directly(model, row).logits, model.config._attn_implementation
    layout = attached(kind(model, 0))
    layout.run([row, row])
    layout.detach()
    assert model.config._attn_implementation == implementation
    assert not any(module._forward_hooks for module in model.modules())
    torch.testing.assert_close(directly(model, row).logits, before, atol=0, rtol=0)


def test_an_error_in_a_run_does_not_spoil_the_next(checkpoints):
    model = load(checkpoints("bert", "MaskedLM"), "MaskedLM")
    layout = attached(Packed(model, 0))
    good = random_rows(model, [6, 3], gather_positions=lambda length: (1,))
    expected = layout.run(good).output.logits
    with pytest.raises(IndexError):
        layout.run([Row({"input_ids": [10**6]}, 1)])
    torch.testing.assert_close(layout.run(good).output.logits, expected, atol=0, rtol=0)
    layout.detach()


def test_packed_counts_the_layers_that_asked_for_attention(checkpoints):
    model = load(checkpoints("bert", "", num_hidden_layers=3))
    layout = attached(Packed(model, 0))
    layout.run(random_rows(model))
    layout.detach()
    assert layout.attention_calls == 3


def test_a_model_that_never_asks_is_found_out_on_one_short_row(checkpoints):
    """It would read the whole pack as a single text: gigabytes, for a large model."""
    assert Packed(load(checkpoints("bert", ""))).check_batches(3) == [[0], [0, 1, 2]]


def test_padding_is_the_share_of_the_area_that_is_not_text(checkpoints):
    model = load(checkpoints("bert", ""))
    assert Padded(model).padding([10, 5]) == 0.25
    assert Padded(model).padding([7]) == 0
    assert Packed(model).padding([10, 5]) == 0


def test_selections_follow_from_layout_device_and_configuration(checkpoints):
    model = load(checkpoints("bert", ""))
    default, configured = Batching(), Batching(max_cost=99, max_rows=3, max_padding=0.5)
    assert Packed(model).selection(default, "cpu") == ArrivalOrder(512, 128)
    assert Packed(model).selection(default, "cuda") == ArrivalOrder(16384, 64)
    assert Packed(model).selection(configured, "cpu") == ArrivalOrder(99, 3)
    assert Padded(model).selection(default, "cpu") == NearestLength(4096, 12, 0.1, padding_slack=8)
    assert Padded(model).selection(configured, "cuda") == NearestLength(99, 3, 0.5, padding_slack=8)
    assert Padded(model).selection(Batching(max_padding=0), "cpu") == NearestLength(4096, 12, 0.0)
    assert SameLength(model).selection(configured, "cpu") == NearestLength(99, 3, 0.0)
    assert Alone(model).selection(configured, "cpu").max_rows == 1
