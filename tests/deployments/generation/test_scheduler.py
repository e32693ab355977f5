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
from deployments.generation.in_flight.model_runner import torch_engine
from deployments.generation.output import SequenceOutput
from deployments.generation.request import GenerationRequest
from deployments.generation.sampling.params import UNBOUNDED, SamplingParams
from deployments.generation.sampling.sampler import Sampler
from deployments.generation.scheduler import GenerationScheduler
from deployments.generation.sequence import GenerationSequence, Prompt
from deployments.generation.static_batch import batch_key, generate_static_batch
from tests.generation_models import alone, generating_model, random_prompt
from tests.waiting import PATIENCE_S, until

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
            lambda requests, outputs, is_cancelled: generate_static_batch(
                self.model, self.model.generate, requests, outputs, 0, is_cancelled
            ),
            batch_key,
            lambda request, row, job, previous_segments: SequenceOutput(
                request, row, Words(), is_continuation=False, on_token=job.on_token, previous_segments=previous_segments
            ),
            CELLS,
        )

    def _engine(self, rows: int) -> Engine:
        random = Random(5)
        mode = choose_mode(self.model, [random_prompt(self.name, random) for _ in range(4)])
        assert mode.family is not None
        return torch_engine(self.model, mode.family, Sampler(), EngineConfig(CELLS, rows, max_prefill_tokens=64))

    def submit(
        self, *requests: GenerationRequest, deadline: float = float("inf"), on_token: Callable | None = None
    ) -> Job:
        job = Job(
            requests,
            [request.length for request in requests],
            None,
            done=self._done,
            deadline=deadline,
            on_token=on_token,
        )
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
            assert self._changed.wait_for(lambda: all(self.answered[job] for job in jobs or self.jobs), PATIENCE_S)

    def nothing_left(self) -> None:
        """Every job was answered once, and nothing runs or waits or is remembered."""
        self.wait()
        assert set(self.answered.values()) == {1}
        until(
            lambda: self.engine is None or (self.engine.running, self.engine.waiting, self.engine.kv_slots) == (0, 0, 0)
        )
        until(lambda: self.line.busy_since is None)
        # A job is answered a moment before it is forgotten.
        until(lambda: not self.line._cancellations and not self.line._outputs)

    def emitted(self, request: GenerationRequest) -> list[int]:
        return alone(self.model, GenerationSequence(request.prompt, request.params))


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


def request_of(name, random, new, **options):
    params = SamplingParams(max_new_tokens=new, suppress_tokens=(0,))
    return GenerationRequest(random_prompt(name, random), params, **options)


def expected(caller, request):
    """By `generate`, also with beams."""
    if request.num_beams == 1:
        return caller.emitted(request)
    output = SequenceOutput(request, 0, Words(), is_continuation=False, on_token=None)
    generate_static_batch(caller.model, caller.model.generate, [request], [output], 0)
    return output.completion.tokens


def test_a_job_has_an_output_for_each_of_its_rows(callers):
    caller, random = callers(), Random(3)
    jobs = [
        caller.submit(*(request_of("llama", random, random.randint(1, 20)) for _ in range(rows))) for rows in (3, 1, 5)
    ]
    caller.wait()
    for job in jobs:
        assert job.error is None
        assert [completion.tokens for completion in job.outputs] == [caller.emitted(request) for request in job.rows]
        assert [completion.finish for completion in job.outputs] == ["length"] * len(job.rows)
        assert 0 < job.submitted <= job.started <= job.finished
        assert job.report is not None
    caller.nothing_left()


@pytest.mark.parametrize(("prompt", "figures"), [(230, "context length is 256"), (0, "at least one token")])
def test_one_impossible_row_ends_the_job_and_its_other_rows(callers, prompt, figures):
    caller, random = callers(), Random(3)
    possible = request_of("llama", random, ENDLESS)
    impossible = GenerationRequest(Prompt([5] * prompt), SamplingParams(max_new_tokens=100))
    job, other = caller.submit(possible, impossible, possible), caller.submit(request_of("llama", random, 5))
    assert isinstance(job.error, InvalidInput)
    assert figures in job.error.message
    caller.wait(other)
    assert [completion.tokens for completion in other.outputs] == [caller.emitted(request) for request in other.rows]
    caller.nothing_left()


def test_a_row_larger_than_the_cache_is_refused_with_both_figures(callers):
    caller = callers("bloom")
    job = caller.submit(GenerationRequest(Prompt([5] * 800), SamplingParams(max_new_tokens=200)))
    assert isinstance(job.error, InvalidInput)
    assert "1000 tokens (800 read, 200 new), and the model's cache holds 900" in job.error.message
    caller.nothing_left()


@pytest.mark.parametrize(("name", "prompt"), [("bloom", 700), ("mamba", 850)])
def test_an_open_ended_row_is_as_long_as_the_cache_and_never_refused(callers, name, prompt):
    """These models have no limit of positions."""
    caller = callers(name, in_flight=name != "mamba")
    request = GenerationRequest(Prompt([5] * prompt), SamplingParams(max_new_tokens=UNBOUNDED), is_open_ended=True)
    job = caller.submit(request)
    caller.wait()
    assert job.error is None
    assert (job.outputs[0].finish, len(job.outputs[0].tokens)) == ("length", CELLS - prompt)
    caller.nothing_left()


@pytest.mark.parametrize("phase", ["in line", "reading", "writing", "over"])
def test_cancel_in_every_phase(callers, phase):
    caller, random = callers(rows=2, start=phase != "in line"), Random(3)
    first_token = threading.Event()
    new = 3 if phase == "over" else ENDLESS
    job = caller.submit(*(request_of("llama", random, new) for _ in range(3)), on_token=lambda piece: first_token.set())
    if phase in ("writing", "over"):
        assert first_token.wait(PATIENCE_S)
    if phase == "over":
        caller.wait(job)
    caller.line.cancel(job)
    caller.line.cancel(job, InvalidInput("again"))
    if phase == "in line":
        caller.line.start()
    assert (job.error is None) == (phase == "over")
    assert phase == "over" or isinstance(job.error, Unavailable)
    other = caller.submit(request_of("llama", random, 4))
    caller.wait(other)
    assert other.outputs[0].tokens == caller.emitted(other.rows[0])
    caller.nothing_left()


@pytest.mark.parametrize("name", ["llama", "marian"])
def test_beams_run_beside_rows_in_flight(callers, name):
    """Between two iterations of the engine, on its thread; neither changes what the other says."""
    caller, random = callers(name), Random(3)
    requests = [request_of(name, random, 12, num_beams=1 + 2 * (number % 2)) for number in range(8)]
    jobs = [caller.submit(*requests[start : start + 2]) for start in (0, 2, 4, 6)]
    caller.wait()
    for job in jobs:
        assert [completion.tokens for completion in job.outputs] == [expected(caller, request) for request in job.rows]
    caller.nothing_left()


def test_rows_that_cannot_be_in_flight_run_together(callers):
    caller, random = callers("mamba", in_flight=False, start=False), Random(3)
    requests = [
        GenerationRequest(Prompt([random.randint(4, 90)] * 5), SamplingParams(max_new_tokens=9)) for _ in range(5)
    ]
    jobs = [caller.submit(*requests[:3]), caller.submit(*requests[3:])]
    caller.line.start()
    caller.wait()
    assert [job.report.rows for job in jobs] == [5, 5]
    for job in jobs:
        assert [completion.tokens for completion in job.outputs] == [caller.emitted(request) for request in job.rows]
    caller.nothing_left()


def test_a_static_row_whose_client_goes_ends_within_a_step_and_makes_no_noise(callers, caplog):
    caller, random = callers("mamba", in_flight=False), Random(3)
    streamed = []
    running = GenerationRequest(Prompt([5] * 5), SamplingParams(max_new_tokens=5000))
    job = caller.submit(running, on_token=streamed.append)
    behind = caller.submit(GenerationRequest(Prompt([random.randint(4, 90)] * 5), SamplingParams(max_new_tokens=9)))
    until(lambda: len(streamed) > 3)
    caller.line.cancel(job)
    count = len(streamed)
    caller.wait(behind)
    assert len(streamed) <= count + 2
    caller.nothing_left()
    assert not [
        record for record in caplog.records if record.levelno >= logging.WARNING and "deployments" in record.name
    ]


def test_a_row_that_goes_between_the_line_and_its_static_batch_harms_nobody(callers, caplog):
    caller = callers("mamba", in_flight=False)
    first, second = (
        caller.submit(GenerationRequest(Prompt([n] * 5), SamplingParams(max_new_tokens=2000))) for n in (5, 6)
    )
    until(lambda: caller.line.busy_since is not None)
    gone, stays = (GenerationRequest(Prompt([n] * 4), SamplingParams(max_new_tokens=3)) for n in (7, 8))
    caller.line._outputs[stays] = output = SequenceOutput(stays, 0, Words(), is_continuation=False, on_token=None)
    for job in (first, second):
        caller.line.cancel(job)
    assert caller.line._forward([gone, stays], None) == [None, output.completion]
    assert caller.line._forward([gone], None) == [None]
    assert output.completion.tokens == caller.emitted(stays)
    del caller.line._outputs[stays]
    caller.nothing_left()


@pytest.mark.parametrize("in_flight", [True, False])
def test_stop_while_busy_answers_everybody_soon(callers, in_flight):
    name = "llama" if in_flight else "mamba"
    caller, streamed = callers(name, in_flight=in_flight, rows=3), []
    params = SamplingParams(max_new_tokens=ENDLESS if in_flight else 50_000, suppress_tokens=(0,))
    beams = {"num_beams": 2} if in_flight else {}
    for number in range(6):
        requests = [
            GenerationRequest(Prompt([5 + number] * 5), params),
            GenerationRequest(Prompt([5] * 6), replace(params, max_new_tokens=90), **beams),
        ]
        caller.submit(*requests, on_token=streamed.append)
    until(lambda: len(streamed) > 3)
    caller.line.stop()
    assert len(streamed) < 3 * ENDLESS, "not even the first three were written to the end"
    assert not caller.line.is_alive
    caller.submit(GenerationRequest(Prompt([5]), params))  # nobody is left to run it
    caller.submit(GenerationRequest(Prompt([5]), params, num_beams=2))
    assert all(isinstance(job.error, Unavailable) for job in caller.jobs)
    caller.nothing_left()


@pytest.mark.parametrize("in_flight", [True, False])
def test_the_time_of_a_job_runs_out_while_it_waits_or_writes(callers, in_flight):
    caller = callers("llama" if in_flight else "mamba", in_flight=in_flight, rows=1)
    soon = time.monotonic() + 0.1
    slow = [
        GenerationRequest(Prompt([n] * 5), SamplingParams(max_new_tokens=120, suppress_tokens=(0,)))
        for n in (5, 6, 7, 8, 9)
    ]
    first = caller.submit(slow[0])
    late = [caller.submit(request, request, deadline=soon) for request in slow[1:4]]
    last = caller.submit(slow[4])
    caller.wait()
    assert all(isinstance(job.error, DeadlineExceeded) for job in late[1:])
    for job in (first, last):
        assert [completion.tokens for completion in job.outputs] == [caller.emitted(job.rows[0])]
    caller.nothing_left()


def test_a_row_goes_on_with_what_comes_next(callers):
    """As a long recording's next window, which is known once the one before it is written."""
    caller, random = callers(), Random(3)
    last = request_of("llama", random, 4)
    middle = replace(request_of("llama", random, 3), continue_with=lambda completion: last)
    first = replace(request_of("llama", random, 5), continue_with=lambda completion: middle)
    streamed = []
    job = caller.submit(first, request_of("llama", random, 2), on_token=streamed.append)
    caller.wait(job)
    assert job.outputs[0].tokens == caller.emitted(last)
    assert [each.tokens for each in job.outputs[0].previous_segments] == [caller.emitted(first), caller.emitted(middle)]
    mine = [piece for piece in streamed if piece.row == 0]
    assert [piece.is_last for piece in mine] == [False] * 11 + [True]
    assert [index for index, piece in enumerate(mine) if piece.is_end] == [4, 7, 11]
    impossible = GenerationRequest(Prompt([5] * 230), SamplingParams(max_new_tokens=100))
    refused = caller.submit(replace(first, continue_with=lambda completion: impossible))
    caller.wait(refused)
    assert isinstance(refused.error, InvalidInput)
    caller.nothing_left()


def test_jobs_that_come_and_go_from_many_threads_are_all_answered_once(callers):
    caller = callers(rows=4)

    def client(seed):
        random = Random(seed)
        for _ in range(8):
            beams = random.choice((1, 1, 1, 2))
            requests = [
                request_of("llama", random, random.randint(1, 12), num_beams=beams) for _ in range(random.randint(1, 3))
            ]
            job = caller.submit(*requests, deadline=time.monotonic() + random.choice((0.05, 60)))
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
            assert [completion.tokens for completion in job.outputs] == [
                expected(caller, request) for request in job.rows
            ]
        else:
            assert isinstance(job.error, (Unavailable, DeadlineExceeded))
    assert any(job.error is None for job in caller.jobs)


def test_samples_are_signed_with_their_seed(callers):
    caller = callers()
    drawn = SamplingParams(max_new_tokens=4, do_sample=True)
    job = caller.submit(
        GenerationRequest(Prompt([5]), drawn),
        GenerationRequest(Prompt([5]), replace(drawn, seed=7)),
        GenerationRequest(Prompt([5]), SamplingParams(max_new_tokens=4)),
    )
    caller.wait(job)
    fresh, given, greedy = (completion.seed for completion in job.outputs)
    assert (given, greedy) == (7, None)
    again = caller.submit(GenerationRequest(Prompt([5]), replace(drawn, seed=fresh)))
    caller.wait(again)
    assert again.outputs[0].tokens == job.outputs[0].tokens
