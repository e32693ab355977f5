"""Paged attention in flight: every row says what `model.generate` says to it alone, whatever joins and leaves."""

from functools import cache
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.errors import ForwardFailed, InvalidInput
from deployments.generation.in_flight.engine import Engine, EngineConfig
from deployments.generation.paged_attention.blocks import BLOCK
from deployments.generation.paged_attention.export import export
from deployments.generation.paged_attention.graph import PagedGraph
from deployments.generation.paged_attention.prompt_lookup import PromptLookup
from deployments.generation.paged_attention.runner import PagedRunner
from deployments.generation.sampling.params import SamplingParams
from deployments.generation.sampling.sampler import Sampler
from deployments.generation.sequence import GenerationSequence, Prompt
from deployments.telemetry.observer import Observer
from tests.engine_runs import arrive_and_leave, come_and_go, require_said_alone, run
from tests.generation_models import VOCABULARY, alone, generating_model, random_prompt

FAMILIES = ("gpt2", "llama", "qwen3", "gpt-neox", "phi", "opt", "gemma", "gemma3", "mistral")
BUDGET = 640


class Seen(Observer):
    def __init__(self) -> None:
        self.prompts: list[tuple[int, int]] = []
        self.splits = 0
        self.accepted = 0
        self.rejected = 0

    def guessed(self, accepted: int, rejected: int) -> None:
        self.accepted += accepted
        self.rejected += rejected

    def prompt(self, tokens: int, cached: int) -> None:
        self.prompts.append((tokens, cached))

    def split(self) -> None:
        self.splits += 1


@cache
def graph_of(name):
    return PagedGraph(export(generating_model(name)), 1)


def engine_of(name, *, kv_slots=BUDGET, rows=5, prefill=64, observer=None, shares_prefixes=True, lookup=0):
    config = EngineConfig(kv_slots, rows, prefill)
    observer = observer or Seen()

    def runner(requeue):
        return PagedRunner(
            graph_of(name),
            Sampler(),
            config,
            requeue=requeue,
            observer=observer,
            max_positions=256,
            shares_prefixes=shares_prefixes,
            prompt_lookup=lookup,
        )

    return Engine(runner, config, observer=observer)


def sequence_of(name, random, new=None, prompt=None, **options):
    params = SamplingParams(max_new_tokens=new or random.randint(1, 24), suppress_tokens=(0,), **options)
    return GenerationSequence(Prompt(prompt) if prompt else random_prompt(name, random), params)


def long_prompt(random, length):
    return [random.randint(5, VOCABULARY - 1) for _ in range(length)]


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_that_come_and_go_say_what_they_say_alone(name):
    random = Random(11)
    engine = engine_of(name)
    sequences = [sequence_of(name, random) for _ in range(9)]
    sequences += [sequence_of(name, random, prompt=long_prompt(random, length)) for length in (31, 32, 33, 100)]
    random.shuffle(sequences)
    come_and_go(engine, sequences, random)
    require_said_alone(name, sequences)
    assert len({token for sequence in sequences for token in sequence.tokens}) > 5


@given(
    seed=st.integers(0, 2**16),
    arrivals=st.lists(st.integers(0, 6), min_size=1, max_size=10),
    leavings=st.dictionaries(st.integers(0, 9), st.integers(1, 20), max_size=3),
    kv_slots=st.integers(64, 400),
    rows=st.integers(1, 6),
    prefill=st.integers(1, 80),
)
def test_whatever_the_times_lengths_and_limits(seed, arrivals, leavings, kv_slots, rows, prefill):
    random = Random(seed)
    engine = engine_of("llama", kv_slots=kv_slots, rows=rows, prefill=prefill)
    sequences = [sequence_of("llama", random, new=random.randint(1, 40)) for _ in arrivals]
    arrive_and_leave(engine, sequences, arrivals, leavings)
    require_said_alone("llama", sequences)


def test_where_blocks_run_out_the_youngest_waits_and_goes_on_where_it_was():
    random, seen = Random(4), []
    engine = engine_of("llama", kv_slots=6 * BLOCK)
    sequences = [sequence_of("llama", random, new=80, prompt=long_prompt(random, 20)) for _ in range(4)]
    sampled = sequence_of("llama", random, new=80, prompt=long_prompt(random, 20), do_sample=True, temperature=1.5)
    for sequence in (*sequences[:2], sampled, *sequences[2:]):
        sequence.on_token = lambda sequence, token, logprob, top: seen.append(sequence)
        engine.submit(sequence)
    preempted = []
    put_back = engine._runner._requeue
    engine._runner._requeue = lambda again: (preempted.extend(again), put_back(again))
    run(engine)
    assert sampled in preempted, "nothing was preempted: nothing is shown"
    assert sequences[0] not in preempted, "the oldest one gives way to nobody"
    for sequence in sequences:
        assert sequence.tokens == alone(generating_model("llama"), sequence)
        assert seen.count(sequence) == 80, "each token is emitted once"
    again = GenerationSequence(sampled.prompt, sampled.params)  # with the seed that it has got
    undisturbed = engine_of("llama")
    undisturbed.submit(again)
    run(undisturbed)
    assert again.tokens == sampled.tokens


@pytest.mark.parametrize("name", ["llama", "gemma3"])
@pytest.mark.parametrize("shares_prefixes", [True, False])
def test_a_prompt_that_begins_like_another_reads_what_is_new(name, shares_prefixes):
    random, observer = Random(5), Seen()
    engine = engine_of(name, observer=observer, shares_prefixes=shares_prefixes)
    common = long_prompt(random, 70)
    first = sequence_of(name, random, new=30, prompt=common)
    engine.submit(first)
    run(engine)
    turn = sequence_of(name, random, new=10, prompt=[*common, *first.tokens, 8, 9, 10])  # a chat's next turn
    other = sequence_of(name, random, new=10, prompt=[*common[:40], 6, 7])
    for sequence in (turn, other):
        engine.submit(sequence)
        run(engine)
    assert [cached for _, cached in observer.prompts] == ([0, 96, 32] if shares_prefixes else [0, 0, 0])
    for sequence in (first, turn, other):
        assert sequence.tokens == alone(generating_model(name), sequence)


class Oracle:
    """Guesses what greedy decoding will write, with a mistake here and there."""

    def __init__(self, texts, count=8):
        self.texts, self.count, self.random = texts, count, Random(count)

    def __call__(self, lookup, ids, at_most):
        text = next(text for text in self.texts if text[: len(ids)] == ids)
        guess = text[len(ids) : len(ids) + min(self.count, at_most)]
        return [token if self.random.random() < 0.85 else 3 for token in guess]


@pytest.mark.parametrize("kv_slots", [2 * BUDGET, 9 * BLOCK])
def test_guesses_change_no_token_and_spare_steps(monkeypatch, kv_slots):
    random, model, steps = Random(12), generating_model("llama"), []
    prompts = [long_prompt(random, length) for length in (20, 3, 40, 5, 60)]

    def sequences():
        lengths = zip(prompts, (90, 90, 61, 1, 2), strict=True)
        made = [GenerationSequence(Prompt(prompt), SamplingParams(max_new_tokens=new)) for prompt, new in lengths]
        stops = GenerationSequence(Prompt(prompts[0]), SamplingParams(max_new_tokens=90))
        stops.on_token = lambda sequence, token, logprob, top: len(sequence.tokens) == 47
        ends = GenerationSequence(Prompt(prompts[1]), SamplingParams(max_new_tokens=90, eos_token_ids=(texts[1][53],)))
        others = [{"do_sample": True, "seed": 3}, {"logprobs": True}, {"repetition_penalty": 1.3}]
        return [*made, stops, ends, *(sequence_of("llama", random, 30, [5, 6, 7] * 9, **each) for each in others)]

    whole = [GenerationSequence(Prompt(prompt), SamplingParams(max_new_tokens=120)) for prompt in prompts]
    texts = [[*prompt, *alone(model, sequence)] for prompt, sequence in zip(prompts, whole, strict=True)]
    monkeypatch.setattr(PromptLookup, "guess", lambda lookup, ids, at_most: oracle(lookup, ids, at_most))
    oracle, done = Oracle(texts), []
    for lookup in (0, 8):
        observer = Seen()
        engine = engine_of("llama", observer=observer, lookup=lookup, kv_slots=kv_slots)
        done.append(sequences())
        for sequence in done[-1]:
            engine.submit(sequence)
        count = 0
        while engine.iterate():
            count += 1
        steps.append(count)
        assert engine.kv_slots == 0
    for before, after in zip(*done, strict=True):
        assert (after.tokens, after.finish) == (before.tokens, before.finish)
    for sequence, text in zip(done[1][:5], texts, strict=True):
        assert [*sequence.prompt.ids, *sequence.tokens] == text[: len(sequence.prompt.ids) + len(sequence.tokens)]
    assert done[1][5].finish == "stop"
    assert done[1][6].finish == "eos"
    assert observer.accepted > 100
    assert observer.rejected > 20
    assert steps[1] < 0.7 * steps[0]


def test_log_probabilities_of_a_prompt_are_those_of_the_model():
    import torch

    random = Random(6)
    engine = engine_of("llama", prefill=5)
    prompt = long_prompt(random, 40)
    for _ in range(2):  # the second time, its blocks are known
        sequence = sequence_of("llama", random, new=3, prompt=prompt, prompt_logprobs=True, logprobs=True)
        engine.submit(sequence)
        engine.submit(sequence_of("llama", random, new=9))
        run(engine)
        with torch.inference_mode():
            logits = generating_model("llama")(input_ids=torch.tensor([prompt])).logits[0].log_softmax(-1)
        expected = [float(logits[place, token]) for place, token in enumerate(prompt[1:])]
        got = [logprob for logprob, _ in sequence.prompt_logprobs]
        assert got[0] is None
        assert got[1:] == pytest.approx(expected, abs=1e-3)


def test_a_failed_step_harms_only_its_cause(monkeypatch):
    random, observer = Random(7), Seen()
    engine = engine_of("llama", observer=observer)
    call = PagedGraph.__call__

    def fails(graph, pieces):
        if any(3 in piece.ids for piece in pieces):
            raise RuntimeError("a device fault")
        return call(graph, pieces)

    monkeypatch.setattr(PagedGraph, "__call__", fails)
    good = [sequence_of("llama", random, new=12, prompt=[5, 6, 7]) for _ in range(2)]
    bad = sequence_of("llama", random, new=12, prompt=[5, 3, 7])
    for sequence in (good[0], bad, good[1]):
        engine.submit(sequence)
    run(engine)
    assert isinstance(bad.error, ForwardFailed)
    assert observer.splits == 1
    assert [sequence.tokens for sequence in good] == [alone(generating_model("llama"), good[0])] * 2


def test_a_fault_of_the_sampler_loses_what_runs_and_no_more(monkeypatch):
    engine = engine_of("llama")
    lost = [sequence_of("llama", Random(9), new=12, prompt=[5, 6, 7]) for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(Sampler, "step", lambda *_: 1 / 0)
        for sequence in lost:
            engine.submit(sequence)
        run(engine)
    assert all(isinstance(sequence.error, ForwardFailed) for sequence in lost)
    assert engine.kv_slots == 0
    after = sequence_of("llama", Random(9), new=12)
    engine.submit(after)
    run(engine)
    assert after.tokens == alone(generating_model("llama"), after)


def test_what_could_never_run_is_refused():
    engine = engine_of("llama", kv_slots=100)
    with pytest.raises(InvalidInput, match="the prompt is empty"):
        engine.submit(GenerationSequence(Prompt([]), SamplingParams(max_new_tokens=1)))
    with pytest.raises(InvalidInput, match="this needs 130 tokens \\(30 read, 100 new\\).* holds 128"):
        engine.submit(GenerationSequence(Prompt([5] * 30), SamplingParams(max_new_tokens=100)))
    with pytest.raises(InvalidInput, match="maximum context length is 256"):
        engine.submit(GenerationSequence(Prompt([5] * 200), SamplingParams(max_new_tokens=100)))


def test_a_prompt_as_long_as_the_cache_runs():
    random, engine = Random(8), engine_of("llama", kv_slots=4 * BLOCK)
    sequence = sequence_of("llama", random, new=8, prompt=long_prompt(random, 120))
    engine.submit(sequence)
    run(engine)
    assert sequence.tokens == alone(generating_model("llama"), sequence)
