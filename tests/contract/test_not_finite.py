"""A model whose numbers are not finite for one input answers the others of its batch, and says which failed."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
import transformers

from deployments.config import ModelConfig
from deployments.contract.task import Task
from deployments.errors import ForwardFailed
from deployments.replica.replica import Replica
from tests.checkpoints import Checkpoints
from tests.contract.requests import TEXT_TASKS, assert_equal, with_texts
from tests.waiting import PATIENCE_S
from tests.writing_checkpoints import Writing, outcomes, request_of

WORD = "guitar"  # whose embedding is NaN; no example at load has it
MESSAGE = "the model's outputs for this input are not finite (NaN or infinity)"
LAYOUTS = {"bert": "packed", "roberta": "packed", "mpnet": "padded", "mobilebert": "same-length"}


def poison(model: Any, tokenizer: Any) -> None:
    """Set the embedding of a word's last token to NaN."""
    ids = tokenizer(f" {WORD}", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        model.get_input_embeddings().weight[ids[-1]] = float("nan")


def poisoned(kind: type[Task[Any, Any]], folder: Path) -> Path:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = getattr(transformers, kind.auto_model).from_pretrained(folder)
    poison(model, tokenizer)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    return Checkpoints(tmp_path_factory.mktemp("not-finite"))


def predict(replica: Replica, request: Any) -> Any:
    return orjson.loads(asyncio.run(replica.predict(request, render, PATIENCE_S)).body)


def render(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def batch(requests: list[Any], *, partial: bool) -> Any:
    first = requests[0].model_dump(exclude_unset=True)
    inputs = [request.model_dump(exclude_unset=True)["inputs"] for request in requests]
    return type(requests[0]).model_validate(first | {"inputs": inputs, "partial": partial})


@pytest.mark.parametrize("family", LAYOUTS)
@pytest.mark.parametrize("kind", TEXT_TASKS, ids=lambda kind: kind.name)
def test_one_input_fails_and_its_neighbours_are_answered(
    checkpoints: Checkpoints, kind: type[Task[Any, Any]], family: str
) -> None:
    folder = poisoned(kind, checkpoints.of(kind, family, tie_word_embeddings=False))
    settings = ModelConfig.model_validate({"model": str(folder), "name": "small", "device": "cpu"})
    replica = Replica(settings, kind)
    replica.load()
    assert replica.task is not None
    try:
        good = [replica.task.sized_example(words) for words in (5, 9, 5, 20)]
        bad = with_texts(good[0], lambda text: f"{text} {WORD}")
        expected = [predict(replica, batch([request], partial=False))[0] for request in good]
        mixed = [good[0], bad, *good[1:3], bad, good[3]]
        answers = predict(replica, batch(mixed, partial=True))
        failed = {"error": MESSAGE, "error_type": "forward_failed", "status": 500}
        assert [answers[1], answers[4]] == [failed, failed]
        assert_equal([answers[place] for place in (0, 2, 3, 5)], expected)
        with pytest.raises(ForwardFailed, match=r"inputs\[1\]: the model's outputs"):
            predict(replica, batch(mixed, partial=False))
        with pytest.raises(ForwardFailed, match="^the model's outputs"):
            predict(replica, bad)
    finally:
        replica.stop()


@pytest.fixture(scope="module")
def writing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writing]:
    """Not the session's: these are broken by the tests."""
    made = Writing(tmp_path_factory.mktemp("writing"))
    yield made
    made.stop()


@pytest.mark.parametrize("engine", ["auto", "static"])
@pytest.mark.parametrize("family", ["llama", "bart"])
def test_one_text_fails_and_those_beside_and_after_it_are_written(writing: Writing, family: str, engine: str) -> None:
    replica = writing.replica(family, {"generation": {"engine": engine, "max_rows": 3}})
    assert replica.task is not None
    texts = ["She sells sea shells", *(f"She {'sells sea shells ' * count}here" for count in (1, 4, 2, 3, 1))]
    lengths = (60, 3, 20, 5, 9, 13)
    good = [
        request_of(replica, text, max_new_tokens=length, eos_token_id=[])
        for text, length in zip(texts, lengths, strict=True)
    ]
    expected = asyncio.run(outcomes(replica, good))
    model = replica.task.checkpoint.model
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())  # tied, all logits would be NaN
    poison(model, replica.task.tokenizer)
    bad = [request_of(replica, f"{'She sells sea shells. ' * count} A {WORD}") for count in (4, 1, 4, 2)]
    # What a failed text leaves in the cache must not reach the texts that take its place.
    mixed = [good[0], bad[0], good[1], bad[1], good[2], bad[2], *good[3:5], bad[3], good[5]]
    answers = asyncio.run(outcomes(replica, mixed))
    assert [type(answers[place]) for place in (1, 3, 5, 8)] == [ForwardFailed] * 4
    assert [answers[place] for place in (0, 2, 4, 6, 7, 9)] == expected
