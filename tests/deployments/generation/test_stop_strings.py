"""Stop strings of requests and checkpoints: cut from the text where transformers' decode of the tokens has them first;
names of special tokens, which are no part of the text, end it too."""

from typing import Any

import pytest

from deployments.replica.replica import Replica
from tests.serving import events
from tests.writing_checkpoints import Writing, ask

PROMPT = "The river rose"
SAMPLED = {"temperature": 2.0, "max_new_tokens": 40}
ENGINES = pytest.mark.parametrize("engine", ["auto", "static"])


def replica_of(writing: Writing, engine: str, **generation: Any) -> Replica:
    return writing.replica("llama", {"generation": {"engine": engine}}, **generation)


def generated(replica: Replica, **parameters: Any) -> Any:
    return ask(replica, PROMPT, details=True, **SAMPLED | parameters)[0]


def streamed(replica: Replica, **parameters: Any) -> str:
    told = events(replica, inputs=PROMPT, parameters=SAMPLED | parameters)
    return "".join(event["token"]["text"] for event in told)


@ENGINES
def test_a_special_token_is_a_stop_string(writing: Writing, engine: str) -> None:
    replica, seen = replica_of(writing, engine), 0
    assert replica.task is not None
    tokenizer = replica.task.tokenizer
    for seed in range(25):
        tokens = [token["id"] for token in generated(replica, seed=seed)["details"]["tokens"]]
        if tokenizer.mask_token_id not in tokens:
            continue
        seen += 1
        before = tokens[: tokens.index(tokenizer.mask_token_id)]
        got = generated(replica, seed=seed, stop=["<mask>", "never"])
        assert got["generated_text"] == _text(replica, before) == streamed(replica, seed=seed, stop=["<mask>"])
        assert got["details"]["finish_reason"] == "stop_sequence"
        assert [token["id"] for token in got["details"]["tokens"]] == [*before, tokenizer.mask_token_id]
        assert got["details"]["tokens"][-1]["special"]
        if seen == 2:
            break
    assert seen, "no special token was written: nothing is shown"


@ENGINES
def test_the_end_may_be_named(writing: Writing, engine: str) -> None:
    replica, reasons = replica_of(writing, engine), []
    for seed in range(60):
        text = generated(replica, seed=seed, stop=["</s>"])
        assert "</s>" not in text["generated_text"]
        reasons.append(text["details"]["finish_reason"])
        if reasons[-1] == "eos_token":
            break
    assert "eos_token" in reasons


@ENGINES
@pytest.mark.parametrize("strings", ["e", ["th", "e"]], ids=str)
def test_the_checkpoint_has_stop_strings(writing: Writing, engine: str, strings: Any) -> None:
    plain, own = replica_of(writing, engine), replica_of(writing, engine, stop_strings=strings)
    for seed in range(5):
        text = generated(plain, seed=seed)["generated_text"]
        for stop in ([], ["r"]):
            expected = min((text.split(each)[0] for each in (*strings, *stop) if each in text), key=len, default=text)
            got = generated(own, seed=seed, **({"stop": stop} if stop else {}))
            assert got["generated_text"] == expected
            assert (got["details"]["finish_reason"] == "stop_sequence") == (expected != text)


def _text(replica: Replica, tokens: list[int]) -> str:
    assert replica.task is not None
    tokenizer = replica.task.tokenizer
    prompt = tokenizer(PROMPT)["input_ids"]
    start = tokenizer.decode(prompt, skip_special_tokens=True)
    text: str = tokenizer.decode(prompt + tokens, skip_special_tokens=True)[len(start) :]
    return text
