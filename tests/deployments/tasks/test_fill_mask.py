"""fill-mask against transformers' own pipeline, and what only we promise."""

from functools import cache

import numpy as np
import pytest
from pydantic import ValidationError

from deployments.errors import InvalidInput, LoadError
from deployments.tasks.fill_mask import FillMask, Request
from tests.checkpoints import Checkpoints, load_task

TEXTS = (
    "Paris is the {} of France.",
    "{}",
    "The river {} in the night",
    "Crème brûlée 🙂 and שלום {} Zürich",
    "{} is the capital of {}.",
    "{}{} {}",
    "My name is Clara and [PAD] I live in {}. " * 3,
)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return Checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def bert(checkpoints):
    return load_task(FillMask, checkpoints.of(FillMask, "bert"))


def ask(task, text, **parameters):
    request = Request.model_validate({"inputs": text, "parameters": parameters})
    prepared = task.preprocess(request)
    return task.postprocess(request, prepared, task.forward(prepared.rows, prepared.params))


def pipeline_of(folder):
    from transformers import pipeline

    return pipeline("fill-mask", model=str(folder), device="cpu", dtype="float32")


def assert_same(ours, theirs):
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
        return
    assert ours["score"] == pytest.approx(theirs["score"], abs=1e-5)
    assert {**ours, "score": 0} == {**theirs, "score": 0}


@pytest.fixture(scope="module")
def pair_of(checkpoints):
    """A family's task and transformers' pipeline, loaded once."""

    @cache
    def pair(family):
        folder = checkpoints.of(FillMask, family)
        return load_task(FillMask, folder), pipeline_of(folder)

    return pair


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])  # of each tokenizer one
@pytest.mark.parametrize("parameters", [{}, {"top_k": 1}, {"top_k": 40}, {"targets": ["the", "river", "wolfgang", ""]}])
def test_answers_are_the_pipelines(pair_of, family, parameters):
    task, pipeline = pair_of(family)
    for text in TEXTS:
        filled = text.replace("{}", task.mask)
        assert_same(ask(task, filled, **parameters), pipeline(filled, **parameters))


def test_a_cut_text_is_the_pipelines(checkpoints, bert):
    text = "[MASK] is old . " * 4 + "the river rose " * 100
    pipeline = pipeline_of(checkpoints.of(FillMask, "bert"))
    assert_same(ask(bert, text), pipeline(text, tokenizer_kwargs={"truncation": True}))
    assert bert.preprocess(Request(inputs=text)).truncated


def test_one_blank_gives_a_list_and_several_a_list_for_each(bert):
    assert isinstance(ask(bert, "a [MASK]")[0], dict)
    several = ask(bert, "a [MASK] b [MASK]", top_k=3)
    assert [len(fillings) for fillings in several] == [3, 3]
    assert several[0][0]["sequence"].count("[MASK]") == 1  # the other blank stays to be seen


def test_a_single_text_is_not_wrapped_in_a_list(bert):
    assert bert.join(Request(inputs="a [MASK]"), ["fillings"]) == "fillings"
    assert bert.join(Request(inputs=["a [MASK]"]), ["fillings"]) == ["fillings"]


def test_targets_are_ranked_among_themselves_with_their_shares_of_all(bert):
    everything = {filling["token_str"]: filling["score"] for filling in ask(bert, "a [MASK]", top_k=1000)}
    some = ask(bert, "a [MASK]", targets=["river", "night", "river"])
    assert len(some) == 2
    assert [filling["score"] for filling in some] == sorted((filling["score"] for filling in some), reverse=True)
    for filling in some:
        assert filling["score"] == pytest.approx(everything[filling["token_str"]])
    assert sum(everything.values()) == pytest.approx(1, abs=1e-4)


def test_a_target_outside_the_vocabulary_stands_for_its_first_piece(bert):
    first = bert.tokenizer("guitars", add_special_tokens=False)["input_ids"]
    assert len(first) > 1
    assert [filling["token"] for filling in ask(bert, "a [MASK]", targets=["guitars"])] == first[:1]


def test_top_k_beyond_the_vocabulary_gives_all(bert):
    assert len(ask(bert, "a [MASK]", top_k=1000)) == len(bert.tokenizer)


@pytest.mark.parametrize(
    ("text", "parameters", "message"),
    [
        ("no blank here", {}, r"inputs has no mask; write \[MASK\]"),
        ("a <mask> of another model", {}, r"write \[MASK\]"),
        ("word " * 300, {}, "no mask"),
        ("word " * 300 + "[MASK]", {}, "1 masks, 1 of them after the first 128 tokens"),
        ("[MASK] " + "word " * 300 + "[MASK]", {}, "2 masks, 1 of them after"),
        ("[MASK] " + "word " * 300, {"truncate": False}, r"inputs has \d+ tokens; the model reads at most 128"),
        ("", {}, "inputs is empty"),
        (" \n", {}, "inputs is empty"),
        ("a [MASK]", {"targets": []}, "targets has no word"),
        ("a [MASK]", {"targets": ["", " "]}, "targets has no word"),
    ],
)
def test_impossible_inputs(bert, text, parameters, message):
    with pytest.raises(InvalidInput, match=message):
        ask(bert, text, **parameters)


@pytest.mark.parametrize("parameters", [{"top_k": 0}, {"top_k": "5"}, {"top_k": 1001}, {"targets": "river"}, {"k": 1}])
def test_impossible_parameters(parameters):
    with pytest.raises(ValidationError):
        Request.model_validate({"inputs": "a [MASK]", "parameters": parameters})


def test_an_earlier_request_that_cut_on_the_left_changes_nothing(bert):
    text = "[MASK] " + "river " * 300
    before = ask(bert, text, targets=["guitars"])
    bert.tokenizer.truncation_side = "left"
    assert ask(bert, text, targets=["guitars"]) == before


def test_only_the_blanks_reach_the_head_where_that_holds(checkpoints, bert):
    assert bert.layout.trims
    prepared = bert.preprocess(Request(inputs="the [MASK] rose in the [MASK]"))
    assert prepared.rows[0].gather_positions == (2, 6)
    assert bert.run(prepared.rows).output.logits.shape[:2] == (1, 2)
    assert [output.shape for output in bert.forward(prepared.rows, None)] == [(2, len(bert.tokenizer))]


def test_a_model_whose_head_reads_past_the_hook_is_served_whole(checkpoints):
    """DeBERTa-v2 takes its hidden states from the list of all layers, which the hook does not see."""
    task = load_task(FillMask, checkpoints.of(FillMask, "deberta-v2"))
    assert not task.layout.trims
    rows = [task.preprocess(Request(inputs=text.format("<mask>", "<mask>"))).rows[0] for text in ("{} a", "b {} {}")]
    together = task.forward(rows, None)
    for output, row in zip(together, rows, strict=True):
        assert output.shape == (len(row.gather_positions), len(task.tokenizer))
        np.testing.assert_allclose(output, task.forward([row], None)[0], atol=1e-5)


def test_a_tokenizer_without_a_mask_is_a_load_error(checkpoints, tmp_path):
    import shutil

    from transformers import AutoTokenizer

    folder = shutil.copytree(checkpoints.of(FillMask, "bert"), tmp_path / "copy")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.mask_token = None
    tokenizer.save_pretrained(folder)
    with pytest.raises(LoadError, match="has no mask token"):
        load_task(FillMask, folder)
