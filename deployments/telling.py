"""Telling: one text of a stream, from the pieces of its rows to events."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from deployments.generation.ask import Piece


class Telling:
    """Tells the rows of one text one after the other, as they come; the last piece is kept for the whole text.

    Args:
        rows: of the text, by their numbers in the job.
        retell: what a piece becomes before it is told.

    Attributes:
        last: the text's last piece, once it was heard.
        told: pieces that were told.
    """

    def __init__(self, rows: Sequence[int], retell: Callable[[Piece], Piece]) -> None:
        self.last: Piece | None = None
        self.told = 0
        self._turns = list(rows)
        self._end = rows[-1]
        self._retell = retell
        self._later: dict[int, list[Piece]] = {}  # of rows whose turn has not come

    def tell(self, heard: Iterable[Piece]) -> Iterator[Piece]:
        """What can be told now, with those that were heard."""
        for piece in heard:
            self._later.setdefault(piece.row, []).append(piece)
        while self._turns and self._turns[0] in self._later:
            pieces = self._later.pop(self._turns[0])
            for piece in map(self._retell, pieces):
                if piece.is_last and piece.row == self._end:
                    self.last = piece
                    break
                self.told += 1
                yield piece
            if not pieces[-1].is_last:
                return
            del self._turns[0]
