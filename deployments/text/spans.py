"""Start and end logits to answer spans, in tokens. Arrays are numpy, float32."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deployments.contract.labels import softmax

if TYPE_CHECKING:
    from tokenizers import Encoding


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens `start` to `end`, both included, and P(start) x P(end)."""

    start: int
    end: int
    score: float


def best_spans(logits: Any, context: range, null: int | None, count: int, max_length: int) -> tuple[list[Span], float]:
    """The best spans of one window, best first, and the score of "no answer".

    A span's score is P(start) x P(end), each a softmax over the context and the null position (Devlin et al. 2018,
    BERT, section 4.3, with probabilities in place of logits, as transformers' pipeline computes it). Equal scores
    keep text order.

    Args:
        logits: `[2, tokens]`, for starts and ends.
        context: positions of the context; at least one.
        null: position that means "no answer" (CLS); None if there is none, which makes the score of "no answer" 0.
        count: maximum number of spans to return.
        max_length: maximum tokens of a span.
    """
    import numpy as np

    readable = [*context] if null is None else [null, *context]
    start, end = softmax(logits[:, readable])
    no_answer = 0.0 if null is None else float(start[0] * end[0])
    start, end = start[-len(context) :], end[-len(context) :]

    # [start, end - start] instead of [start, end]: only a band as wide as the longest answer is allowed.
    width = min(max_length, len(context))
    ends = np.lib.stride_tricks.sliding_window_view(np.concatenate([end, np.full(width - 1, -1, end.dtype)]), width)
    allowed = np.flatnonzero(ends.ravel() >= 0)
    scores = (start[:, None] * ends).ravel()[allowed]
    best = _largest(scores, count)
    starts, more = np.divmod(allowed[best], width)
    starts += context.start
    spans = zip(starts.tolist(), (starts + more).tolist(), scores[best].tolist(), strict=True)
    return [Span(*span) for span in spans], no_answer


def tokens_of(encoding: "Encoding", sequence: int) -> range:
    """The positions of one text of a pair; they are contiguous."""
    sequences = encoding.sequence_ids
    start = sequences.index(sequence)
    return range(start, start + sequences.count(sequence))


def to_characters(encoding: "Encoding", span: Span, sequence: int, *, whole_words: bool) -> tuple[int, int]:
    """Character offsets of a span, start and end; widened to whole words if requested and the tokenizer knows them."""
    if whole_words:
        first, last = encoding.token_to_word(span.start), encoding.token_to_word(span.end)
        opening = None if first is None else encoding.word_to_chars(first, sequence)
        closing = None if last is None else encoding.word_to_chars(last, sequence)
        if opening is not None and closing is not None:
            return opening[0], closing[1]
    offsets = encoding.offsets  # each access builds a new list
    return offsets[span.start][0], offsets[span.end][1]


def _largest(values: Any, count: int) -> Any:
    """Indices of the `count` largest values, largest first; ties in order."""
    import numpy as np

    if count < len(values):
        threshold = np.partition(values, -count)[-count]
        candidates = np.flatnonzero(values >= threshold)
    else:
        candidates = np.arange(len(values))
    return candidates[np.argsort(-values[candidates], kind="stable")][:count]
