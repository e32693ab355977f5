"""token-classification against transformers' own pipeline, and what the pipeline does not offer: joined windows."""

import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer, TokenClassificationPipeline

from deployments.contract.labels import softmax
from deployments.errors import InvalidInput, TooLarge
from deployments.tasks.token_classification import Request, TokenClassification
from deployments.text.windows import cores
from tests.checkpoints import SENTENCES, load_task, small_checkpoint

LAYOUTS = {"bert": "packed", "roberta": "packed", "modernbert": "packed", "mpnet": "padded"}
FAMILIES = tuple(LAYOUTS)
# With prefixes, without, and with a hyphen that is no prefix: each is grouped in its own way.
LABELS = dict(enumerate(("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC", "I-part-name")))
ODD = (
    "e\u0301te\u0301, nai\u0308ve: cafe\u0301s",
    "zażółć\tgęślą\n\njaźń  !!",
    "👩‍🚀👩‍🚀 שָׁלוֹם [SEP] <mask> [MASK] ﷺ",
    "x",
    "¿Qué? — „ja“…",
    "\x00\x01",
)


@pytest.fixture(scope="module")
def pair_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[TokenClassification, Any]]:
    """Give a function from a family to our task and transformers' pipeline, on models of their own."""
    made: dict[str, tuple[TokenClassification, Any]] = {}

    def pair(family: str) -> tuple[TokenClassification, Any]:
        if family not in made:
            folder = small_checkpoint(tmp_path_factory.mktemp(family), family, "TokenClassification", id2label=LABELS)
            balance(folder)
            task = load_task(TokenClassification, folder, LAYOUTS[family])
            model = AutoModelForTokenClassification.from_pretrained(folder).eval()
            pipeline = TokenClassificationPipeline(model=model, tokenizer=AutoTokenizer.from_pretrained(folder))
            made[family] = task, pipeline
        return made[family]

    return pair


def balance(folder: Path) -> None:
    """Shift the head's bias so that all labels appear: random weights favour one or two."""
    model, tokenizer = AutoModelForTokenClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        logits = [model(**tokenizer(text, return_tensors="pt")).logits[0] for text in SENTENCES]
        model.classifier.bias -= torch.cat(logits).mean(0)
    model.save_pretrained(folder)


def answer(task: TokenClassification, text: str, **parameters: Any) -> list[dict[str, Any]]:
    request = Request.model_validate({"inputs": text, "parameters": parameters})
    prepared = task.preprocess(request)
    return task.postprocess(request, prepared, task.forward(prepared.rows, prepared.params))


def expected(pipeline: Any, text: str, **parameters: Any) -> list[dict[str, Any]]:
    with warnings.catch_warnings():  # byte-level tokenizers: "does not support real words"
        warnings.simplefilter("ignore")
        result: list[dict[str, Any]] = pipeline(text, **parameters)
    return result


def assert_same(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    def exact(entities: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{key: value for key, value in entity.items() if key != "score"} for entity in entities]

    assert exact(ours) == exact(theirs)
    assert [list(entity) for entity in ours] == [list(entity) for entity in theirs]
    np.testing.assert_allclose([e["score"] for e in ours], [e["score"] for e in theirs], rtol=0, atol=2e-6)


def long_text(seed: int, sentences: int = 9) -> str:
    return " ".join(random.Random(seed).choices(SENTENCES, k=sentences))


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
@pytest.mark.parametrize("family", FAMILIES)
def test_equals_the_pipeline(pair_of: Any, family: str, strategy: str) -> None:
    task, pipeline = pair_of(family)
    found = 0
    for text in (*SENTENCES, *ODD):
        ours = answer(task, text, aggregation_strategy=strategy)
        assert_same(ours, expected(pipeline, text, aggregation_strategy=strategy))
        found += len(ours)
    assert found > 100


@pytest.mark.parametrize("stride", [0, 30, 90])
@pytest.mark.parametrize("strategy", ["simple", "first", "average", "max"])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_aggregates_a_long_text_as_the_pipeline_does_one_window(
    pair_of: Any, family: str, strategy: str, stride: int
) -> None:
    """The pipeline's own grouping, over the tokens of the whole text with the scores of their best windows."""
    task, pipeline = pair_of(family)
    text = long_text(stride)
    whole = pipeline.tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
    scores = np.zeros((len(whole["input_ids"]), len(LABELS)), np.float32)
    scores[1:-1] = [token.scores for token in unique_tokens(task, text, stride)]
    ids, special = np.array(whole["input_ids"]), np.array(whole["special_tokens_mask"])
    strategy_of = pipeline._sanitize_parameters(aggregation_strategy=strategy)[2]["aggregation_strategy"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokens = pipeline.gather_pre_entities(text, ids, scores, whole["offset_mapping"], special, strategy_of)
        theirs = [each for each in pipeline.aggregate(tokens, strategy_of) if each["entity_group"] != "O"]
    ours = answer(task, text, aggregation_strategy=strategy, stride=stride)
    assert len(task.preprocess(Request(inputs=text)).rows) > 1
    assert_same(ours, theirs)


def unique_tokens(task: TokenClassification, text: str, stride: int) -> list[Any]:
    """The tokens that `test_tokens_of_windows_come_once_from_the_best` checks."""
    request = Request.model_validate({"inputs": text, "parameters": {"stride": stride}})
    prepared = task.preprocess(request)
    return task._text_tokens(text, prepared.context, task.forward(prepared.rows, prepared.params))


@pytest.mark.parametrize("family", FAMILIES)
def test_an_entity_longer_than_many_windows_is_whole(tmp_path: Path, family: str) -> None:
    """Where every token is tagged alike, a redaction of what is found leaves nothing but spaces."""
    folder = small_checkpoint(tmp_path, family, "TokenClassification", id2label={0: "O", 1: "I-PER"})
    model = AutoModelForTokenClassification.from_pretrained(folder)
    model.classifier.bias.data += torch.tensor([0.0, 1e3])
    model.save_pretrained(folder)
    task = load_task(TokenClassification, folder, LAYOUTS[family])
    text = long_text(11, sentences=40)
    assert len(task.preprocess(Request(inputs=text)).rows) > 8
    for parameters in ({}, {"stride": 0}, {"stride": 5}, {"aggregation_strategy": "average"}):
        entities = answer(task, text, **parameters)
        assert [(e["entity_group"], e["start"], e["end"]) for e in entities] == [("PER", 0, len(text))]


@pytest.mark.parametrize("ignored", [[], ["PER", "O"], ["B-PER", "MISC"], ["name"], ["part-name", "I-part-name"]])
@pytest.mark.parametrize("strategy", ["none", "simple", "average"])
def test_ignores_the_same_labels(pair_of: Any, strategy: str, ignored: list[str]) -> None:
    task, pipeline = pair_of("bert")
    parameters = {"aggregation_strategy": strategy, "ignore_labels": ignored}
    for text in SENTENCES[:6]:
        assert_same(answer(task, text, **parameters), expected(pipeline, text, **parameters))


def test_word_strategies_differ(pair_of: Any) -> None:
    """Else the comparisons above would show nothing of words."""
    task, _ = pair_of("bert")
    answers = [
        [e["entity_group"] for text in SENTENCES for e in answer(task, text, aggregation_strategy=strategy)]
        for strategy in ("simple", "first", "average", "max")
    ]
    assert all(a != b for i, a in enumerate(answers) for b in answers[:i])


def test_default_is_simple_in_windows_of_a_quarter(pair_of: Any) -> None:
    task, _ = pair_of("bert")
    room = task.max_length - 2
    assert answer(task, long_text(5)) == answer(task, long_text(5), aggregation_strategy="simple", stride=room // 4)


@pytest.mark.parametrize("stride", [0, 7, 50, 100])
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_tokens_of_windows_come_once_from_the_best(pair_of: Any, family: str, stride: int) -> None:
    """`none` on a long text: each token once, as its furthest-from-the-edge window sees it."""
    task, pipeline = pair_of(family)
    text, size, step = long_text(7), task.max_length - 2, task.max_length - 2 - stride
    whole = pipeline.tokenizer(text, return_offsets_mapping=True)
    ids = whole["input_ids"]
    inner, count = ids[1:-1], len(ids) - 2
    starts = [s for s in range(0, count, step) if s == 0 or s + stride < count]
    best: dict[int, tuple[float, Any]] = {}
    for start in starts:
        end = min(start + size, count)
        with torch.inference_mode():
            window = torch.tensor([[ids[0], *inner[start:end], ids[-1]]])
            scores = softmax(pipeline.model(window).logits[0, 1:-1].numpy())
        for token in range(start, end):
            left = token - start if start > 0 else float("inf")
            right = end - 1 - token if end < count else float("inf")
            if token not in best or min(left, right) > best[token][0]:
                best[token] = min(left, right), scores[token - start]
    ours = answer(task, text, aggregation_strategy="none", ignore_labels=[], stride=stride)
    assert [entity["index"] for entity in ours] == list(range(1, count + 1))
    assert [(entity["start"], entity["end"]) for entity in ours] == list(whole["offset_mapping"][1:-1])
    assert [entity["entity"] for entity in ours] == [LABELS[int(best[token][1].argmax())] for token in range(count)]
    np.testing.assert_allclose([e["score"] for e in ours], [best[token][1].max() for token in range(count)], atol=2e-6)


def test_offsets_count_characters(pair_of: Any) -> None:
    task, _ = pair_of("roberta")
    text = "🎉🎉 Clara lives in Zürich 👩‍🚀"
    tokens = answer(task, text, aggregation_strategy="none", ignore_labels=[])
    assert tokens[0]["start"] == 0
    assert tokens[-1]["end"] == len(text)
    assert "".join(text[a["start"] : a["end"]] for a in tokens if a["word"].strip("Ġ") in "Clara") == "Clara"


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_refuses_empty_text(pair_of: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match="inputs is empty"):
        answer(pair_of("bert")[0], text)


def test_refuses_a_stride_that_never_moves_on(pair_of: Any) -> None:
    task, _ = pair_of("bert")
    answer(task, "Paris", stride=task.max_length - 3)
    with pytest.raises(InvalidInput, match="below 126, the tokens"):
        answer(task, "Paris", stride=task.max_length - 2)


def test_examples_are_requests(pair_of: Any) -> None:
    task, _ = pair_of("bert")
    Request.model_validate(task.example)
    lengths = [[row.length for row in task.preprocess(task.sized_example(words)).rows] for words in (3, 500)]
    assert len(lengths[0]) == 1
    assert len(lengths[1]) > 3
    assert max(lengths[1]) == task.max_length


def test_cores_share_overlaps_at_the_middle() -> None:
    assert cores([10], 6) == [range(10)]
    assert cores([10, 10, 5], 6) == [range(8), range(2, 8), range(2, 5)]
    assert cores([4, 4, 2], 4) == [range(4), range(4), range(2)]


def test_refuses_a_stride_that_makes_thousands_of_windows(pair_of: Any) -> None:
    task, _ = pair_of("bert")
    with pytest.raises(TooLarge, match=r"windows of 1 new tokens each; the limit is 1,024"):
        answer(task, "river " * 3000, stride=task.max_length - 3)
