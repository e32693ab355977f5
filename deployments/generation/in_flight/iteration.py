"""What the model thread does in one iteration, and what it does when that fails."""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from deployments.errors import ForwardFailed, ServiceError, TooLarge
from deployments.generation.in_flight.admission import Claim, cells, claim, reading_cells
from deployments.generation.in_flight.batch import Batch, Row
from deployments.generation.in_flight.families import Family
from deployments.generation.in_flight.forward import Prefill
from deployments.generation.in_flight.kv_batch import Limits
from deployments.generation.sequence import Job
from deployments.telemetry.observer import Observer

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

ALONE_TOO_LARGE = "this input alone needs more memory than the model's device has"


class Decoding:
    """Reads prompts beside a batch that decodes, and takes its steps.

    Args:
        model: in eval mode.
        family: how it wants to be called.
        batch: empty.
        limits: of the batch; `max_cells` is halved when memory runs out.
        settle: called with a job and the error that ends it; nothing for jobs that are settled.
        requeue: called with jobs that must wait again, in order of arrival, and whether each must then be read alone.
        is_out_of_memory: tells an out-of-memory error from another.
        observer: told of steps that failed and of memory that ran out.
        pad_token_id: see `Prefill`.
    """

    def __init__(
        self,
        model: "torch.nn.Module",
        family: Family,
        batch: Batch,
        limits: Limits,
        *,
        settle: Callable[[Job, BaseException], None],
        requeue: Callable[[Sequence[Job], bool], None],
        is_out_of_memory: Callable[[BaseException], bool],
        observer: Observer,
        pad_token_id: int = 0,
    ) -> None:
        self._model, self._family, self._batch, self.limits = model, family, batch, limits
        self._settle, self._requeue = settle, requeue
        self._is_out_of_memory = is_out_of_memory
        self._observer = observer
        self._pad_token_id = pad_token_id
        self._reading: list[Row] = []
        self._prefill: Prefill | None = None

    @property
    def jobs(self) -> list[Job]:
        """Those that decode or whose prompts are being read."""
        return [row.job for row in (*self._batch.rows, *self._reading)]

    @property
    def claims(self) -> list[Claim]:
        """Of the rows that decode."""
        return [row.claim for row in self._batch.rows]

    @property
    def padding_ratio(self) -> float:
        """Share of padding in what a step reads."""
        return self._batch.padding_ratio

    @property
    def rows(self) -> int:
        """Rows that decode."""
        return len(self._batch)

    @property
    def is_reading(self) -> bool:
        return bool(self._reading)

    @property
    def cells(self) -> int:
        """Token places that are taken up now, padding and prompts in reading included."""
        return self._batch.cells + self._reading_cells

    @property
    def _reading_cells(self) -> int:
        return reading_cells([row.claim for row in self._reading])

    @property
    def _beside(self) -> Limits:
        """What is left to the batch beside the prompts in reading."""
        return Limits(max(1, self.limits.max_cells - self._reading_cells), self.limits.max_rows)

    def drop_settled(self) -> None:
        """Free the cache of rows that are over."""
        if self._reading and all(row.job.settled for row in self._reading):
            self._reading, self._prefill = [], None
        alive = [place for place, row in enumerate(self._batch.rows) if not row.job.settled]
        if len(alive) < len(self._batch):
            self._batch.keep(alive)

    def begin(self, jobs: Sequence[Job]) -> None:
        """Start to read these prompts; they are of one shape and fit."""
        self._reading = [Row(job, claim(job, self._family.has_encoder)) for job in jobs]
        try:
            self._batch.tighten(self._beside)
        except Exception as error:
            self._lose_all(error)
            return
        try:
            prompts, needs = [job.prompt for job in jobs], [job.need for job in jobs]
            self._prefill = Prefill(self._model, self._family, prompts, needs, self._pad_token_id)
        except Exception as error:
            self._reading_failed(error)

    def read(self, tokens: int) -> None:
        """Read on, about so many token places; when all is read, the newcomers get their first token and join."""
        if self._prefill is None:
            return
        try:
            if not self._prefill.advance(tokens):
                return
            assert self._prefill.logits is not None
            chosen = self._batch.choose(self._reading, self._prefill.logits)
        except Exception as error:
            self._reading_failed(error)
            return
        try:
            self._batch.join(self._reading, self._prefill, self._beside)
            self._reading, self._prefill = [], None  # before anybody hears: who then asks finds each row once
            self._batch.say_first(chosen)
        except Exception as error:
            self._lose_all(error)

    def step(self) -> None:
        """One token for every row that runs."""
        if not self._batch:
            return
        try:
            self._batch.room_for_a_step(self._beside)
            logits = self._logits()
            if logits is not None:
                self._batch.say(logits)
        except Exception as error:
            self._lose_all(error)

    def forget(self) -> list[Job]:
        """Drop every row; returns those that were not settled, in order of arrival."""
        jobs = sorted((job for job in self.jobs if not job.settled), key=lambda job: job.submitted)
        self._reading, self._prefill = [], None
        self._batch.keep([])
        return jobs

    def _logits(self) -> "torch.Tensor | None":
        """Of the rows that are left after the step; None if there is nothing to choose."""
        try:
            return self._batch.step()
        except Exception as error:
            if self._is_out_of_memory(error):
                error.__traceback__ = None  # its frames hold the tensors that were too many
                self._evict_half()
                return None
            logger.warning("a step of %d rows failed; it is taken one by one: %r", len(self._batch), error)
            self._observer.split()
        return self._logits_apart()

    def _logits_apart(self) -> "torch.Tensor | None":
        import torch

        results = self._batch.step_apart()
        for row, result in zip(self._batch.rows, results, strict=True):
            if isinstance(result, Exception):
                self._fail([row.job], result)
        order = self._batch.keep([place for place, result in enumerate(results) if not isinstance(result, Exception)])
        logits = [results[place] for place in order]
        return torch.cat(logits) if logits else None  # type: ignore[arg-type]

    def _reading_failed(self, error: Exception) -> None:
        """Newcomers could not be read: those that run go on; the newcomers are tried again one by one."""
        jobs = [row.job for row in self._reading if not row.job.settled]
        alone = len(self._reading) == 1
        self._reading, self._prefill = [], None
        if self._is_out_of_memory(error):
            error.__traceback__ = None
            if alone and not self._batch:
                self._fail(jobs, TooLarge(ALONE_TOO_LARGE))
            else:
                self._shrink(len(self._batch), jobs)
        elif alone:
            self._fail(jobs, error)
        else:
            logger.warning("reading %d prompts together failed; they are tried one by one: %r", len(jobs), error)
            self._observer.split()
            self._requeue(jobs, True)

    def _evict_half(self) -> None:
        """The younger half waits again, and so do those whose prompts are being read."""
        if len(self._batch) == 1 and not self._reading:
            self._fail([self._batch.rows[0].job], TooLarge(ALONE_TOO_LARGE))
            self._batch.keep([])
            return
        jobs = [row.job for row in self._reading if not row.job.settled]
        self._reading, self._prefill = [], None
        self._shrink((len(self._batch) + 1) // 2, jobs)

    def _shrink(self, most: int, waiting: list[Job]) -> None:
        """Halve the budget; the oldest rows stay, `most` at most and as far as it carries them; the others wait again
        with the jobs `waiting`."""
        rows = self._batch.rows
        oldest_first = sorted(range(len(rows)), key=lambda place: rows[place].job.submitted)
        first = [rows[place].claim for place in oldest_first[:1]]
        self._halve(at_least=cells(first))
        staying = oldest_first[:most]
        while staying and cells([rows[place].claim for place in staying]) > self.limits.max_cells:
            staying.pop()
        leaving = [rows[place].job for place in oldest_first[len(staying) :]]
        self._batch.keep(sorted(staying))
        self._requeue([job for job in (*leaving, *waiting) if not job.settled], False)
        self._batch.tighten(self._beside)

    def _lose_all(self, error: Exception) -> None:
        """The batch is in no known state: after an out-of-memory error all wait again, else all have failed."""
        jobs = self.forget()
        if not self._is_out_of_memory(error):
            self._fail(jobs, error)
        elif len(jobs) > 1:
            error.__traceback__ = None
            self._halve()
            self._requeue(jobs, False)
        else:
            self._fail(jobs, TooLarge(ALONE_TOO_LARGE))

    def _halve(self, at_least: int = 1) -> None:
        self.limits = Limits(max(at_least, self.limits.max_cells // 2), self.limits.max_rows)
        self._observer.out_of_memory()
        logger.warning(
            "out of memory with %d rows; the cache's budget is now %d", len(self.jobs), self.limits.max_cells
        )

    def _fail(self, jobs: Sequence[Job], error: Exception) -> None:
        if not isinstance(error, ServiceError):
            logger.error("the model failed on %d rows", len(jobs), exc_info=error)
            error = ForwardFailed("the model failed on this input")
        for job in jobs:
            self._settle(job, error)
