"""The vectorised sampler: one call per decode step for all rows, each with its own options.

Rows join and leave between steps. A row gets the tokens that transformers' `generate` would give it alone; with a seed,
whatever else is in the batch (how, `draw.py` says).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deployments.errors import ForwardFailed, InvalidInput, ServiceError
from deployments.generation.sampling.draw import Draw
from deployments.generation.sampling.history import TokenHistory
from deployments.generation.sampling.log_probabilities import TokenLogprob, log_probabilities
from deployments.generation.sampling.processor import Processor, User
from deployments.generation.sampling.processors import has_processors, processors_for
from deployments.generation.sampling.row import RowSpec, RowState

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Step:
    """What a step chose, row by row of its logits.

    Attributes:
        tokens: int64 [rows], where the logits were. Of a row in `errors`, without meaning.
        logprobs: of the chosen token, natural logarithm, in the model's own distribution: the softmax of the logits as
            they came, before any option (as OpenAI and vLLM report it); None for rows that did not ask.
        top: the `top_n_tokens` likeliest tokens of that distribution, best first; empty for rows that did not ask.
        errors: rows that got no token, by their index in the sampler, with what to tell their caller. The engine
            answers those and leaves them out of its next `keep`; all other rows are as if they had not been there.
    """

    tokens: "Tensor"
    logprobs: "list[float | None]"
    top: "list[list[TokenLogprob]]"
    errors: dict[int, ServiceError]


@dataclass(frozen=True, slots=True)
class _Plan:
    """Who does what to which rows of one step; holds until rows join or leave.

    Attributes:
        touched: rows of the logits whose scores are changed or drawn from; the others take the highest logit.
        asking: rows that want log-probabilities.
        remembered: rows whose options look back at their tokens: by their index in the sampler, and in the logits.
    """

    touched: list[int]
    processors: list[Processor]
    draw: Draw | None
    asking: list[int]
    remembered: tuple[list[int], list[int]]


class Sampler:
    """Chooses the next token of every row.

    Args:
        device: where the logits will be.
    """

    def __init__(self, device: "torch.device | str" = "cpu") -> None:
        self._rows: list[RowState] = []
        self._history = TokenHistory(device)
        self._plans: dict[tuple[int, int, int], _Plan] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def admit(self, rows: Sequence[RowSpec]) -> list[int | None]:
        """Append rows; returns each one's seed, None for rows that do not draw."""
        states = [RowState(spec.params, spec.seed, len(spec.prompt), spec.processor) for spec in rows]
        both = zip(states, rows, strict=True)
        self._history.admit([spec.prompt if state.uses_history else () for state, spec in both])
        self._rows += states
        self._plans.clear()
        return [state.seed if state.params.do_sample else None for state in states]

    def keep(self, indices: Sequence[int]) -> None:
        """Keep these rows, in this order, and forget all others.

        Raises:
            ValueError: a row named twice.
        """
        if len(set(indices)) != len(indices):
            raise ValueError(f"a row cannot be kept twice: {list(indices)}")
        self._rows = [self._rows[index] for index in indices]
        self._history.keep(indices)
        self._plans.clear()

    def step(self, logits: "Tensor", first: int = 0) -> Step:
        """Choose a token for the rows from `first` on, as many as there are logits, and remember it.

        Args:
            logits: of the next token, [rows, vocabulary], in any floating dtype; computed with in float32, as
                transformers does, and not changed.
            first: row of the sampler that the first logits belong to: `len(sampler) - n` for n rows that were just
                admitted.
        """
        logits = logits.float()
        plan = self._plan(first, *logits.shape)
        highest, tokens = logits.max(-1)
        possible = highest.isfinite()
        if plan.touched:
            best, chosen = self._choose(logits, plan)
            tokens[plan.touched] = chosen
            allowed = possible.new_ones(len(possible))
            allowed[plan.touched] = best > float("-inf")
        else:
            allowed = possible
        errors = _errors(possible, allowed, first)
        self._remember(plan, tokens, first)
        asking = [row for row in plan.asking if first + row not in errors]
        logprobs, top = self._logprobs(logits, tokens, asking, first)
        return Step(tokens, logprobs, top, errors)

    def _choose(self, logits: "Tensor", plan: _Plan) -> "tuple[Tensor, Tensor]":
        """Highest processed score and token of the touched rows."""
        count, vocabulary = len(plan.touched), logits.shape[1]
        scores = logits.new_empty(count, vocabulary + 1)
        scores[:, :-1] = logits if count == len(logits) else logits[plan.touched]
        scores[:, -1] = float("-inf")
        for processor in plan.processors:
            processor(scores)
        best, tokens = scores.max(-1)
        if plan.draw is not None:
            plan.draw(scores, best, tokens)
        return best, tokens

    def _remember(self, plan: _Plan, tokens: "Tensor", first: int) -> None:
        places, rows = plan.remembered
        if places:
            self._history.append(places, tokens if len(rows) == len(tokens) else tokens[rows])
        for state in self._rows[first : first + len(tokens)]:
            state.generated += 1

    def _logprobs(
        self, logits: "Tensor", tokens: "Tensor", asking: Sequence[int], first: int
    ) -> "tuple[list[float | None], list[list[TokenLogprob]]]":
        logprobs: list[float | None] = [None] * len(tokens)
        top: list[list[TokenLogprob]] = [[] for _ in range(len(tokens))]
        if asking:
            params = [self._rows[first + row].params for row in asking]
            wanted = [row.top_n_tokens for row in params]
            all_of_them = len(asking) == len(tokens)
            picked = (logits, tokens) if all_of_them else (logits[asking], tokens[asking])
            found = log_probabilities(*picked, wanted)
            for row, options, (logprob, top_tokens) in zip(asking, params, found, strict=True):
                logprobs[row] = logprob if options.logprobs else None
                top[row] = top_tokens
        return logprobs, top

    def _plan(self, first: int, count: int, vocabulary: int) -> _Plan:
        key = (first, count, vocabulary)
        if key not in self._plans:
            assert 0 <= first <= first + count <= len(self._rows), f"{count} logits from row {first} of {len(self)}"
            states = list(enumerate(self._rows[first : first + count]))
            touched = [row for row, state in states if state.params.do_sample or has_processors(state)]
            users = [User(i, first + row, self._rows[first + row]) for i, row in enumerate(touched)]
            drawn = [user for user in users if user.state.params.do_sample]
            remembered = [row for row, state in states if state.uses_history]
            self._plans[key] = _Plan(
                touched,
                processors_for(users, self._history, vocabulary),
                Draw(drawn, self._history.device) if drawn else None,
                [row for row, state in states if state.params.logprobs or state.params.top_n_tokens],
                ([first + row for row in remembered], remembered),
            )
        return self._plans[key]


def _errors(possible: "Tensor", allowed: "Tensor", first: int) -> dict[int, ServiceError]:
    """By index in the sampler. This waits for the device, as the engine would next to read the tokens."""
    errors: dict[int, ServiceError] = {}
    for row, (finite, left) in enumerate(zip(possible.tolist(), allowed.tolist(), strict=True)):
        if not finite:
            errors[first + row] = ForwardFailed(
                "the model's scores for the next token are not numbers (NaN or infinite) for this input"
            )
        elif not left:
            errors[first + row] = InvalidInput("the options together forbid every token: nothing can come next")
    return errors
