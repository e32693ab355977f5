"""What a request says means the same in flight and in static batches: texts, tokens, log-probabilities and endings."""

import asyncio
from random import Random
from typing import Any

import pytest

from tests.checkpoints import SENTENCES
from tests.contract.requests import assert_equal
from tests.writing_checkpoints import Writing, outcomes, request_of

CHECKPOINTS: dict[str, dict[str, Any]] = {
    "gpt2": {"min_length": 12},
    "bart": {"forced_eos_token_id": 2, "forced_bos_token_id": 40, "min_length": 5, "max_length": 20},
    "marian": {"bad_words_ids": [[172], [237, 237]], "suppress_tokens": [60], "begin_suppress_tokens": [61]},
}


def some_parameters(random: Random) -> dict[str, Any]:
    new = random.randint(1, 16)
    every = {
        "repetition_penalty": random.choice((0.7, 1.2, 2.0)),
        "frequency_penalty": random.choice((-1.0, 0.7, 2.0)),
        "presence_penalty": random.choice((-1.5, 1.5)),
        "no_repeat_ngram_size": random.randint(1, 3),
        "min_new_tokens": random.randint(0, new),
        "eos_token_id": random.sample(range(5, 400), 60),
        "stop": [random.choice("aeoitr ")],
        "top_n_tokens": random.randint(0, 4),
    }
    chosen = {name: value for name, value in every.items() if random.random() < 0.3}
    return {"details": True, "max_new_tokens": new, **chosen}


def untimed(outcome: Any) -> Any:
    assert not isinstance(outcome, BaseException), outcome
    for answer in outcome:
        answer["details"].pop("timings")
    return outcome


@pytest.mark.parametrize("family", CHECKPOINTS)
def test_in_flight_is_static(writing: Writing, family: str) -> None:
    random, options = Random(1), CHECKPOINTS[family]
    in_flight = writing.replica(family, **options)
    static = writing.replica(family, {"generation": {"engine": "static"}}, **options)
    modes = [replica.description["generation"]["mode"] for replica in (in_flight, static)]
    assert modes == ["in-flight", "static"]
    requests = [request_of(in_flight, random.choice(SENTENCES), **some_parameters(random)) for _ in range(18)]
    ours, theirs = (asyncio.run(outcomes(replica, requests)) for replica in (in_flight, static))
    endings = set()
    for one, other in zip(ours, theirs, strict=True):
        assert_equal(untimed(one), untimed(other), tolerance=1e-3)
        endings.add(one[0]["details"]["finish_reason"])
    assert endings == {"length", "eos_token", "stop_sequence"}
