"""Sampler: one vectorised call per decode step for all rows, each with its own options.

Rows join and leave between steps. A row gets the tokens that transformers' `generate` gives it alone; a row with a seed
gets the same tokens whatever else is in the batch (see `draw.py`).
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
from deployments.numerics import NOT_FINITE

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Step:
    """The result of a step, one entry for each row of the logits.

    Attributes:
        tokens: int64 [rows], on the device of the logits; undefined for rows in `errors`.
        logprobs: of the sampled token, natural logarithm, in the model's own distribution: the softmax of the logits
            before any option (as OpenAI and vLLM report it); None if not requested.
        top: the `top_n_tokens` likeliest tokens of that distribution, best first; empty if not requested.
        errors: for rows without a token, by their index in the sampler. The engine settles those sequences and omits
            them from its next `keep`; other rows are not affected.
    """

    tokens: "Tensor"
    logprobs: "list[float | None]"
    top: "list[list[TokenLogprob]]"
    errors: dict[int, ServiceError]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to compute for which rows of a step; valid until rows join or leave.

    Attributes:
        processed: rows of the logits with processors or sampling; the others take the highest logit.
        processors: to apply to their scores, in order.
        draw: samples those with `do_sample`; None if there are none.
        with_logprobs: rows that report log-probabilities.
        with_history: rows whose tokens are recorded: by their index in the sampler, and in the logits.
    """

    processed: list[int]
    processors: list[Processor]
    draw: Draw | None
    with_logprobs: list[int]
    with_history: tuple[list[int], list[int]]


class Sampler:
    """Samples the next token of every row.

    Args:
        device: of the logits.
    """

    def __init__(self, device: "torch.device | str" = "cpu") -> None:
        self._rows: list[RowState] = []
        self._history = TokenHistory(device)
        self._plans: dict[tuple[int, int, int], _Plan] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def admit(self, rows: Sequence[RowSpec]) -> list[int | None]:
        """Append rows; returns each row's seed, None for rows without `do_sample`."""
        states = [RowState(spec.params, spec.seed, len(spec.prompt), spec.processor, len(spec.tokens)) for spec in rows]
        pairs = zip(states, rows, strict=True)
        self._history.admit([(*spec.prompt, *spec.tokens) if state.uses_history else () for state, spec in pairs])
        self._rows += states
        self._plans.clear()
        return [state.seed if state.params.do_sample else None for state in states]

    def keep(self, indices: Sequence[int]) -> None:
        """Keep these rows, in this order, and drop all others.

        Raises:
            ValueError: an index occurs twice.
        """
        if len(set(indices)) != len(indices):
            raise ValueError(f"an index occurs twice: {list(indices)}")
        self._rows = [self._rows[index] for index in indices]
        self._history.keep(indices)
        self._plans.clear()

    def step(self, logits: "Tensor", first: int = 0) -> Step:
        """Sample a token for the rows from `first` on, one for each row of the logits.

        Args:
            logits: of the next token, [rows, vocabulary], in any floating dtype; not changed. Computation is in
                float32, as in transformers.
            first: index in the sampler of the first row of the logits: `len(sampler) - n` for the n rows admitted last.
        """
        logits = logits.float()
        plan = self._plan(first, *logits.shape)
        highest, tokens = logits.max(-1)
        possible = highest.isfinite()
        if plan.processed:
            best, sampled = self._sample(logits, plan)
            tokens[plan.processed] = sampled
            allowed = possible.new_ones(len(possible))
            allowed[plan.processed] = best > float("-inf")
        else:
            allowed = possible
        errors = _errors(possible, allowed, first)
        self._record(plan, tokens, first)
        reporting = [row for row in plan.with_logprobs if first + row not in errors]
        logprobs, top = self._logprobs(logits, tokens, reporting, first)
        return Step(tokens, logprobs, top, errors)

    def _sample(self, logits: "Tensor", plan: _Plan) -> "tuple[Tensor, Tensor]":
        """Highest processed score and token of the processed rows."""
        count, vocabulary = len(plan.processed), logits.shape[1]
        scores = logits.new_empty(count, vocabulary + 1)
        scores[:, :-1] = logits if count == len(logits) else logits[plan.processed]
        scores[:, -1] = float("-inf")
        for processor in plan.processors:
            processor(scores)
        best, tokens = scores.max(-1)
        if plan.draw is not None:
            plan.draw(scores, best, tokens)
        return best, tokens

    def _record(self, plan: _Plan, tokens: "Tensor", first: int) -> None:
        places, rows = plan.with_history
        if places:
            self._history.append(places, tokens if len(rows) == len(tokens) else tokens[rows])
        for state in self._rows[first : first + len(tokens)]:
            state.generated += 1

    def _logprobs(
        self, logits: "Tensor", tokens: "Tensor", rows: Sequence[int], first: int
    ) -> "tuple[list[float | None], list[list[TokenLogprob]]]":
        logprobs: list[float | None] = [None] * len(tokens)
        top: list[list[TokenLogprob]] = [[] for _ in range(len(tokens))]
        if rows:
            params = [self._rows[first + row].params for row in rows]
            top_counts = [row.top_n_tokens for row in params]
            picked = (logits, tokens) if len(rows) == len(tokens) else (logits[rows], tokens[rows])
            results = log_probabilities(*picked, top_counts)
            for row, options, (logprob, top_tokens) in zip(rows, params, results, strict=True):
                logprobs[row] = logprob if options.logprobs else None
                top[row] = top_tokens
        return logprobs, top

    def _plan(self, first: int, count: int, vocabulary: int) -> _Plan:
        key = (first, count, vocabulary)
        if key not in self._plans:
            assert 0 <= first <= first + count <= len(self._rows), f"{count} logits from row {first} of {len(self)}"
            states = list(enumerate(self._rows[first : first + count]))
            processed = [row for row, state in states if state.params.do_sample or has_processors(state)]
            users = [User(i, first + row, self._rows[first + row]) for i, row in enumerate(processed)]
            drawn = [user for user in users if user.state.params.do_sample]
            with_history = [row for row, state in states if state.uses_history]
            self._plans[key] = _Plan(
                processed,
                processors_for(users, self._history, vocabulary),
                Draw(drawn, self._history.device) if drawn else None,
                [row for row, state in states if state.params.logprobs or state.params.top_n_tokens],
                ([first + row for row in with_history], with_history),
            )
        return self._plans[key]


def is_greedy(row: RowSpec) -> bool:
    """Whether a row takes the highest logit at every step, whatever was before, and reports nothing else."""
    state = RowState(row.params, row.seed, len(row.prompt), row.processor)
    params = row.params
    return not (params.do_sample or has_processors(state) or params.logprobs or params.top_n_tokens)


def _errors(possible: "Tensor", allowed: "Tensor", first: int) -> dict[int, ServiceError]:
    """Errors by index in the sampler. Waits for the device, as reading the tokens would next."""
    errors: dict[int, ServiceError] = {}
    for row, (finite, left) in enumerate(zip(possible.tolist(), allowed.tolist(), strict=True)):
        if not finite:
            errors[first + row] = ForwardFailed(NOT_FINITE)
        elif not left:
            errors[first + row] = InvalidInput("the options exclude every token")
    return errors
