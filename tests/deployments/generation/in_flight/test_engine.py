"""In-flight batching: every row says what `model.generate` says to it alone, whatever joins and leaves."""

import logging
import threading
import time
from functools import cache
from random import Random
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deployments.errors import DeadlineExceeded, ForwardFailed, InvalidInput, TooLarge, Unavailable
from deployments.generation.in_flight.check import choose_mode
from deployments.generation.in_flight.engine import EngineConfig
from deployments.generation.in_flight.model_runner import torch_engine
from deployments.generation.sampling.params import SamplingParams
from deployments.generation.sampling.sampler import Sampler
from deployments.generation.sequence import GenerationSequence, Prompt
from tests.engine_runs import arrive_and_leave, come_and_go, require_said_alone, run
from tests.generation_models import MEDIA, TEXT, alone, generating_model, random_prompt
from tests.waiting import PATIENCE_S

IN_FLIGHT = [family for family in (*TEXT, *MEDIA) if family != "mamba"]
BUDGET = 600


def family_of(name):
    model = generating_model(name)
    if not hasattr(model, "family_in_test"):
        random = Random(5)
        mode = choose_mode(model, [random_prompt(name, random) for _ in range(4)])
        assert mode.name == "in-flight", mode.reason
        model.family_in_test = mode.family
    return model.family_in_test


def engine_of(name, *, kv_slots=BUDGET, rows=5, prefill=64, **options):
    return torch_engine(
        generating_model(name),
        family_of(name),
        Sampler(),
        EngineConfig(max_cache_tokens=kv_slots, max_rows=rows, max_prefill_tokens=prefill),
        **options,
    )


def job_of(name, random, new=None, **options):
    # The padding token never comes: some families do not count it as a position.
    params = SamplingParams(max_new_tokens=new or random.randint(1, 24), suppress_tokens=(0,), **options)
    return GenerationSequence(random_prompt(name, random), params)


def test_a_row_counts_once_when_its_first_token_is_heard():
    random, seen = Random(3), []
    engine = engine_of("llama")
    for _ in range(2):
        sequence = job_of("llama", random, new=3)
        sequence.on_token = lambda *_: seen.append((engine.running, engine.kv_slots))
        engine.submit(sequence)
        engine.iterate()
    run(engine)
    assert [running for running, _ in seen if running > 2] == []
    assert seen[0][0] == 1
    assert seen[0][1] <= seen[1][1]  # nor do its places in the cache


@pytest.mark.parametrize("name", IN_FLIGHT)
def test_rows_that_come_and_go_say_what_they_say_alone(name):
    random = Random(11)
    engine = engine_of(name)
    sequences = [job_of(name, random) for _ in range(12)]
    come_and_go(engine, sequences, random)
    require_said_alone(name, sequences)
    assert len({token for sequence in sequences for token in sequence.tokens}) > 5, (
        "a model that repeats itself shows nothing"
    )


@given(
    name=st.sampled_from(["gpt2", "llama", "bloom", "t5", "marian"]),
    seed=st.integers(0, 2**16),
    arrivals=st.lists(st.integers(0, 6), min_size=1, max_size=10),
    leavings=st.dictionaries(st.integers(0, 9), st.integers(1, 20), max_size=3),
    kv_slots=st.integers(60, 400),
    rows=st.integers(1, 6),
    prefill=st.integers(1, 80),
)
def test_whatever_the_times_lengths_and_limits(name, seed, arrivals, leavings, kv_slots, rows, prefill):
    random = Random(seed)
    engine = engine_of(name, kv_slots=kv_slots, rows=rows, prefill=prefill)
    sequences = [job_of(name, random) for _ in arrivals]
    arrive_and_leave(engine, sequences, arrivals, leavings)
    require_said_alone(name, sequences)


@pytest.mark.parametrize("name", ["llama", "bart"])
def test_a_row_ends_where_generate_ends_it(name):
    random, engine = Random(3), engine_of(name)
    first = job_of(name, random, 20)
    end = alone(generating_model(name), first)[6]
    sequences = [
        GenerationSequence(first.prompt, SamplingParams(max_new_tokens=20, suppress_tokens=(0,), eos_token_ids=(end,)))
    ]
    sequences += [job_of(name, random, 30, eos_token_ids=(end,)) for _ in range(4)]
    for sequence in sequences:
        engine.submit(sequence)
    run(engine)
    assert sequences[0].finish == "eos"
    assert sequences[0].tokens[-1] == end
    for sequence in sequences:
        assert sequence.tokens == alone(generating_model(name), sequence)


def test_a_long_prompt_is_read_in_pieces_while_others_go_on():
    random, engine = Random(1), engine_of("llama", prefill=8)
    running = job_of("llama", random, 60)
    engine.submit(running)
    engine.iterate()
    long = GenerationSequence(Prompt([random.randint(4, 90) for _ in range(80)]), SamplingParams(max_new_tokens=5))
    engine.submit(long)
    before = len(running.tokens)
    while not long.tokens:
        engine.iterate()
    assert len(running.tokens) - before == 80 / 8
    run(engine)
    for sequence in (running, long):
        assert sequence.tokens == alone(generating_model("llama"), sequence)


def test_what_can_never_fit_is_refused_with_both_figures():
    engine = engine_of("bloom", kv_slots=100)
    with pytest.raises(InvalidInput, match=r"120 tokens \(70 read, 50 new\).*holds 100"):
        engine.submit(GenerationSequence(Prompt([5] * 70), SamplingParams(max_new_tokens=50)))
    with pytest.raises(InvalidInput, match="context length is 256"):
        engine_of("gpt2", kv_slots=1000).submit(
            GenerationSequence(Prompt([5] * 200), SamplingParams(max_new_tokens=100))
        )
    source = {"input_ids": torch.tensor([5] * 70)}
    with pytest.raises(InvalidInput, match="121 tokens"):
        engine_of("t5", kv_slots=100).submit(GenerationSequence(Prompt([0], source), SamplingParams(max_new_tokens=50)))
    with pytest.raises(InvalidInput, match="at least one token"):
        engine.submit(GenerationSequence(Prompt([]), SamplingParams(max_new_tokens=50)))


def test_a_large_request_gets_its_turn_among_many_small_ones():
    random, engine = Random(2), engine_of("llama", kv_slots=200, rows=4)
    large = GenerationSequence(Prompt([7] * 150), SamplingParams(max_new_tokens=50, suppress_tokens=(0,)))
    for index in range(40):
        engine.submit(large if index == 10 else job_of("llama", random, 5))
    run(engine, lambda: large.is_settled)
    assert large.finish == "length"
    assert engine.waiting >= 25, "those behind it waited"


def test_a_cancelled_row_frees_its_cache_with_the_next_iteration():
    random, engine = Random(4), engine_of("llama")
    sequence = job_of("llama", random, 50)
    engine.submit(sequence)
    engine.iterate()
    assert engine.kv_slots > 0
    engine.cancel(sequence)
    assert isinstance(sequence.error, Unavailable)
    engine.iterate()
    assert (engine.kv_slots, engine.running) == (0, 0)


def test_a_row_may_be_ended_well_from_outside_and_done_is_called_once():
    random, engine = Random(4), engine_of("llama")
    calls = []
    sequence = job_of("llama", random, 50)
    sequence.done = calls.append
    engine.submit(sequence)
    engine.iterate()
    sequence.settle(finish="stop")
    engine.cancel(sequence)
    engine.cancel(sequence)
    run(engine)
    assert calls == [sequence]
    assert (sequence.finish, sequence.error) == ("stop", None)


@pytest.mark.parametrize("started", [True, False])
def test_a_late_row_is_answered_within_a_step(started):
    random, engine = Random(4), engine_of("llama", rows=1)
    first, late = job_of("llama", random, 40), job_of("llama", random, 40)
    for sequence in (late, first) if started else (first, late):
        engine.submit(sequence)
    engine.iterate()
    late.deadline = time.monotonic() - 1
    engine.iterate()
    assert isinstance(late.error, DeadlineExceeded)
    run(engine)
    assert first.tokens == alone(generating_model("llama"), first)


class Failing:
    """Stands before a model's forward and raises for inputs that hold a token, or at chosen calls."""

    def __init__(self, monkeypatch, name, error, *, token=None, prefill=False, calls=()):
        model = generating_model(name)
        self.forward, self.error, self.token, self.prefill, self.calls = model.forward, error, token, prefill, calls
        self.count = 0
        monkeypatch.setattr(model, "forward", self)

    def __call__(self, **arguments):
        self.count += 1
        ids = arguments["input_ids"]
        held = self.token is not None and (ids == self.token).any() and (ids.shape[1] > 1) == self.prefill
        if held or self.count in self.calls:
            if layers := arguments["past_key_values"].layers:  # halfway, when some layers have written already
                layers[0].end += 1
            raise self.error
        return self.forward(**arguments)


def test_a_prompt_that_fails_harms_no_other(monkeypatch, caplog):
    random = Random(6)
    engine = engine_of("llama")
    sequences = [job_of("llama", random, 12) for _ in range(5)]
    bad = GenerationSequence(Prompt([5, 95, 6]), SamplingParams(max_new_tokens=9))
    expected = [alone(generating_model("llama"), sequence) for sequence in sequences]
    Failing(monkeypatch, "llama", ValueError("no"), token=95, prefill=True)
    for sequence in (*sequences[:2], bad, *sequences[2:]):
        engine.submit(sequence)
    with caplog.at_level(logging.WARNING):
        run(engine)
    assert "one by one" in caplog.text
    assert isinstance(bad.error, ForwardFailed)
    assert [sequence.tokens for sequence in sequences] == expected


def test_a_row_that_fails_in_a_step_harms_no_other(monkeypatch):
    random = Random(6)
    engine = engine_of("llama")
    sequences = [job_of("llama", random, 12) for _ in range(4)]
    expected = [alone(generating_model("llama"), sequence) for sequence in sequences]
    token = next(t for t in expected[0][:-1] if all(t not in emitted for emitted in expected[1:]))
    Failing(monkeypatch, "llama", ValueError("no"), token=token)
    for sequence in sequences:
        engine.submit(sequence)
    run(engine)
    assert isinstance(sequences[0].error, ForwardFailed)
    assert [sequence.tokens for sequence in sequences[1:]] == expected[1:]


@cache
def alone_of_llama(make, seed, new):
    """What five sequences say alone: the same for every call that runs out of memory."""
    random = Random(seed)
    return [alone(generating_model("llama"), make("llama", random, new)) for _ in range(5)]


@pytest.mark.parametrize("call", range(1, 9))
def test_after_out_of_memory_the_younger_wait_again_and_lose_nothing(monkeypatch, call):
    random = Random(8)
    engine = engine_of("llama")
    sequences = [job_of("llama", random, 12) for _ in range(5)]
    streamed = {sequence: [] for sequence in sequences}
    expected = alone_of_llama(job_of, 8, 12)
    Failing(monkeypatch, "llama", MemoryError(), calls=(call,), prefill=call == 1)
    for sequence in sequences:
        sequence.on_token = lambda sequence, token, logprob, top: streamed[sequence].append(token)
        engine.submit(sequence)
    run(engine)
    assert engine.max_cache_tokens == BUDGET // 2
    assert [sequence.tokens for sequence in sequences] == expected
    assert list(streamed.values()) == expected, "what was delivered is not delivered again"


def test_a_row_that_is_too_large_by_itself_ends(monkeypatch):
    engine = engine_of("llama")
    Failing(monkeypatch, "llama", MemoryError(), calls=range(1, 100))
    sequence = job_of("llama", Random(8), 12)
    engine.submit(sequence)
    run(engine)
    assert isinstance(sequence.error, TooLarge)


def test_a_seeded_row_says_the_same_whoever_is_beside_it():
    def emitted(neighbours):
        random = Random(9)
        engine = engine_of("llama")
        sequence = job_of("llama", random, 20, do_sample=True, temperature=2.0, seed=12)
        for other in [job_of("llama", random) for _ in range(neighbours)]:
            engine.submit(other)
            engine.iterate()
        engine.submit(sequence)
        run(engine)
        return sequence.tokens

    assert emitted(0) == emitted(3) == emitted(6)


def test_a_callback_that_fails_ends_its_own_row_only():
    random, engine = Random(4), engine_of("llama")
    sequences = [job_of("llama", random, 9) for _ in range(3)]
    sequences[1].on_token = lambda *_: 1 / 0
    for sequence in sequences:
        engine.submit(sequence)
    run(engine)
    assert isinstance(sequences[1].error, ForwardFailed)
    assert [sequence.finish for sequence in sequences] == ["length", None, "length"]


def test_the_thread_answers_many_callers_and_stops():
    random, engine = Random(7), engine_of("t5")
    engine.start()
    events = []
    sequences = [job_of("t5", random) for _ in range(20)]
    for sequence in sequences:
        event = threading.Event()
        sequence.done = lambda sequence, event=event: event.set()
        events.append(event)
    senders = [
        threading.Thread(target=lambda part=sequences[i::4]: [engine.submit(sequence) for sequence in part])
        for i in range(4)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert all(event.wait(PATIENCE_S) for event in events)
    for sequence in sequences:
        assert sequence.tokens == alone(generating_model("t5"), sequence)
    endless = job_of("t5", random, 300)
    engine.submit(endless)
    engine.stop()
    assert not engine.is_alive
    assert isinstance(endless.error, Unavailable)
    refused = job_of("t5", random)
    engine.submit(refused)
    assert isinstance(refused.error, Unavailable)


def test_a_mistake_in_the_engine_itself_is_answered(monkeypatch):
    random, engine = Random(7), engine_of("llama")
    monkeypatch.setattr(engine._runner, "prefill", SimpleNamespace())
    sequence, event = job_of("llama", random), threading.Event()
    sequence.done = lambda sequence: event.set()
    engine.start()
    engine.submit(sequence)
    assert event.wait(PATIENCE_S)
    assert isinstance(sequence.error, ForwardFailed)
    engine.stop()


def open_ended(name, random, new, **options):
    sequence = job_of(name, random, new, **options)
    return GenerationSequence(sequence.prompt, sequence.params, is_open_ended=True)


@pytest.fixture
def small_reservations(monkeypatch):
    """A small model's context is shorter than what an open-ended sequence reserves first."""
    monkeypatch.setattr("deployments.generation.sequence.FIRST_RESERVATION", 8)


@pytest.mark.usefixtures("small_reservations")
@pytest.mark.parametrize("name", ["llama", "t5", "git"])
def test_open_ended_rows_give_way_to_each_other_and_say_what_they_say_alone(name):
    random, engine, requeued = Random(12), engine_of(name, kv_slots=300), []
    put_back = engine._runner._requeue
    engine._runner._requeue = lambda sequences: (requeued.extend(sequences), put_back(sequences))
    waiting = [open_ended(name, random, 70) if number % 3 else job_of(name, random) for number in range(12)]
    sequences = list(waiting)
    while waiting or engine.iterate():
        if waiting and random.random() < 0.5:
            engine.submit(waiting.pop(0))
            engine.iterate()
        assert engine.kv_slots <= 300
    assert requeued, "all fitted at once: nothing is shown"
    assert all(sequence.is_open_ended for sequence in requeued), "what others have reserved is theirs"
    for sequence in sequences:
        assert sequence.finish == "length"
        assert sequence.tokens == alone(generating_model(name), sequence)


@pytest.mark.usefixtures("small_reservations")
def test_an_open_ended_row_lets_others_in_and_is_streamed_once():
    random, engine, streamed = Random(12), engine_of("llama", kv_slots=250), []
    long = open_ended("llama", random, 200, do_sample=True, temperature=2.0)
    long.on_token = lambda sequence, token, logprob, top: streamed.append(token)
    others = [job_of("llama", random, 20) for _ in range(6)]
    for sequence in (long, *others):
        engine.submit(sequence)
    run(engine, lambda: all(sequence.is_settled for sequence in others))
    assert not long.is_settled
    run(engine)
    assert (long.finish, len(long.tokens)) == ("length", 200)
    assert streamed == long.tokens


@pytest.mark.usefixtures("small_reservations")
@pytest.mark.parametrize("call", range(2, 30, 5))
def test_open_ended_rows_survive_out_of_memory(monkeypatch, call):
    random, engine = Random(8), engine_of("llama")
    sequences = [open_ended("llama", random, 60) for _ in range(5)]
    expected = alone_of_llama(open_ended, 8, 60)
    Failing(monkeypatch, "llama", MemoryError(), calls=(call,))
    for sequence in sequences:
        engine.submit(sequence)
    run(engine)
    assert engine.max_cache_tokens == BUDGET // 2
    assert [sequence.tokens for sequence in sequences] == expected
