"""Start and end logits to spans of tokens: which stretch of a text the model points at. Arrays are numpy, float32."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deployments.contract.labels import softmax

if TYPE_CHECKING:
    from tokenizers import Encoding


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens `start` to `end`, both within, and the product of their probabilities."""

    start: int
    end: int
    score: float


def best_spans(logits: Any, context: range, null: int | None, count: int, longest: int) -> tuple[list[Span], float]:
    """The likeliest spans of one window, best first, and the score of having no answer.

    A span's score is P(start) x P(end), each a softmax over the context and the null position (Devlin et al. 2018,
    BERT, section 4.3, with probabilities in place of logits, as transformers' pipeline computes it). Equal scores
    keep the order of the text.

    Args:
        logits: `[2, tokens]`, for starts and ends.
        context: positions of the context; at least one.
        null: position that means "no answer" (CLS); None where the model has none, and the score of that is 0.
        count: most spans to return.
        longest: most tokens of a span.
    """
    import numpy as np

    readable = [*context] if null is None else [null, *context]
    start, end = softmax(logits[:, readable])
    no_answer = 0.0 if null is None else float(start[0] * end[0])
    start, end = start[-len(context) :], end[-len(context) :]

    # [start, tokens more] instead of [start, end]: a band as wide as the longest answer is all that is allowed.
    width = min(longest, len(context))
    ends = np.lib.stride_tricks.sliding_window_view(np.concatenate([end, np.full(width - 1, -1, end.dtype)]), width)
    allowed = np.flatnonzero(ends.ravel() >= 0)
    scores = (start[:, None] * ends).ravel()[allowed]
    best = _largest(scores, count)
    starts, more = np.divmod(allowed[best], width)
    starts += context.start
    spans = zip(starts.tolist(), (starts + more).tolist(), scores[best].tolist(), strict=True)
    return [Span(*span) for span in spans], no_answer


def tokens_of(encoding: "Encoding", sequence: int) -> range:
    """The tokens of one text of a pair, which lie side by side."""
    sequences = encoding.sequence_ids
    start = sequences.index(sequence)
    return range(start, start + sequences.count(sequence))


def to_characters(encoding: "Encoding", span: Span, sequence: int, *, whole_words: bool) -> tuple[int, int]:
    """First character of a span and the one behind its last, widened to whole words if asked for and known."""
    if whole_words:
        first, last = encoding.token_to_word(span.start), encoding.token_to_word(span.end)
        opening = None if first is None else encoding.word_to_chars(first, sequence)
        closing = None if last is None else encoding.word_to_chars(last, sequence)
        if opening is not None and closing is not None:
            return opening[0], closing[1]
    offsets = encoding.offsets  # each access makes a new list
    return offsets[span.start][0], offsets[span.end][1]


def _largest(values: Any, count: int) -> Any:
    """Indices of the `count` largest, largest first; equal ones in order."""
    import numpy as np

    if count < len(values):
        least = np.partition(values, -count)[-count]
        candidates = np.flatnonzero(values >= least)
    else:
        candidates = np.arange(len(values))
    return candidates[np.argsort(-values[candidates], kind="stable")][:count]
