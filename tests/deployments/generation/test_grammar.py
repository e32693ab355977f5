"""Texts held to a schema or a pattern: whatever a model of random weights would rather say."""

import asyncio
import json
import re

import pytest
from jsonschema import validate

from deployments.errors import InvalidInput
from tests.writing_checkpoints import ask, events, outcomes, request_of

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "colours": {"type": "array", "items": {"enum": ["red", "green"]}, "minItems": 1, "maxItems": 3},
    },
    "required": ["name", "age", "colours"],
    "additionalProperties": False,
}
DRAWN = {"do_sample": True, "temperature": 1.5, "max_new_tokens": 200}
FAMILIES = ("llama", "gpt2", "gemma3", "mamba", "t5")  # in flight, in static batches, and behind an encoder


def text_of(replica, prompt, **parameters):
    (answer,) = ask(replica, prompt, **parameters)
    return answer["generated_text"]


def held(schema):
    return {"grammar": {"type": "json", "value": schema}}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_text_is_valid(writing, family):
    replica, texts = writing.replica(family), set()
    for seed in range(4):
        text = text_of(replica, "The river rose", seed=seed, **DRAWN, **held(PERSON))
        validate(json.loads(text), PERSON)
        texts.add(text)
    assert len(texts) == 4, "the model still chooses"
    validate(json.loads(text_of(replica, "a", do_sample=False, max_new_tokens=200, **held(PERSON))), PERSON)


def test_guided_rows_in_flight_get_what_they_get_alone_and_the_others_too(writing):
    replica = writing.replica("llama")
    requests = []
    for seed in range(12):
        guided = held(PERSON) if seed % 3 else {}
        requests.append(request_of(replica, f"Text {seed}", seed=seed, **DRAWN, **guided))
    alone = [asyncio.run(outcomes(replica, [request]))[0] for request in requests]
    assert asyncio.run(outcomes(replica, requests)) == alone


BART = {"num_beams": 4, "forced_bos_token_id": 0, "forced_eos_token_id": 2, "min_length": 56, "no_repeat_ngram_size": 3}


@pytest.mark.parametrize("engine", ["auto", "static"])
@pytest.mark.parametrize("family", ["llama", "bart"])
@pytest.mark.parametrize("options", [{name: value} for name, value in BART.items()] + [BART], ids=str)
def test_what_a_checkpoint_sets_does_not_break_the_text(writing, family, engine, options):
    replica = writing.replica(family, {"generation": {"engine": engine}}, **options)
    for seed in range(2):
        (answer,) = ask(replica, "The river rose", seed=seed, details=True, **DRAWN, **held(PERSON))
        validate(json.loads(answer["generated_text"]), PERSON)
        assert answer["details"]["finish_reason"] == "eos_token"
    cut = ask(replica, "The river rose", details=True, max_new_tokens=5, do_sample=False, **held(PERSON))[0]
    assert cut["details"]["finish_reason"] == "length"
    assert '{"name":"'.startswith(cut["generated_text"][:9]), "the beginning of a valid text"


@pytest.mark.parametrize("engine", ["auto", "static"])
def test_a_checkpoint_that_leaves_no_token_is_refused(writing, engine):
    replica = writing.replica("llama", {"generation": {"engine": engine}})
    letters = replica.task.tokenizer.encode('{"', add_special_tokens=False)
    braces = [number for name, number in replica.task.tokenizer.get_vocab().items() if name.startswith("{")]
    guarded = writing.replica("llama", {"generation": {"engine": engine}}, suppress_tokens=sorted({*letters, *braces}))
    with pytest.raises(InvalidInput, match="exclude every token"):
        text_of(guarded, "a", max_new_tokens=20, **held(PERSON))


def test_the_forms_of_a_grammar(writing):
    replica = writing.replica("llama")

    def completion(**grammar):
        return text_of(replica, "a", seed=1, **DRAWN, grammar=grammar)

    number = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 99}}, "required": ["n"]}
    strict = number | {"additionalProperties": False}
    validate(json.loads(completion(type="json", value=json.dumps(strict))), strict)
    validate(json.loads(completion(type="json_schema", value={"name": "n", "schema": strict})), strict)
    validate(json.loads(completion(type="json_object", value=strict)), strict)
    assert re.fullmatch(r"(yes|no), \d{3}", completion(type="regex", value=r"(yes|no), \d{3}"))
    opened = text_of(replica, "a", do_sample=False, max_new_tokens=30, grammar={"type": "json_object"})
    assert opened.startswith("{"), "any object, though it may not end in so few tokens"


def test_several_texts_and_a_stream(writing):
    replica = writing.replica("llama")
    options = {**DRAWN, **held(PERSON), "seed": 5, "num_return_sequences": 3}
    texts = [answer["generated_text"] for answer in ask(replica, "a", **options)]
    assert len(set(texts)) == 3
    for text in texts:
        validate(json.loads(text), PERSON)
    *_, last = asyncio.run(events(replica, request_of(replica, "a", stream=True, **DRAWN, **held(PERSON), seed=5)))
    assert (last["generated_text"], last["details"]["finish_reason"]) == (texts[0], "eos_token")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (held({"type": "nothing"}), "parameters.grammar: "),
        (held("not json"), "parameters.grammar: "),
        ({"grammar": {"type": "regex", "value": "("}}, "parameters.grammar: "),
        (held(PERSON) | {"eos_token_id": 5}, "cannot be combined with eos_token_id; leave it out"),
        (held(PERSON) | {"num_beams": 2}, "cannot be combined with num_beams; leave it out"),
        (
            held(PERSON) | {"min_new_tokens": 3, "min_length": 3, "no_repeat_ngram_size": 2},
            "cannot be combined with min_new_tokens, min_length, no_repeat_ngram_size; leave it out",
        ),
        (held({"type": "string", "const": "a" * 70_000}), "longer than 65,536 characters"),
    ],
)
def test_what_is_refused(writing, parameters, message):
    with pytest.raises(InvalidInput, match=re.escape(message)):
        ask(writing.replica("llama"), "a", **parameters)


def test_a_row_that_begins_again_reads_its_tokens_again(writing):
    """As after memory ran out: the same tokens come, and the same are allowed."""
    import torch

    replica = writing.replica("llama")
    task = replica.task
    request = request_of(replica, "a", **held(PERSON))
    (row,) = task.preprocess(request).rows
    before = list(row.prompt.ids)
    scores = torch.zeros(1, task.model.config.vocab_size)
    start = task.tokenizer('{"name":"', add_special_tokens=False)["input_ids"]
    first = row.processor(torch.tensor([before]), scores)
    later = row.processor(torch.tensor([before + start]), scores)
    assert first.isfinite().sum() < later.isfinite().sum()
    again = row.processor(torch.tensor([before]), scores)
    assert torch.equal(first, again)
    assert torch.equal(later, row.processor(torch.tensor([before + start]), scores))
