"""Blocks of a paged cache: taken, shared, kept while there is room, and given back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.generation.paged_attention.blocks import BLOCK, BlockPool, BlockTable, NoBlocks


def table_of(pool: BlockPool, ids: list[int]) -> BlockTable:
    """Of a sequence whose tokens have been read."""
    table = BlockTable(pool, pool.shared(ids))
    table.reserve(len(ids))
    table.advance(ids, len(ids) - table.length)
    return table


def test_equal_beginnings_share_their_full_blocks():
    pool = BlockPool(8)
    ids = list(range(2 * BLOCK + 5))
    first = table_of(pool, ids)
    assert pool.held == 3
    second = table_of(pool, [*ids[: BLOCK + 3], 7, 7])
    assert second.blocks[0] == first.blocks[0]
    assert second.blocks[1] != first.blocks[1]
    assert pool.held == 4


def test_the_last_token_of_a_prompt_is_read_in_any_case():
    pool = BlockPool(8)
    ids = list(range(2 * BLOCK))
    table_of(pool, ids)
    assert len(pool.shared(ids)) == 1
    assert len(pool.shared([*ids, 1])) == 2


def test_a_block_stands_for_all_that_is_before_it():
    """Equal tokens behind another beginning have other keys."""
    pool = BlockPool(8)
    table_of(pool, [1] * BLOCK + [2] * BLOCK)
    assert pool.shared([3] * BLOCK + [2] * BLOCK + [9]) == []
    table_of(pool, [3] * BLOCK + [2] * BLOCK)
    assert len(pool.shared([3] * BLOCK + [2] * BLOCK + [9])) == 2


def test_released_blocks_stay_until_their_place_is_needed_and_the_ends_of_texts_go_first():
    pool = BlockPool(4)
    ids = list(range(3 * BLOCK))
    table_of(pool, ids).release()
    assert (pool.held, pool.available) == (0, 4)
    assert len(pool.shared([*ids, 1])) == 3
    pool.take(2)  # the empty one, and the last of the text
    assert len(pool.shared([*ids, 1])) == 2
    with pytest.raises(NoBlocks):
        pool.take(3)


def test_two_that_read_the_same_at_once_lose_nothing():
    pool = BlockPool(8)
    ids = list(range(2 * BLOCK))
    tables = [BlockTable(pool), BlockTable(pool)]
    for table in tables:
        table.reserve(2 * BLOCK)
    for count in (BLOCK, BLOCK):
        for table in tables:
            table.advance(ids, count)
    tables[0].release()
    tables[1].release()
    assert len(pool.shared([*ids, 5])) == 2


def test_nothing_is_shared_where_that_is_off():
    pool = BlockPool(4, shares_prefixes=False)
    ids = list(range(2 * BLOCK))
    table_of(pool, ids).release()
    assert pool.shared([*ids, 1]) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4 * BLOCK), st.booleans()), max_size=40))
def test_whatever_comes_and_goes_no_block_is_lost_or_given_twice(steps: list[tuple[int, int, bool]]):
    pool = BlockPool(12)
    tables: list[tuple[BlockTable, list[int]]] = []
    for kind, length, leaves in steps:
        ids = [kind] * length
        if pool.missing(ids) <= pool.available:
            tables.append((table_of(pool, ids), ids))
        if leaves and tables:
            tables.pop(0)[0].release()
        held = {block for table, _ in tables for block in table.blocks}
        assert pool.held == len(held)
        own = [block for table, ids in tables for block in table.blocks[len(ids) // BLOCK :]]
        assert len(own) == len(set(own)), "a block that is not full has one holder"
        for table, ids in tables:
            shared = pool.shared([*ids, 9])
            assert len(shared) == len(ids) // BLOCK == table.length // BLOCK
    for table, _ in tables:
        table.release()
    assert pool.held == 0
