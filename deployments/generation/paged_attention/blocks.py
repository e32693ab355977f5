"""Blocks of a paged key-value cache: which sequence holds which, and which keep a prefix that others may share.

A block holds the keys and values of `BLOCK` tokens (PagedAttention, Kwon et al. 2023). A full block is remembered by
its tokens and the block before it, so that a sequence whose prompt begins alike reads only what is new. Such a block
stays when nobody holds it any more, until its place is needed; the one that was released first goes first.
"""

from collections import Counter
from collections.abc import Sequence

BLOCK = 32  # tokens; OpenVINO's kernel for CPUs has no other size

FIRST = -1  # stands for what is before the first block of a sequence

_Key = tuple[int, tuple[int, ...]]  # serial number of the block before it, and its own tokens


class BlockPool:
    """The blocks of one cache.

    Args:
        count: of blocks.
        shares_prefixes: whether full blocks are remembered.
    """

    def __init__(self, count: int, *, shares_prefixes: bool = True) -> None:
        self.count = count
        self._shares_prefixes = shares_prefixes
        self._empty = list(range(count - 1, -1, -1))  # never written, or forgotten
        self._holders: Counter[int] = Counter()
        self._kept: dict[int, None] = {}  # full blocks that nobody holds, the one to forget next first
        self._blocks: dict[_Key, int] = {}  # full blocks
        self._keys: dict[int, _Key] = {}  # the same by block
        self._serials: dict[int, int] = {}  # of full blocks; none is used twice
        self._next_serial = 0

    @property
    def available(self) -> int:
        """Blocks that can be taken."""
        return len(self._empty) + len(self._kept)

    @property
    def held(self) -> int:
        """Blocks that sequences hold."""
        return self.count - self.available

    def shared(self, ids: Sequence[int]) -> list[int]:
        """The full blocks that hold the beginning of a prompt, without its last token, which must be read in any case
        to predict the next one."""
        found: list[int] = []
        before = FIRST
        for start in range(0, len(ids) - BLOCK, BLOCK):
            block = self._blocks.get((before, tuple(ids[start : start + BLOCK])))
            if block is None:
                break
            found.append(block)
            before = self._serials[block]
        return found

    def missing(self, ids: Sequence[int]) -> int:
        """Blocks that must be available for a sequence with these tokens and the next one to begin."""
        shared = self.shared(ids)
        return blocks_for(len(ids) + 1) - sum(block not in self._kept for block in shared)

    def hold(self, blocks: Sequence[int]) -> None:
        """Hold full blocks once more."""
        for block in blocks:
            self._kept.pop(block, None)
            self._holders[block] += 1

    def take(self, count: int) -> list[int]:
        """Take blocks to write to; those that are kept are forgotten only once no empty ones are left.

        Raises:
            NoBlocks: so many are not available.
        """
        if count > self.available:
            raise NoBlocks
        taken = []
        for _ in range(count):
            block = self._empty.pop() if self._empty else self._forget_oldest()
            self._holders[block] = 1
            taken.append(block)
        return taken

    def release(self, blocks: Sequence[int]) -> None:
        """Give blocks back. Of a sequence's own, the last one is forgotten first: a beginning is shared more often."""
        for block in reversed(blocks):
            self._holders[block] -= 1
            if self._holders[block]:
                continue
            del self._holders[block]
            if block in self._keys:
                self._kept[block] = None
            else:
                self._empty.append(block)

    def remember(self, before: int, tokens: Sequence[int], block: int) -> int:
        """Remember a block as full; if another one holds the same, that one remains the one that is shared.

        Args:
            before: what this method returned for the block before it in its sequence; `FIRST` for the first one.
            tokens: whose keys it holds, `BLOCK` of them.
            block: a block that is held.

        Returns:
            What stands for the tokens up to here.
        """
        if not self._shares_prefixes:
            return FIRST
        key = (before, tuple(tokens))
        if key not in self._blocks:
            self._blocks[key], self._keys[block], self._serials[block] = block, key, self._next_serial
            self._next_serial += 1
        return self._serials[self._blocks[key]]

    def serial(self, block: int) -> int:
        """What stands for the tokens up to the end of a full block."""
        return self._serials[block]

    def _forget_oldest(self) -> int:
        block = next(iter(self._kept))
        del self._kept[block]
        del self._blocks[self._keys.pop(block)]
        del self._serials[block]
        return block


class NoBlocks(Exception):
    """The cache has not as many blocks left."""


class BlockTable:
    """The blocks of one sequence, in order.

    Attributes:
        blocks: their numbers.
        length: tokens whose keys they hold.
    """

    def __init__(self, pool: BlockPool, shared: Sequence[int] = ()) -> None:
        self._pool = pool
        self.blocks = [*shared]
        self.length = len(shared) * BLOCK
        self._before = pool.serial(shared[-1]) if shared else FIRST  # of the next block
        pool.hold(shared)

    def reserve(self, length: int) -> None:
        """Take what is missing for this many tokens.

        Raises:
            NoBlocks: it is not available; nothing is taken.
        """
        self.blocks += self._pool.take(max(0, blocks_for(length) - len(self.blocks)))

    def advance(self, ids: Sequence[int], count: int) -> None:
        """Record that the keys of the next tokens have been written.

        Args:
            ids: of the whole sequence.
            count: how many of them, from `length` on.
        """
        first, self.length = self.length // BLOCK, self.length + count
        for index in range(first, self.length // BLOCK):
            tokens = ids[index * BLOCK : (index + 1) * BLOCK]
            self._before = self._pool.remember(self._before, tokens, self.blocks[index])

    def release(self) -> None:
        """Give all blocks back."""
        self._pool.release(self.blocks)
        self.blocks, self.length, self._before = [], 0, FIRST


def blocks_for(tokens: int) -> int:
    return -(-tokens // BLOCK)
