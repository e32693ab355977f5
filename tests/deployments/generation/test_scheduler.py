"""GenerationScheduler: jobs of several rows through the engine and through static batches; each is answered once."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from deployments.batching.batcher import Batcher
from deployments.batching.job import Job
from deployments.batching.selection import ArrivalOrder
from deployments.errors import DeadlineExceeded, InvalidInput, Unavailable
from deployments.generation.in_flight.check import choose_mode
from deployments.generation.in_flight.engine import Engine, EngineConfig
from deployments.generation.output import Writer
from deployments.generation.request import Ask
from deployments.generation.sampling.params import SamplingParams
from deployments.generation.sampling.sampler import Sampler
from deployments.generation.scheduler import GenerationScheduler
from deployments.generation.sequence import Job as EngineJob
from deployments.generation.sequence import Prompt
from deployments.generation.static_batch import key, together
from tests.generation_models import alone, generating_model, random_prompt
from tests.waiting import until

ENDLESS = 200  # tokens that take far longer than a test waits
CELLS = 900


class Words:
    """A tokenizer whose tokens are their numbers."""

    def decode(self, ids, skip_special_tokens):
        return "".join(f"{token}." for token in ids)


class Caller:
    """A line on a small model, and how often each job through it was answered."""

    def __init__(self, name: str, *, in_flight: bool = True, rows: int = 8) -> None:
        self.name, self.model = name, generating_model(name)
        self.engine = self._engine(rows) if in_flight else None
        self.answered: Counter[Job] = Counter()
        self.jobs: list[Job] = []
        self._changed = threading.Condition()
        self.line = GenerationScheduler(
            self.engine,
            lambda forward: Batcher(forward, ArrivalOrder(CELLS, rows)),
            lambda asks, writers, is_gone: together(self.model, self.model.generate, asks, writers, 0, is_gone),
            key,
            lambda ask, row, job, earlier: Writer(
                ask, row, Words(), is_continuation=False, on_piece=job.on_piece, earlier=earlier
            ),
        )

    def _engine(self, rows: int) -> Engine:
        random = Random(5)
        mode = choose_mode(self.model, [random_prompt(self.name, random) for _ in range(4)])
        assert mode.family is not None
        return Engine(self.model, mode.family, Sampler(), EngineConfig(CELLS, rows, max_prefill_tokens=64))

    def submit(self, *asks: Ask, deadline: float = float("inf"), on_piece: Callable | None = None) -> Job:
        job = Job(asks, [ask.length for ask in asks], None, self._done, deadline, on_piece)
        self.jobs.append(job)
        self.line.submit(job)
        return job

    def _done(self, job: Job) -> None:
        with self._changed:
            self.answered[job] += 1
            self._changed.notify_all()

    def wait(self, *jobs: Job) -> None:
        """Until these (or all) have been answered."""
        with self._changed:
            assert self._changed.wait_for(lambda: all(self.answered[job] for job in jobs or self.jobs), 60)

    def nothing_left(self) -> None:
        """Every job was answered once, and nothing runs or waits or is remembered."""
        self.wait()
        assert set(self.answered.values()) == {1}
        until(lambda: self.engine is None or (self.engine.running, self.engine.waiting, self.engine.cells) == (0, 0, 0))
        until(lambda: self.line.busy_since is None)
        assert not self.line._parts
        assert not self.line._writers

    def said(self, ask: Ask) -> list[int]:
        return alone(self.model, EngineJob(ask.prompt, ask.params))


@pytest.fixture
def callers():
    made = []

    def make(name="llama", *, start=True, **options):
        caller = Caller(name, **options)
        made.append(caller)
        if start:
            caller.line.start()
        return caller

    yield make
    for caller in made:
        caller.line.stop()
        if getattr(getattr(caller.engine, "family", None), "table", None):
            caller.engine.family.table.remove()


def ask_of(name, random, new, **options):
    params = SamplingParams(max_new_tokens=new, suppress_tokens=(0,))
    return Ask(random_prompt(name, random), params, **options)


def expected(caller, ask):
    """By `generate`, also with beams."""
    if ask.num_beams == 1:
        return caller.said(ask)
    writer = Writer(ask, 0, Words(), is_continuation=False, on_piece=None)
    together(caller.model, caller.model.generate, [ask], [writer], 0)
    return writer.written.tokens


def test_a_job_has_an_output_for_each_of_its_rows(callers):
    caller, random = callers(), Random(3)
    jobs = [caller.submit(*(ask_of("llama", random, random.randint(1, 20)) for _ in range(rows))) for rows in (3, 1, 5)]
    caller.wait()
    for job in jobs:
        assert job.error is None
        assert [written.tokens for written in job.outputs] == [caller.said(ask) for ask in job.rows]
        assert [written.finish for written in job.outputs] == ["length"] * len(job.rows)
        assert 0 < job.submitted <= job.started <= job.finished
        assert job.report is not None
    caller.nothing_left()


@pytest.mark.parametrize(("prompt", "figures"), [(230, "counts 256 tokens"), (0, "at least one token")])
def test_one_impossible_row_ends_the_job_and_its_other_rows(callers, prompt, figures):
    caller, random = callers(), Random(3)
    possible = ask_of("llama", random, ENDLESS)
    impossible = Ask(Prompt([5] * prompt), SamplingParams(max_new_tokens=100))
    job, other = caller.submit(possible, impossible, possible), caller.submit(ask_of("llama", random, 5))
    assert isinstance(job.error, InvalidInput)
    assert figures in job.error.message
    caller.wait(other)
    assert [written.tokens for written in other.outputs] == [caller.said(ask) for ask in other.rows]
    caller.nothing_left()


def test_a_row_larger_than_the_cache_is_refused_with_both_figures(callers):
    caller = callers("bloom")
    job = caller.submit(Ask(Prompt([5] * 800), SamplingParams(max_new_tokens=200)))
    assert isinstance(job.error, InvalidInput)
    assert "1000 token places (800 read, 200 new), and the model's cache has 900" in job.error.message
    caller.nothing_left()


@pytest.mark.parametrize("phase", ["in line", "reading", "writing", "over"])
def test_cancel_in_every_phase(callers, phase):
    caller, random = callers(rows=2, start=phase != "in line"), Random(3)
    told = threading.Event()
    new = 3 if phase == "over" else ENDLESS
    job = caller.submit(*(ask_of("llama", random, new) for _ in range(3)), on_piece=lambda piece: told.set())
    if phase in ("writing", "over"):
        assert told.wait(30)
    if phase == "over":
        caller.wait(job)
    caller.line.cancel(job)
    caller.line.cancel(job, InvalidInput("again"))
    if phase == "in line":
        caller.line.start()
    assert (job.error is None) == (phase == "over")
    assert phase == "over" or isinstance(job.error, Unavailable)
    other = caller.submit(ask_of("llama", random, 4))
    caller.wait(other)
    assert other.outputs[0].tokens == caller.said(other.rows[0])
    caller.nothing_left()


@pytest.mark.parametrize("name", ["llama", "marian"])
def test_beams_run_beside_rows_in_flight(callers, name):
    """Between two iterations of the engine, on its thread; neither changes what the other says."""
    caller, random = callers(name), Random(3)
    asks = [ask_of(name, random, 12, num_beams=1 + 2 * (number % 2)) for number in range(8)]
    jobs = [caller.submit(*asks[start : start + 2]) for start in (0, 2, 4, 6)]
    caller.wait()
    for job in jobs:
        assert [written.tokens for written in job.outputs] == [expected(caller, ask) for ask in job.rows]
    caller.nothing_left()


def test_rows_that_cannot_be_in_flight_run_together(callers):
    caller, random = callers("mamba", in_flight=False, start=False), Random(3)
    asks = [Ask(Prompt([random.randint(4, 90)] * 5), SamplingParams(max_new_tokens=9)) for _ in range(5)]
    jobs = [caller.submit(*asks[:3]), caller.submit(*asks[3:])]
    caller.line.start()
    caller.wait()
    assert [job.report.rows for job in jobs] == [5, 5]
    for job in jobs:
        assert [written.tokens for written in job.outputs] == [caller.said(ask) for ask in job.rows]
    caller.nothing_left()


def test_a_static_row_whose_client_goes_ends_within_a_step_and_makes_no_noise(callers, caplog):
    caller, random = callers("mamba", in_flight=False), Random(3)
    heard = []
    running = Ask(Prompt([5] * 5), SamplingParams(max_new_tokens=5000))
    job = caller.submit(running, on_piece=heard.append)
    behind = caller.submit(Ask(Prompt([random.randint(4, 90)] * 5), SamplingParams(max_new_tokens=9)))
    until(lambda: len(heard) > 3)
    caller.line.cancel(job)
    told = len(heard)
    caller.wait(behind)
    assert len(heard) <= told + 2
    caller.nothing_left()
    assert not [
        record for record in caplog.records if record.levelno >= logging.WARNING and "deployments" in record.name
    ]


def test_a_row_that_goes_between_the_line_and_its_static_batch_harms_nobody(callers, caplog):
    caller = callers("mamba", in_flight=False)
    first, second = (caller.submit(Ask(Prompt([n] * 5), SamplingParams(max_new_tokens=2000))) for n in (5, 6))
    until(lambda: caller.line.busy_since is not None)
    gone, stays = (Ask(Prompt([n] * 4), SamplingParams(max_new_tokens=3)) for n in (7, 8))
    caller.line._writers[stays] = writer = Writer(stays, 0, Words(), is_continuation=False, on_piece=None)
    for job in (first, second):
        caller.line.cancel(job)
    assert caller.line._forward([gone, stays], None) == [None, writer.written]
    assert caller.line._forward([gone], None) == [None]
    assert writer.written.tokens == caller.said(stays)
    del caller.line._writers[stays]
    caller.nothing_left()


@pytest.mark.parametrize("in_flight", [True, False])
def test_stop_while_busy_answers_everybody_soon(callers, in_flight):
    name = "llama" if in_flight else "mamba"
    caller, heard = callers(name, in_flight=in_flight, rows=3), []
    params = SamplingParams(max_new_tokens=ENDLESS if in_flight else 50_000, suppress_tokens=(0,))
    beams = {"num_beams": 2} if in_flight else {}
    for number in range(6):
        asks = [
            Ask(Prompt([5 + number] * 5), params),
            Ask(Prompt([5] * 6), replace(params, max_new_tokens=90), **beams),
        ]
        caller.submit(*asks, on_piece=heard.append)
    until(lambda: len(heard) > 3)
    caller.line.stop()
    assert len(heard) < 3 * ENDLESS, "not even the first three were written to the end"
    assert not caller.line.is_alive
    caller.submit(Ask(Prompt([5]), params))  # nobody is left to run it
    caller.submit(Ask(Prompt([5]), params, num_beams=2))
    assert all(isinstance(job.error, Unavailable) for job in caller.jobs)
    caller.nothing_left()


@pytest.mark.parametrize("in_flight", [True, False])
def test_the_time_of_a_job_runs_out_while_it_waits_or_writes(callers, in_flight):
    caller = callers("llama" if in_flight else "mamba", in_flight=in_flight, rows=1)
    soon = time.monotonic() + 0.1
    slow = [Ask(Prompt([n] * 5), SamplingParams(max_new_tokens=120, suppress_tokens=(0,))) for n in (5, 6, 7, 8, 9)]
    first = caller.submit(slow[0])
    late = [caller.submit(ask, ask, deadline=soon) for ask in slow[1:4]]
    last = caller.submit(slow[4])
    caller.wait()
    assert all(isinstance(job.error, DeadlineExceeded) for job in late[1:])
    for job in (first, last):
        assert [written.tokens for written in job.outputs] == [caller.said(job.rows[0])]
    caller.nothing_left()


def test_a_row_goes_on_with_what_comes_next(callers):
    """As a long recording's next window, which is known once the one before it is written."""
    caller, random = callers(), Random(3)
    last = ask_of("llama", random, 4)
    middle = replace(ask_of("llama", random, 3), then=lambda written: last)
    first = replace(ask_of("llama", random, 5), then=lambda written: middle)
    heard = []
    job = caller.submit(first, ask_of("llama", random, 2), on_piece=heard.append)
    caller.wait(job)
    assert job.outputs[0].tokens == caller.said(last)
    assert [each.tokens for each in job.outputs[0].earlier] == [caller.said(first), caller.said(middle)]
    mine = [piece for piece in heard if piece.row == 0]
    assert [piece.is_last for piece in mine] == [False] * 11 + [True]
    assert [index for index, piece in enumerate(mine) if piece.is_end] == [4, 7, 11]
    impossible = Ask(Prompt([5] * 230), SamplingParams(max_new_tokens=100))
    refused = caller.submit(replace(first, then=lambda written: impossible))
    caller.wait(refused)
    assert isinstance(refused.error, InvalidInput)
    caller.nothing_left()


def test_jobs_that_come_and_go_from_many_threads_are_all_answered_once(callers):
    caller = callers(rows=4)

    def client(seed):
        random = Random(seed)
        for _ in range(8):
            beams = random.choice((1, 1, 1, 2))
            asks = [
                ask_of("llama", random, random.randint(1, 12), num_beams=beams) for _ in range(random.randint(1, 3))
            ]
            job = caller.submit(*asks, deadline=time.monotonic() + random.choice((0.05, 60)))
            time.sleep(random.random() * 0.02)
            if random.random() < 0.4:
                caller.line.cancel(job)

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    caller.nothing_left()
    for job in caller.jobs:
        if job.error is None:
            assert [written.tokens for written in job.outputs] == [expected(caller, ask) for ask in job.rows]
        else:
            assert isinstance(job.error, (Unavailable, DeadlineExceeded))
    assert any(job.error is None for job in caller.jobs)


def test_samples_are_signed_with_their_seed(callers):
    caller = callers()
    drawn = SamplingParams(max_new_tokens=4, do_sample=True)
    job = caller.submit(
        Ask(Prompt([5]), drawn),
        Ask(Prompt([5]), replace(drawn, seed=7)),
        Ask(Prompt([5]), SamplingParams(max_new_tokens=4)),
    )
    caller.wait(job)
    fresh, given, greedy = (written.seed for written in job.outputs)
    assert (given, greedy) == (7, None)
    again = caller.submit(Ask(Prompt([5]), replace(drawn, seed=fresh)))
    caller.wait(again)
    assert again.outputs[0].tokens == job.outputs[0].tokens
