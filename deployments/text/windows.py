"""Splits long texts into overlapping windows, one row each, instead of truncating them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deployments.contract.task import Row
from deployments.errors import InvalidInput, TooLarge
from deployments.text.task import TextTask

if TYPE_CHECKING:
    from tokenizers import Encoding

MAX_WINDOWS = 1024  # per text


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of a text, or of one text of a pair.

    Attributes:
        rows: one per window, in text order.
        encodings: the tokenizer's output for each window: ids, character offsets, word ids, sequence ids.
        step: tokens from the start of a window to the start of the next.
    """

    rows: list[Row]
    encodings: "list[Encoding]"
    step: int


def split_text(task: TextTask[Any, Any], text: str, stride: int | None) -> Windows:
    """Split a text into windows of the model's length that overlap by `stride` tokens (default: a quarter of a window).

    Raises:
        InvalidInput: `stride` is not below the window's length, or the text has no tokens.
    """
    room = task.max_length - task.tokenizer.num_special_tokens_to_add(pair=False)
    if stride is None:
        stride = room // 4
    if stride >= room:
        raise InvalidInput(f"stride is {stride}; it must be below {room}, the tokens of text in a window")
    return _split(task, (text,), "longest_first", task.max_length, stride, room)


def split_pair(
    task: TextTask[Any, Any], first: str, second: str, *, longer: int, room: int, max_length: int, stride: int
) -> Windows:
    """Split one text of a pair into windows; each window has the whole other text.

    Args:
        task: provides the tokenizer and the input names.
        first: the first text of the pair.
        second: the second text.
        longer: 0 or 1, the text to split.
        room: its tokens per window; above `stride`.
        max_length: tokens of a window, including the other text and special tokens.
        stride: overlap of neighbouring windows, in tokens.
    """
    return _split(task, (first, second), ("only_first", "only_second")[longer], max_length, stride, room)


def cores(sizes: Sequence[int], step: int) -> list[range]:
    """The core of each window, as positions within it; the cores together have every token once.

    A token belongs to the window in which it is furthest from an edge: overlaps are divided at their middle.

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
    """Reject a stride that would create too many windows, before creating them.

    Raises:
        TooLarge: more than `MAX_WINDOWS`.
    """
    longest = max(texts, key=len)
    if len(longest) <= step * MAX_WINDOWS:  # a token nearly always has at least one character
        return
    windows = len(task.tokenizer(longest, add_special_tokens=False)["input_ids"]) // step
    if windows > MAX_WINDOWS:
        raise TooLarge(
            f"the text has {windows:,} windows of {step} new tokens each; the limit is {MAX_WINDOWS:,} "
            "(a smaller stride makes fewer)"
        )


def _split(
    task: TextTask[Any, Any], texts: tuple[str, ...], truncation: str, max_length: int, stride: int, room: int
) -> Windows:
    """The caller ensures `stride < room`; the tokenizer would panic instead of raising an ordinary exception."""
    _require_few(task, texts, room - stride)
    task.tokenizer.truncation_side = "right"
    encoding = task.tokenizer(
        *texts, truncation=truncation, max_length=max_length, stride=stride, return_overflowing_tokens=True
    )
    if not encoding["input_ids"][0]:
        raise InvalidInput("inputs has no tokens for this model's tokenizer")
    windows = range(len(encoding["input_ids"]))
    return Windows([task.row(encoding, index) for index in windows], list(encoding.encodings), room - stride)
