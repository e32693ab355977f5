"""The batch that decodes: its rows in the cache, in the sampler and in `rows`, in the same order always."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deployments.generation.in_flight.admission import Claim
from deployments.generation.in_flight.families import Family
from deployments.generation.in_flight.forward import Prefill, step, step_apart
from deployments.generation.in_flight.kv_batch import Limits, Running, without_gaps
from deployments.generation.sampling.log_probabilities import TokenLogprob
from deployments.generation.sampling.sampler import Sampler, Step
from deployments.generation.sequence import Job

if TYPE_CHECKING:
    import torch

Deliver = Callable[[Job, int, float | None, Sequence[TokenLogprob]], None]


@dataclass(slots=True, eq=False)
class Row:
    """A job while it decodes.

    `said` counts its tokens since it joined. An evicted row that joins again says once more what was delivered before:
    it keeps its seed, so the sampler chooses the same.
    """

    job: Job
    claim: Claim
    said: int = 0


class Batch:
    """Rows that decode together.

    Args:
        model: in eval mode.
        family: how it wants to be called.
        sampler: of this batch alone.
        deliver: called with a job and its next token, log-probability and likeliest tokens.
        settle: called with a job for which no token could be chosen, and why.
    """

    def __init__(
        self,
        model: "torch.nn.Module",
        family: Family,
        sampler: Sampler,
        deliver: Deliver,
        settle: Callable[[Job, BaseException], None],
    ) -> None:
        self._model, self._family, self._sampler = model, family, sampler
        self._deliver, self._settle = deliver, settle
        self.rows: list[Row] = []
        self._running: Running | None = None
        self._tokens: torch.Tensor | None = None  # [rows], each row's last

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def cells(self) -> int:
        """Token places of its cache."""
        return self._running.cells if self._running else 0

    @property
    def padding_ratio(self) -> float:
        """Share of padding in what a step reads."""
        return self._running.padding_ratio if self._running else 0.0

    def tighten(self, limits: Limits) -> None:
        """Give back what its cache has beyond these limits."""
        if self._running:
            self._running.tighten(limits)

    def room_for_a_step(self, limits: Limits) -> None:
        """See to it that the next step has somewhere to write."""
        if self._running:
            self._running.room_for_a_step(limits)

    def choose(self, newcomers: Sequence[Row], logits: "torch.Tensor") -> Step:
        """The newcomers' first tokens; the batch is as it was if this fails."""
        seeds = self._sampler.admit([row.job.row for row in newcomers])
        for row, seed in zip(newcomers, seeds, strict=True):
            if seed is not None and row.job.params.seed is None:
                row.job.params = replace(row.job.params, seed=seed)
        try:
            return self._sampler.step(logits, len(self.rows))
        except Exception:
            self._sampler.keep(range(len(self.rows)))
            raise

    def join(self, newcomers: Sequence[Row], prefill: Prefill, limits: Limits) -> None:
        """Take newcomers in behind the others."""
        new = prefill.rows()
        if self._running is None:
            self._running = new
        else:
            self._running.join(new, limits)
        self.rows += newcomers

    def say_first(self, chosen: Step) -> None:
        """Hand on the first tokens of those that joined last."""
        self._say(chosen, len(self.rows) - len(chosen.tokens))

    def step(self) -> "torch.Tensor":
        """Logits `[rows, vocabulary]`; the batch is as it was if this fails."""
        assert self._running is not None
        assert self._tokens is not None
        try:
            return step(self._model, self._family, self._running, self._tokens)
        except Exception:
            self._running.rewind()
            raise

    def step_apart(self) -> "list[torch.Tensor | Exception]":
        """The same for one row after the other: what each gives, or raises."""
        assert self._running is not None
        assert self._tokens is not None
        return step_apart(self._model, self._family, self._running, self._tokens)

    def say(self, logits: "torch.Tensor") -> None:
        """Choose every row's next token and hand it on."""
        self._say(self._sampler.step(logits), 0)

    def keep(self, alive: Sequence[int]) -> list[int]:
        """Keep these rows (ascending); returns the order they are in now."""
        order = without_gaps(alive)
        self.rows = [self.rows[row] for row in order]
        self._sampler.keep(order)
        if self._running is None or not order:
            self._running = self._tokens = None
            return order
        self._running.keep(order)
        assert self._tokens is not None
        self._tokens = self._tokens[order]
        return order

    def _say(self, chosen: Step, first: int) -> None:
        import torch

        said = chosen.tokens.tolist()
        for place, row in enumerate(self.rows[first:]):
            row.said += 1
            if row.said <= len(row.job.tokens):
                said[place] = row.job.tokens[row.said - 1]
            elif error := chosen.errors.get(first + place):
                self._settle(row.job, error)
            else:
                self._deliver(row.job, said[place], chosen.logprobs[place], chosen.top[place])
        tokens = torch.tensor(said, device=chosen.tokens.device)
        self._tokens = tokens if self._tokens is None or not first else torch.cat([self._tokens, tokens])
