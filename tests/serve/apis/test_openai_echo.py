"""`echo` with `logprobs`: the prompt's own log-probabilities, and multiple-choice questions scored by them as lm-eval's
`local-completions` scores them."""

import asyncio
from typing import Any

import orjson
import pytest
import torch

from deployments.replica.replica import Replica
from tests.openai_model import COMPLETIONS, answer, post
from tests.writing_checkpoints import Writing, ask, outcomes, request_of

PROMPTS = ["The river rose in the night and the old bridge was gone.", "Crème brûlée 🙂", "Paris"]
CONTEXT = "My name is Wolfgang and I live in"
CHOICES = [" Berlin", " Vienna by the river", " a film", " $3.75", " Zürich 🎉"]


@pytest.fixture(
    scope="module",
    # A small piece of the prompt is read at a time; a model without positions of its own; a running state.
    params=[("llama", {"max_prefill_tokens": 5}), ("bloom", {}), ("llama", {"engine": "static"}), ("mamba", {})],
    ids=str,
)
def replica(request: pytest.FixtureRequest, writing: Writing) -> Replica:
    family, generation = request.param
    return writing.replica(family, {"generation": generation})


def tokens_of(replica: Replica, text: str, **options: Any) -> list[int]:
    assert replica.task is not None
    return list(replica.task.tokenizer(text, **options)["input_ids"])


def reference(replica: Replica, ids: list[int]) -> torch.Tensor:
    """Log-probabilities of the token behind each of these but the last, by transformers."""
    assert replica.task is not None
    with torch.inference_mode():
        return replica.task.checkpoint.model(torch.tensor([ids])).logits[0, :-1].float().log_softmax(-1)


def own(logs: torch.Tensor, ids: list[int]) -> list[float]:
    values: list[float] = logs.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()
    return values


@pytest.mark.parametrize("as_ids", [True, False])
@pytest.mark.parametrize("max_tokens", [0, 1, 5])
def test_a_prompt_has_the_models_values(replica: Replica, max_tokens: int, as_ids: bool) -> None:
    ids = [tokens_of(replica, prompt) for prompt in PROMPTS]
    options: dict[str, Any] = {"echo": True, "logprobs": 3, "temperature": 0, "max_tokens": max_tokens, "seed": 1234}
    told = answer(replica, COMPLETIONS, prompt=ids if as_ids else PROMPTS, **options)
    assert told["usage"]["completion_tokens"] == max_tokens * len(PROMPTS)
    for choice, prompt, text in zip(told["choices"], ids, PROMPTS, strict=True):
        logprobs = choice["logprobs"]
        logs = reference(replica, prompt)
        assert choice["text"].startswith(text)
        assert {len(values) for values in logprobs.values()} == {len(prompt) + max_tokens}
        assert (logprobs["token_logprobs"][0], logprobs["top_logprobs"][0]) == (None, None)
        assert logprobs["token_logprobs"][1 : len(prompt)] == pytest.approx(own(logs, prompt), abs=1e-4)
        for place, likeliest in enumerate(logs.topk(3).values.tolist(), 1):
            others = logprobs["top_logprobs"][place]
            assert sorted(others.values())[-3:] == pytest.approx(likeliest[::-1], abs=1e-4)
            assert others[logprobs["tokens"][place]] == logprobs["token_logprobs"][place]
        for name, offset in zip(logprobs["tokens"], logprobs["text_offset"], strict=True):
            assert name.startswith(("bytes:", "<")) or choice["text"][offset : offset + len(name)] == name


def test_multiple_choice_as_lm_eval_scores_it(replica: Replica) -> None:
    context = tokens_of(replica, CONTEXT)
    prompts = [context + tokens_of(replica, choice, add_special_tokens=False) for choice in CHOICES]
    body = {"prompt": prompts, "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True}
    for choice, prompt in zip(answer(replica, COMPLETIONS, **body)["choices"], prompts, strict=True):
        logprobs = choice["logprobs"]
        scored = logprobs["token_logprobs"][len(context) : -1]
        top = logprobs["top_logprobs"][len(context) : -1]
        is_greedy = all(token == max(others.values()) for token, others in zip(scored, top, strict=True))
        logs = reference(replica, prompt)[len(context) - 1 :]
        ending = prompt[len(context) - 1 :]
        assert sum(scored) == pytest.approx(sum(own(logs, ending)), abs=1e-4)
        assert is_greedy == (logs.argmax(-1).tolist() == ending[1:])


def test_a_greedy_ending_is_known_as_one(replica: Replica) -> None:
    context = tokens_of(replica, CONTEXT)
    (text,) = ask(replica, CONTEXT, details=True, do_sample=False, max_new_tokens=4)
    prompt = context + [token["id"] for token in text["details"]["tokens"]]
    body = {"prompt": [prompt], "temperature": 0, "max_tokens": 1, "logprobs": 1, "echo": True}
    (choice,) = answer(replica, COMPLETIONS, **body)["choices"]
    pairs = zip(choice["logprobs"]["token_logprobs"], choice["logprobs"]["top_logprobs"], strict=True)
    assert all(token == max(others.values()) for token, others in list(pairs)[len(context) : -1])


def test_prompts_in_one_batch_have_the_values_that_they_have_alone(replica: Replica) -> None:
    parameters = {"details": True, "decoder_input_details": True, "do_sample": False, "max_new_tokens": 3}
    requests = [request_of(replica, prompt, **parameters) for prompt in (*PROMPTS, CONTEXT)]
    requests.insert(1, request_of(replica, CONTEXT, do_sample=False, details=True))
    together = [each[0]["details"] for each in asyncio.run(outcomes(replica, requests))]
    assert together[1]["prefill"] == []
    for details, prompt in zip([together[0], *together[2:]], (*PROMPTS, CONTEXT), strict=True):
        (alone,) = ask(replica, prompt, **parameters)
        ids = tokens_of(replica, prompt)
        assert [token["id"] for token in details["prefill"]] == ids
        for told in (details, alone["details"]):
            values = [token["logprob"] for token in told["prefill"]]
            assert values[0] is None
            assert values[1:] == pytest.approx(own(reference(replica, ids), ids), abs=1e-4)


def test_what_has_no_such_values_is_refused(replica: Replica, writing: Writing) -> None:
    got = post(replica, COMPLETIONS, {"prompt": "a", "echo": True, "logprobs": 1, "stream": True})
    assert (got.status_code, "not available in a stream" in got.text) == (422, True)
    encoder = post(writing.replica("t5"), COMPLETIONS, {"prompt": "a", "echo": True, "logprobs": 1})
    assert encoder.status_code == 422
    assert "decoder_input_details" in orjson.loads(encoder.content)["error"]["message"]
