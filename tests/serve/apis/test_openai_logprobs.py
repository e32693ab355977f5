"""Log-probabilities on OpenAI's routes: transformers' own values, in the fields and the form of OpenAI."""

from typing import Any

import pytest
import torch

from deployments.replica.replica import Replica
from tests.openai_model import CHAT, COMPLETIONS, answer, chunks, post
from tests.writing_checkpoints import ask

PROMPT = "The river rose in the night"
MESSAGES = [{"role": "user", "content": "Crème brûlée 🙂"}]
SAMPLED = {"temperature": 1.5, "seed": 5, "max_tokens": 24}


def reference(replica: Replica, ids: list[int]) -> torch.Tensor:
    """Log-probabilities of the token behind each of these, by transformers."""
    assert replica.task is not None
    with torch.inference_mode():
        return replica.task.checkpoint.model(torch.tensor([ids])).logits[0].float().log_softmax(-1)


def tokens_of(replica: Replica, text: str) -> list[int]:
    assert replica.task is not None
    return list(replica.task.tokenizer(text)["input_ids"])


def generated_by(replica: Replica, **parameters: Any) -> list[int]:
    """The tokens that the task itself says it writes."""
    return [token["id"] for token in ask(replica, PROMPT, details=True, **parameters)[0]["details"]["tokens"]]


@pytest.mark.parametrize("top", [0, 1, 5, 20])
def test_a_completion_has_the_models_values(replica: Replica, top: int) -> None:
    (choice,) = answer(replica, COMPLETIONS, prompt=PROMPT, logprobs=top, **SAMPLED)["choices"]
    told, prompt = choice["logprobs"], tokens_of(replica, PROMPT)
    generated = generated_by(replica, temperature=1.5, seed=5, max_new_tokens=24)
    logs = reference(replica, prompt + generated)[len(prompt) - 1 : -1]
    own = logs.gather(1, torch.tensor(generated)[:, None])[:, 0].tolist()
    assert told["token_logprobs"] == pytest.approx(own, abs=1e-4)
    if top == 0:
        assert told["top_logprobs"] is None
        return
    likeliest = logs.topk(top).values
    for place, others in enumerate(told["top_logprobs"]):
        assert others[told["tokens"][place]] == told["token_logprobs"][place]
        assert len(others) in (top, top + 1)
        assert sorted(others.values())[-top:] == pytest.approx(likeliest[place].tolist()[::-1], abs=1e-4)
    assert any(len(others) == top + 1 for others in told["top_logprobs"]), "always the likeliest: nothing is shown"


def test_offsets_and_names_are_those_of_the_text(replica: Replica) -> None:
    for seed in range(4):
        (choice,) = answer(replica, COMPLETIONS, prompt=PROMPT, logprobs=1, **(SAMPLED | {"seed": seed}))["choices"]
        text, told = choice["text"], choice["logprobs"]
        assert told["text_offset"][0] == 0
        assert told["text_offset"] == sorted(told["text_offset"])
        for name, offset in zip(told["tokens"], told["text_offset"], strict=True):
            if not name.startswith(("bytes:", "<")):
                assert text[offset : offset + len(name)] == name


@pytest.mark.parametrize("options", [SAMPLED, {"temperature": 0, "max_tokens": 12}, SAMPLED | {"n": 3}])
def test_a_stream_has_those_of_the_whole_completion(replica: Replica, options: dict[str, Any]) -> None:
    body = {"prompt": [PROMPT, "Paris is"], "logprobs": 3} | options
    whole = answer(replica, COMPLETIONS, **body)["choices"]
    pieces = [chunk["choices"][0] for chunk in chunks(replica, COMPLETIONS, **body)]
    for choice in whole:
        own = [piece["logprobs"] for piece in pieces if piece["index"] == choice["index"]]
        for field, values in choice["logprobs"].items():
            joined = [value for part in own for value in part[field]]
            if field in ("tokens", "text_offset"):
                assert joined == values
            else:
                _near(joined, values)


def _near(told: list[Any], expected: list[Any]) -> None:
    assert len(told) == len(expected)
    for one, other in zip(told, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize("stop", [None, "e"])
def test_a_stream_has_those_of_the_whole_chat(replica: Replica, stop: str | None) -> None:
    body = {"messages": MESSAGES, "logprobs": True, "top_logprobs": 2, "stop": stop} | SAMPLED
    (choice,) = answer(replica, CHAT, **body)["choices"]
    told = [
        token
        for chunk in chunks(replica, CHAT, **body)
        if (logprobs := chunk["choices"][0]["logprobs"])
        for token in logprobs["content"]
    ]
    content = choice["logprobs"]["content"]
    assert [(token["token"], token["bytes"]) for token in told] == [
        (token["token"], token["bytes"]) for token in content
    ]
    _near([token["logprob"] for token in told], [token["logprob"] for token in content])
    assert all(len(token["top_logprobs"]) == 2 for token in told)
    if stop is None:
        joined = b"".join(bytes(token["bytes"]) for token in content)
        assert joined.decode(errors="replace") == choice["message"]["content"]


def test_part_of_a_character_has_its_own_bytes(replica: Replica) -> None:
    parts = [
        token
        for seed in range(6)
        for token in answer(replica, CHAT, messages=MESSAGES, logprobs=True, **(SAMPLED | {"seed": seed}))["choices"][
            0
        ]["logprobs"]["content"]
        if token["token"].startswith("\\x")
    ]
    assert parts, "only whole characters: nothing is shown"
    for token in parts:
        assert token["token"] == "".join(f"\\x{byte:02x}" for byte in token["bytes"])


@pytest.mark.parametrize(
    ("path", "field", "options"),
    [
        (COMPLETIONS, "logprobs", {"prompt": "a", "logprobs": 21}),
        (COMPLETIONS, "logprobs", {"prompt": "a", "logprobs": -1}),
        (CHAT, "top_logprobs", {"messages": MESSAGES, "logprobs": True, "top_logprobs": 21}),
    ],
)
def test_more_alternatives_than_there_are_are_refused_by_name(
    replica: Replica, path: str, field: str, options: dict[str, Any]
) -> None:
    got = post(replica, path, options)
    assert got.status_code == 422
    assert got.json()["error"]["message"].startswith(f"{field}: ")
