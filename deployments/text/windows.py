"""Long texts in overlapping windows, a row each, so that nothing is cut off."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deployments.contract.task import Row
from deployments.errors import InvalidInput, TooLarge
from deployments.text.task import TextTask

if TYPE_CHECKING:
    from tokenizers import Encoding

MAX_WINDOWS = 1024  # of one text


@dataclass(frozen=True, slots=True)
class Windows:
    """A text, or one text of a pair, as the model reads it.

    Attributes:
        rows: one per window, from left to right.
        encodings: the tokenizer's own result for each: ids, offsets in characters, words, sequence ids.
        step: tokens from the start of a window to the start of the next.
    """

    rows: list[Row]
    encodings: "list[Encoding]"
    step: int


def split_text(task: TextTask[Any, Any], text: str, stride: int | None) -> Windows:
    """One text in windows of the model's length that share `stride` tokens (default: a quarter of a window).

    Raises:
        InvalidInput: `stride` leaves nothing new for a window, or the tokenizer finds no token in the text.
    """
    room = task.max_length - task.tokenizer.num_special_tokens_to_add(pair=False)
    if stride is None:
        stride = room // 4
    if stride >= room:
        raise InvalidInput(f"stride is {stride}; it must be below the {room} tokens of text that a window holds")
    return _split(task, (text,), "longest_first", task.max_length, stride, room)


def split_pair(
    task: TextTask[Any, Any], first: str, second: str, *, longer: int, room: int, max_length: int, stride: int
) -> Windows:
    """A pair, of which one text is read in windows and the other is whole in each.

    Args:
        task: whose tokenizer and input names apply.
        first: the text that comes first in every row.
        second: the text that follows.
        longer: 0 or 1, the text that is read in windows.
        room: tokens of it that a window holds; above `stride`.
        max_length: tokens of a window, those of the other text and special ones included.
        stride: tokens that a window shares with the one before it.
    """
    return _split(task, (first, second), ("only_first", "only_second")[longer], max_length, stride, room)


def cores(sizes: Sequence[int], step: int) -> list[range]:
    """For each window the tokens, counted within it, that no neighbour sees better; together every token once.

    A token belongs to the window in which it is furthest from an edge: overlaps are shared out at their middle.

    Args:
        sizes: tokens of text in each window.
        step: tokens from the start of a window to the start of the next.
    """
    starts = [index * step for index in range(len(sizes))]
    ends = [start + size for start, size in zip(starts, sizes, strict=True)]
    cuts = [(end + start + 1) // 2 for end, start in zip(ends, starts[1:], strict=False)]
    return [
        range(left - start, right - start)
        for left, right, start in zip([0, *cuts], [*cuts, ends[-1]], starts, strict=True)
    ]


def _require_few(task: TextTask[Any, Any], texts: tuple[str, ...], step: int) -> None:
    """Refuse a stride that would make very many windows of a text, before they are made.

    Raises:
        TooLarge: more than `MAX_WINDOWS`.
    """
    longest = max(texts, key=len)
    if len(longest) <= step * MAX_WINDOWS:  # a token has at least one character, or nearly always
        return
    windows = len(task.tokenizer(longest, add_special_tokens=False)["input_ids"]) // step
    if windows > MAX_WINDOWS:
        raise TooLarge(
            f"the text makes {windows:,} windows of {step} new tokens each; at most {MAX_WINDOWS:,} are read "
            "(a smaller stride makes fewer)"
        )


def _split(
    task: TextTask[Any, Any], texts: tuple[str, ...], truncation: str, max_length: int, stride: int, room: int
) -> Windows:
    """The caller has made sure of `stride < room`: the tokenizer would not raise an ordinary exception, but panic."""
    _require_few(task, texts, room - stride)
    task.tokenizer.truncation_side = "right"
    encoding = task.tokenizer(
        *texts, truncation=truncation, max_length=max_length, stride=stride, return_overflowing_tokens=True
    )
    if not encoding["input_ids"][0]:
        raise InvalidInput("inputs hold nothing that the model's tokenizer reads")
    windows = range(len(encoding["input_ids"]))
    return Windows([task.row(encoding, index) for index in windows], list(encoding.encodings), room - stride)
