"""Static batches: every row says what `generate` says to it alone."""

import threading
import time
from dataclasses import replace
from random import Random

import pytest
import torch

from deployments.batching.batcher import Batcher
from deployments.batching.job import Job
from deployments.batching.selection import ArrivalOrder
from deployments.errors import ForwardFailed
from deployments.generation.output import SequenceOutput
from deployments.generation.request import GenerationRequest, StreamedToken
from deployments.generation.sampling.params import SamplingParams
from deployments.generation.scheduler import GenerationScheduler
from deployments.generation.sequence import GenerationSequence, Prompt
from deployments.generation.static_batch import batch_key, generate_static_batch
from tests.generation_models import alone, generating_model, random_prompt
from tests.waiting import PATIENCE_S

PARAMS = SamplingParams(max_new_tokens=12, suppress_tokens=(0,), eos_token_ids=(2,))
SEEDED = replace(PARAMS, do_sample=True, temperature=2.0, seed=5)


class Words:
    """A tokenizer whose tokens are their numbers."""

    def decode(self, ids, skip_special_tokens):
        return "".join(f"{token}." for token in ids)


def output_of(request, row=0, on_token=None):
    return SequenceOutput(request, row, Words(), is_continuation=False, on_token=on_token)


def run(model, requests, is_cancelled=lambda request: False, on_token=None):
    """What a static batch of these gives, each a `Completion`."""
    outputs = [output_of(request, row, on_token) for row, request in enumerate(requests)]
    generate_static_batch(model, model.generate, requests, outputs, 0, is_cancelled)
    return [output.completion for output in outputs]


def emitted(model, *requests):
    return [completion.tokens for completion in run(model, requests)]


def prompts_of(count, length=7, seed=3):
    random = Random(seed)
    return [Prompt([random.randint(4, 90) for _ in range(length)]) for _ in range(count)]


@pytest.mark.parametrize("name", ["mamba", "llama"])
def test_prompts_of_one_length_run_together(name):
    model, prompts = generating_model(name), prompts_of(4)
    params = replace(
        PARAMS, eos_token_ids=(alone(model, GenerationSequence(prompts[1], PARAMS))[4],)
    )  # one ends before others
    texts = emitted(model, *(GenerationRequest(prompt, params) for prompt in prompts))
    assert texts == [alone(model, GenerationSequence(prompt, params)) for prompt in prompts]
    assert len({len(text) for text in texts}) > 1


def test_encoders_read_texts_of_any_length_together():
    model, random = generating_model("t5"), Random(3)
    prompts = [random_prompt("t5", random) for _ in range(4)]
    texts = emitted(model, *(GenerationRequest(prompt, PARAMS) for prompt in prompts))
    assert texts == [alone(model, GenerationSequence(prompt, PARAMS)) for prompt in prompts]


@pytest.mark.parametrize("name", ["bart", "t5", "vit-gpt2"])
def test_beams_find_what_they_find_alone(name):
    model, random = generating_model(name), Random(3)
    prompts = [random_prompt(name, random) for _ in range(4)]
    requests = [
        GenerationRequest(Prompt(each.ids[:1], each.inputs, each.source_slots), PARAMS, num_beams=3) for each in prompts
    ]
    assert emitted(model, *requests) == [emitted(model, request)[0] for request in requests]
    assert emitted(model, *requests) != emitted(model, *(replace(request, num_beams=1) for request in requests))


def test_what_cannot_share_a_batch_has_another_key():
    short, other, long = Prompt([5, 6]), Prompt([7, 8]), Prompt([5, 6, 7])
    assert batch_key(GenerationRequest(short, PARAMS)) == batch_key(GenerationRequest(other, PARAMS, stop=("a",)))
    assert batch_key(GenerationRequest(short, PARAMS)) != batch_key(GenerationRequest(long, PARAMS))
    assert batch_key(GenerationRequest(short, PARAMS)) != batch_key(
        GenerationRequest(short, replace(PARAMS, max_new_tokens=9))
    )
    assert batch_key(GenerationRequest(short, PARAMS)) != batch_key(GenerationRequest(short, PARAMS, num_beams=2))
    assert batch_key(GenerationRequest(short, PARAMS, num_beams=2)) != batch_key(
        GenerationRequest(short, PARAMS, num_beams=2, length_penalty=2.0)
    )
    texts = [Prompt([0], {"input_ids": torch.tensor([5] * length)}) for length in (3, 9)]
    assert batch_key(GenerationRequest(texts[0], PARAMS)) == batch_key(GenerationRequest(texts[1], PARAMS))
    assert batch_key(GenerationRequest(short, SEEDED)) != batch_key(GenerationRequest(short, SEEDED)), (
        "a seed draws for a whole batch"
    )
    fresh = replace(SEEDED, seed=None)
    assert batch_key(GenerationRequest(short, fresh)) == batch_key(GenerationRequest(short, fresh))
    assert batch_key(GenerationRequest(short, PARAMS, processor=lambda ids, scores: scores)) != batch_key(
        GenerationRequest(short, PARAMS)
    )


def test_a_seed_draws_the_same_tokens_again():
    model, (prompt,) = generating_model("mamba"), prompts_of(1)
    first, again = emitted(model, GenerationRequest(prompt, SEEDED)), emitted(model, GenerationRequest(prompt, SEEDED))
    assert first == again != emitted(model, GenerationRequest(prompt, replace(SEEDED, seed=6)))
    assert emitted(model, GenerationRequest(prompt, replace(SEEDED, seed=2**64 - 1)))


def test_log_probabilities_are_the_models_own():
    """Not those of what penalties and suppressed tokens leave."""
    model, prompts = generating_model("mamba"), prompts_of(3)
    params = replace(PARAMS, logprobs=True, top_n_tokens=3, repetition_penalty=1.7, frequency_penalty=0.5)
    for prompt, completion in zip(
        prompts, run(model, [GenerationRequest(prompt, params) for prompt in prompts]), strict=True
    ):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[*prompt.ids, *completion.tokens]])).logits[0]
        logs = logits[len(prompt.ids) - 1 : -1].log_softmax(-1)
        expected = logs.gather(1, torch.tensor(completion.tokens)[:, None])[:, 0].tolist()
        assert completion.logprobs == pytest.approx(expected, abs=1e-4)
        assert [[each.token for each in top] for top in completion.top] == logs.topk(3).indices.tolist()
    assert not model._forward_hooks


def test_tokens_are_told_as_they_come_with_their_log_probabilities():
    model, prompts = generating_model("mamba"), prompts_of(2)
    requests = [GenerationRequest(prompt, replace(PARAMS, logprobs=True)) for prompt in prompts]
    streamed: list[StreamedToken] = []
    outputs = run(model, requests, on_token=streamed.append)
    assert [piece.row for piece in streamed] == [0, 1] * 12, "not one row after the other"
    assert [piece.token for piece in streamed[::2]] == outputs[0].tokens
    assert [piece.logprob for piece in streamed[1::2]] == outputs[1].logprobs
    assert [piece.is_last for piece in streamed[::2]] == [False] * 11 + [True]


def test_a_stop_string_ends_its_own_row():
    model, prompts = generating_model("mamba"), prompts_of(3)
    full = emitted(model, *(GenerationRequest(prompt, PARAMS) for prompt in prompts))
    stop = f"{full[1][3]}.{full[1][4]}."
    place = next(i for i in range(11) if f"{full[1][i]}.{full[1][i + 1]}." == stop)
    outputs = run(
        model,
        [GenerationRequest(prompt, PARAMS, stop=(stop,) if row == 1 else ()) for row, prompt in enumerate(prompts)],
    )
    assert [completion.tokens for completion in outputs] == [full[0], full[1][: place + 2], full[2]]
    assert outputs[1].text == "".join(f"{token}." for token in full[1][:place])
    assert [completion.finish for completion in outputs] == ["length", "stop", "length"]


@pytest.mark.parametrize("name", ["mamba", "llama", "t5"])
@pytest.mark.parametrize("beams", [1, 3])
def test_a_client_that_has_gone_stops_counting(monkeypatch, name, beams):
    model, prompts = generating_model(name), prompts_of(2)
    if name == "t5":
        prompts = [Prompt([0], {"input_ids": torch.tensor(prompt.ids)}) for prompt in prompts]
    requests = [GenerationRequest(prompt, SamplingParams(max_new_tokens=40), num_beams=beams) for prompt in prompts]
    full, calls, forward = emitted(model, *requests), [], model.forward
    monkeypatch.setattr(model, "forward", lambda *a, **k: (calls.append(1), forward(*a, **k))[1])
    run(model, requests, is_cancelled=lambda request: len(calls) >= 5)
    assert len(calls) == 5
    calls.clear()
    assert (
        run(model, requests, is_cancelled=lambda request: request is requests[0] and len(calls) >= 5)[1].tokens
        == full[1]
    )
    assert len(calls) == 40, "somebody waits for the other row"


class Stumbling:
    """`generate` that raises at chosen calls, after some tokens."""

    def __init__(self, model, calls, after):
        self.generate, self.calls, self.after, self.count = model.generate, calls, after, 0

    def __call__(self, *, stopping_criteria, **arguments):
        self.count += 1
        steps = iter(range(self.after))

        def stumble(ids, scores, **options):
            over = stopping_criteria[0](ids, scores)
            if next(steps, None) is None:
                raise RuntimeError("stumbled")
            return over

        return self.generate(
            stopping_criteria=[stumble if self.count in self.calls else stopping_criteria[0]], **arguments
        )


def scheduler_of(generate, model):
    return GenerationScheduler(
        None,
        lambda forward: Batcher(forward, ArrivalOrder(1000, 8)),
        lambda requests, outputs, is_cancelled: generate_static_batch(
            model, generate, requests, outputs, 0, is_cancelled
        ),
        batch_key,
        lambda request, row, job, previous_segments: output_of(request, row, job.on_token),
        1000,
    )


def jobs_through(line, requests):
    """Each ask as a job whose pieces are heard; all are done on return."""
    over = threading.Semaphore(0)
    jobs, streamed = [], [[] for _ in requests]
    for request, pieces in zip(requests, streamed, strict=True):
        job = Job([request], [1], None, done=lambda job: over.release(), on_token=pieces.append)
        jobs.append(job)
        line.submit(job)
    line.start()
    assert all(over.acquire(timeout=PATIENCE_S) for _ in jobs)
    line.stop()
    return jobs, streamed


def test_what_failed_is_split_and_tells_a_stream_nothing_twice():
    model, prompts = generating_model("mamba"), prompts_of(3)
    generate = Stumbling(model, calls=(1, 2), after=5)
    jobs, streamed = jobs_through(
        scheduler_of(generate, model), [GenerationRequest(prompt, PARAMS) for prompt in prompts]
    )
    assert generate.count >= 3
    assert isinstance(jobs[0].error, ForwardFailed), "it stumbled alone, too"
    assert len(streamed[0]) == 6
    for prompt, job, pieces in list(zip(prompts, jobs, streamed, strict=True))[1:]:
        assert (
            [piece.token for piece in pieces]
            == job.outputs[0].tokens
            == alone(model, GenerationSequence(prompt, PARAMS))
        )


def test_a_stream_that_would_go_on_differently_ends_with_an_error():
    model, prompts = generating_model("mamba"), prompts_of(2)
    requests = [GenerationRequest(prompt, replace(SEEDED, seed=None)) for prompt in prompts]
    jobs, streamed = jobs_through(scheduler_of(Stumbling(model, calls=(1,), after=5), model), requests)
    for job, pieces in zip(jobs, streamed, strict=True):
        assert isinstance(job.error, ForwardFailed)
        assert "in the middle" in job.error.message
        assert len(pieces) == 6
    seeded = [GenerationRequest(prompt, SEEDED) for prompt in prompts]
    (job,), (pieces,) = jobs_through(scheduler_of(Stumbling(model, calls=(), after=5), model), seeded[:1])
    assert [piece.token for piece in pieces] == job.outputs[0].tokens == emitted(model, seeded[0])[0]


def test_rows_of_unlike_options_go_in_batches_of_their_own():
    model, prompts = generating_model("mamba"), [Prompt([5] * length) for length in (3, 4, 3)]
    jobs, _ = jobs_through(
        scheduler_of(model.generate, model), [GenerationRequest(prompt, PARAMS) for prompt in prompts]
    )
    assert [job.report.rows for job in jobs] == [2, 1, 2]
    assert [job.outputs[0].tokens for job in jobs] == [
        alone(model, GenerationSequence(prompt, PARAMS)) for prompt in prompts
    ]
    for job in jobs:
        assert 0 < job.outputs[0].first_token_s <= job.outputs[0].total_s <= time.monotonic() - job.submitted
