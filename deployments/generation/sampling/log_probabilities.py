"""Log-probabilities of tokens in the model's distribution, before any option."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class TokenLogprob(NamedTuple):
    """A token and the natural logarithm of its probability."""

    token: int
    logprob: float


def log_probabilities(logits: "Tensor", tokens: "Tensor", top: Sequence[int]) -> list[tuple[float, list[TokenLogprob]]]:
    """For each row, the log-probability of its token, and its likeliest tokens, best first.

    Args:
        logits: [rows, vocabulary], float32, as the model returned them.
        tokens: [rows].
        top: the number of likeliest tokens for each row; 0 for none.
    """
    logs = logits.log_softmax(-1)
    chosen: list[float] = logs.gather(1, tokens[:, None])[:, 0].tolist()
    max_top = min(max(top), logits.shape[1])
    if max_top == 0:
        return [(logprob, []) for logprob in chosen]
    values, ids = logs.topk(max_top)
    top_tokens = [
        [TokenLogprob(*pair) for pair in zip(row_ids[:count], row_values[:count], strict=True)]
        for row_ids, row_values, count in zip(ids.tolist(), values.tolist(), top, strict=True)
    ]
    return list(zip(chosen, top_tokens, strict=True))
