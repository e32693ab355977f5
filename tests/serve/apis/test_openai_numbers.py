"""Numbers at the ends of their ranges on OpenAI's routes and on the task's own: taken, or refused by name."""

from typing import Any

import pytest

from deployments.replica.replica import Replica
from tests.openai_model import CHAT, COMPLETIONS, answer, post

PROMPT = {"prompt": "The river rose", "max_tokens": 6}


def written(replica: Replica, **options: Any) -> str:
    text: str = answer(replica, COMPLETIONS, **PROMPT | options)["choices"][0]["text"]
    return text


@pytest.mark.parametrize("seed", [-1, -(2**63), 0, 2**63 - 1, 2**64 - 1])
def test_any_integer_of_64_bits_is_a_seed(replica: Replica, seed: int) -> None:
    texts = {written(replica, seed=seed, temperature=1.5) for _ in range(2)}
    assert len(texts) == 1


def test_a_negative_top_k_is_off(replica: Replica) -> None:
    options = {"seed": 3, "temperature": 1.5}
    assert written(replica, top_k=-1, **options) == written(replica, top_k=0, **options)
    assert post(replica, COMPLETIONS, PROMPT | {"top_k": -2}).status_code == 422


@pytest.mark.parametrize("temperature", [1e-5, 1e-10, 1e-320])
def test_a_temperature_near_zero_is_greedy(replica: Replica, temperature: float) -> None:
    assert written(replica, temperature=temperature, seed=3) == written(replica, temperature=0)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
@pytest.mark.parametrize("field", [b"temperature", b"top_p", b"min_p", b"frequency_penalty", b"repetition_penalty"])
def test_a_number_that_is_not_finite_is_refused_by_name(replica: Replica, field: bytes, number: bytes) -> None:
    option = b'"' + field + b'": ' + number
    bodies = {
        COMPLETIONS: b'{"model": "small", "prompt": "a", ' + option + b"}",
        CHAT: b'{"model": "small", "messages": [{"role": "user", "content": "a"}], ' + option + b"}",
        "": b'{"inputs": "a", "parameters": {' + option + b"}}",
    }
    for path, body in bodies.items():
        got = post(replica, path, body)
        assert got.status_code == 422, path
        told = got.json()["error"] if path == "" else got.json()["error"]["message"]
        assert f"{field.decode()}: should be a finite number" in told


def test_what_does_not_fit_64_bits_is_refused_by_name(replica: Replica) -> None:
    for seed in (2**64, -(2**63) - 1):
        got = post(replica, COMPLETIONS, b'{"model": "small", "prompt": "a", "seed": %d}' % seed)
        assert got.status_code == 422
        assert got.json()["error"]["message"].startswith("seed: should be ")
