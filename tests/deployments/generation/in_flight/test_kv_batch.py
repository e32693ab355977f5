"""The running batch's buffers: what joins, moves and leaves keeps its own keys and values."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deployments.generation.in_flight.admission import Reservation, kv_slots
from deployments.generation.in_flight.cache import Layer, UnmergeableCache, blocks, new_cache, why_not
from deployments.generation.in_flight.kv_batch import KVBatch, KVLimits, geometry, without_gaps
from tests.generation_models import generating_model

HEADS, SIZE = 2, 3


def columns(*rows):
    """Keys `[rows, heads, columns, size]` that say which token they are of."""
    tokens = torch.tensor(rows, dtype=torch.float32)
    return tokens[:, None, :, None].expand(-1, HEADS, -1, SIZE).contiguous()


def filled(*rows):
    """A cache of two layers after a prefill; the values are minus the keys."""
    cache = new_cache(cross=False)
    for layer in range(2):
        cache.update(columns(*rows), -columns(*rows), layer)
    return cache


def running(*rows, max_total_tokens=20):
    """Rows padded with 0 on the left."""
    mask = (torch.tensor(rows) != 0).long()
    return KVBatch(filled(*rows), mask, mask.sum(1, keepdim=True), [max_total_tokens] * len(rows))


def tokens(batch):
    """What each row holds, by the cache and its mask; the same in every layer and head."""
    mask = batch.mask[:, : batch.width].bool()
    seen = []
    for layer in batch.block.layers:
        assert torch.equal(layer.values, -layer.keys)
        assert torch.equal(layer.keys, layer.keys[:, :1, :, :1].expand_as(layer.keys))
        seen.append([row[keep].tolist() for row, keep in zip(layer.keys[:, 0, :, 0], mask, strict=True)])
    assert seen[0] == seen[1]
    return seen[0]


def emit(batch, limits, *words):
    """A step, as the model takes it."""
    batch.make_room(limits)
    assert (batch.mask[:, -1] == 1).all()
    for layer in range(2):
        keys, _ = batch.cache.update(columns(*([word] for word in words)), -columns(*([word] for word in words)), layer)
        assert keys.shape[2] == batch.width + 1
    batch.stepped()


def test_rows_join_step_and_leave_with_what_is_theirs():
    limits = KVLimits(400, 8)
    batch = running([0, 1, 2], [3, 4, 5])
    emit(batch, limits, 6, 7)
    batch.join(running([10, 11, 12, 13, 14, 15]), limits)
    emit(batch, limits, 8, 9, 16)
    expected = [[1, 2, 6, 8], [3, 4, 5, 7, 9], [10, 11, 12, 13, 14, 15, 16]]
    assert tokens(batch) == expected
    assert batch.positions[:, 0].tolist() == [4, 5, 7]
    batch.keep(without_gaps([0, 2]))
    assert tokens(batch) == [expected[0], expected[2]]
    batch.keep(without_gaps([0]))
    assert tokens(batch) == expected[:1]
    assert batch.width == 4, "columns that nobody needs are cut"


def test_a_failed_step_leaves_no_trace():
    limits = KVLimits(400, 8)
    batch = running([1, 2], [3, 4])
    batch.make_room(limits)
    batch.cache.update(columns([9], [9]), -columns([9], [9]), 0)  # the second layer never came
    batch.rewind()
    emit(batch, limits, 5, 6)
    assert tokens(batch) == [[1, 2, 5], [3, 4, 6]]


def test_one_row_can_step_alone():
    limits = KVLimits(400, 8)
    batch = running([1, 2], [3, 4])
    batch.make_room(limits)
    for row in (0, 1):
        batch.only(row)
        for layer in range(2):
            batch.cache.update(columns([row + 7]), -columns([row + 7]), layer)
    batch.stepped()
    assert tokens(batch) == [[1, 2, 7], [3, 4, 8]]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("join"), st.lists(st.integers(1, 9), min_size=1, max_size=2)),
            st.tuples(st.just("leave"), st.integers(0, 5)),
            st.tuples(st.just("step"), st.integers(1, 5)),
        ),
        max_size=20,
    )
)
def test_any_coming_and_going_keeps_every_row_and_the_budget(events):
    limits, max_total_tokens, word = KVLimits(160, 5), 30, 1
    batch, expected = None, []
    for event, argument in events:
        if event == "join":
            rows = [list(range(word + 10 * i, word + 10 * i + length)) for i, length in enumerate(argument)]
            word += 20
            if (len(expected) + len(rows)) * max_total_tokens > limits.max_kv_slots:
                continue
            longest = max(map(len, rows))
            new = running(*([0] * (longest - len(row)) + row for row in rows), max_total_tokens=max_total_tokens)
            if batch is None:
                batch = new
            else:
                batch.join(new, limits)
            expected += rows
        elif event == "leave" and expected:
            order = without_gaps([row for row in range(len(expected)) if row != argument % len(expected)])
            expected = [expected[row] for row in order]
            if order:
                batch.keep(order)
            else:
                batch = None
        elif event == "step" and expected:
            for _ in range(argument):
                if max(map(len, expected)) < max_total_tokens:
                    emitted = list(range(word, word + len(expected)))
                    word += 10
                    emit(batch, limits, *emitted)
                    expected = [[*row, token] for row, token in zip(expected, emitted, strict=True)]
        if batch is not None:
            assert tokens(batch) == expected
            assert batch.kv_slots <= limits.max_kv_slots


@given(st.sets(st.integers(0, 15)))
def test_those_that_stay_move_as_little_as_can_be(alive):
    order = without_gaps(sorted(alive))
    assert sorted(order) == sorted(alive)
    assert all(row == place or row >= len(order) for place, row in enumerate(order)), "no row overwrites another"


@given(st.integers(1, 20), st.integers(1, 100), st.integers(0, 50), st.integers(0, 5000))
def test_buffers_have_room_for_their_rows_and_stay_within_the_budget(rows, max_total_tokens, cross, spare):
    limits = KVLimits(rows * (max_total_tokens + cross) + spare, 20)
    capacity, room = geometry(rows, max_total_tokens, cross, limits)
    assert rows <= capacity <= 20
    assert room >= max_total_tokens
    assert capacity * (room + cross) <= limits.max_kv_slots


def test_a_batch_counts_its_padding():
    reservations = [Reservation(10, 5, 8), Reservation(30, 2, 8)]
    assert kv_slots(reservations) == 2 * (30 + 5)
    assert kv_slots([]) == 0


def test_transformers_takes_our_layers_for_its_own():
    from transformers.cache_utils import CacheLayerMixin

    cache = filled([1, 2, 3])
    assert isinstance(cache.layers[0], CacheLayerMixin)
    assert cache.get_seq_length() == 3
    assert cache.get_mask_sizes(1, 0) == (4, 0)
    assert cache.is_sliding == [False, False]


def test_what_is_no_cache_of_keys_and_values_is_refused():
    with pytest.raises(UnmergeableCache, match="does not fill"):
        blocks(new_cache(cross=False))
    strange = filled([1, 2])
    strange.layers[1] = object()
    with pytest.raises(UnmergeableCache, match="cannot be merged: object"):
        blocks(strange)
    uneven = filled([1, 2])
    uneven.layers[1] = Layer()
    uneven.layers[1].update(columns([1]), columns([1]))
    with pytest.raises(UnmergeableCache, match="different lengths"):
        blocks(uneven)


def test_a_model_with_a_running_state_is_known_by_its_configuration():
    assert "running state" in why_not(generating_model("mamba"))
    assert why_not(generating_model("llama")) is None
    assert why_not(generating_model("gemma3")) is None, "its windows are masks over all columns"
