"""Static batches: every row says what `generate` says to it alone."""

import threading
from random import Random

import pytest
import torch
from deployments.generation.fallback import Options, key, together

from deployments.batcher import Batcher
from deployments.generation.params import SamplingParams
from deployments.generation.prompt import Job, Prompt
from deployments.job import Job as BatchJob
from deployments.selection import ArrivalOrder
from deployments.task import Row
from tests.generation_models import alone, generating_model, random_prompt

PARAMS = SamplingParams(max_new_tokens=12, suppress_tokens=(0,), eos_token_ids=(2,))


@pytest.mark.parametrize("name", ["mamba", "llama"])
def test_prompts_of_one_length_run_together(name):
    model, random = generating_model(name), Random(3)
    prompts = [Prompt([random.randint(4, 90) for _ in range(7)]) for _ in range(4)]
    said = together(model, prompts, Options(PARAMS), 0)
    assert said == [alone(model, Job(prompt, PARAMS)) for prompt in prompts]


@pytest.mark.parametrize("name", ["bart", "t5", "vit-gpt2"])
def test_beams_find_what_they_find_alone(name):
    model, random = generating_model(name), Random(3)
    options = Options(PARAMS, num_beams=3)
    prompts = [random_prompt(name, random) for _ in range(4)]
    prompts = [Prompt(prompt.ids[:1], prompt.inputs, prompt.source_cells) for prompt in prompts]
    said = together(model, prompts, options, 0)
    assert said == [together(model, [prompt], options, 0)[0] for prompt in prompts]
    assert said != together(model, prompts, Options(PARAMS), 0)


def test_what_cannot_share_a_batch_has_another_key():
    options, beams = Options(PARAMS), Options(PARAMS, num_beams=2)
    assert key(Prompt([5, 6]), options) == key(Prompt([7, 8]), options)
    assert key(Prompt([5, 6]), options) != key(Prompt([5, 6, 7]), options)
    assert key(Prompt([5, 6]), options) != key(Prompt([5, 6]), beams)
    texts = [Prompt([0], {"input_ids": torch.tensor([5] * length)}) for length in (3, 9)]
    assert key(texts[0], options) == key(texts[1], options)


def test_the_batcher_runs_them():
    model, options, done = generating_model("mamba"), Options(PARAMS), []
    over = [threading.Event() for _ in range(3)]
    prompts = [Prompt([5] * length) for length in (3, 4, 3)]
    batches = []

    def forward(rows, params):
        batches.append(len(rows))
        return together(model, [row.inputs["prompt"] for row in rows], options, 0)

    batcher = Batcher(forward, ArrivalOrder(100, 8))
    for prompt, event in zip(prompts, over, strict=True):
        row = Row({"prompt": prompt}, length=len(prompt.ids))
        batcher.submit(
            BatchJob([row], [1], key(prompt, options), lambda job, event=event: (done.append(job), event.set()))
        )
    batcher.start()
    assert all(each.wait(30) for each in over)
    batcher.stop()
    assert sorted(batches) == [1, 2]
    assert {str(job.outputs) for job in done} == {str([alone(model, Job(prompt, PARAMS))]) for prompt in prompts}
