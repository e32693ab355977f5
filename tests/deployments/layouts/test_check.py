"""The check at load, on layouts without a model: it takes the first that holds and says why the others do not."""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModel

from deployments.batching.selection import ArrivalOrder
from deployments.contract.task import Prepared, Row
from deployments.errors import LoadError
from deployments.layouts.check import choose_layout, tolerance
from deployments.layouts.task import ForwardTask
from deployments.layouts.text import BatchOutput, Layout
from deployments.tasks.feature_extraction import FeatureExtraction
from tests.checkpoints import Checkpoints, load_task


class Fake(Layout):
    """Gives every row its length back, changed by `change`."""

    def __init__(self, name, change=lambda value: value, check_batches=None):
        super().__init__(model=None)
        self.name = name
        self.change = change
        self.attached = 0
        self._trial = check_batches

    def attach(self):
        self.attached += 1

    def detach(self):
        self.attached -= 1

    def run(self, rows):
        return BatchOutput([self.change(np.array([float(row.length)])) for row in rows], [1] * len(rows))

    def check_batches(self, rows):
        return self._trial(rows) if self._trial else super().check_batches(rows)

    def selection(self, batching, device):
        return ArrivalOrder(1, 1)


class Measured(ForwardTask):
    """Asks for nothing but its layouts."""

    def __init__(self, *layouts, dtype="float32"):
        super().__init__(SimpleNamespace(dtype=dtype))
        self._layouts = layouts

    def layouts(self):
        return self._layouts

    def sized_example(self, words):
        return words

    def preprocess(self, request):
        return Prepared([Row({}, request)])

    def forward(self, rows, params):
        return self.run(rows).output

    def postprocess(self, request, prepared, outputs):
        return outputs


def refuse(value):
    raise RuntimeError("cannot be laid out")


def alone():
    return Fake("alone", check_batches=lambda rows: [[row] for row in range(rows)])


def test_the_first_layout_that_holds_is_taken_and_the_others_say_why_not():
    layouts = [
        Fake("raises", refuse),
        Fake("differs", lambda value: value * 1.01),
        Fake("nothing", lambda value: value[:0]),
        Fake("not a number", lambda value: value * np.nan),
        Fake("near", lambda value: value + 1e-6),
        Fake("exact"),
        alone(),
    ]
    task = Measured(*layouts)
    choice = choose_layout(task)
    assert choice.layout == "near"
    assert 0 < choice.difference < 1e-5
    assert task.layout is layouts[4]
    assert choice.refused["raises"] == "RuntimeError: cannot be laid out"
    assert "1.0e-02" in choice.refused["differs"]
    assert "inf" in choice.refused["nothing"]
    assert "inf" in choice.refused["not a number"]
    assert [layout.attached for layout in layouts] == [0, 0, 0, 0, 1, 0, 0]


def test_outputs_are_matched_to_rows_in_the_order_of_the_trial():
    backwards = Fake("backwards", check_batches=lambda rows: [[row] for row in reversed(range(rows))])
    assert choose_layout(Measured(backwards, alone())).layout == "backwards"


def test_a_layout_that_mixes_rows_up_is_refused():
    class Mixed(Fake):
        def run(self, rows):
            return super().run(rows[::-1])

    choice = choose_layout(Measured(Mixed("mixed"), alone()))
    assert choice.layout == "alone"
    assert "mixed" in choice.refused


def test_the_wanted_layout_is_taken_or_loading_fails():
    assert choose_layout(Measured(Fake("packed"), Fake("padded"), alone()), "padded").layout == "padded"
    with pytest.raises(LoadError, match=r"running alone.*packed: RuntimeError: cannot be laid out"):
        choose_layout(Measured(Fake("packed", refuse), alone()), "packed")
    with pytest.raises(LoadError, match="there is no layout 'sideways'"):
        choose_layout(Measured(alone()), "sideways")


def test_a_task_without_any_layout_that_holds_does_not_load():
    task = Measured(Fake("packed", refuse), Fake("alone", lambda value: value + np.random.default_rng().random(1)))
    with pytest.raises(LoadError, match="packed: RuntimeError"):
        choose_layout(task)
    assert task.layout is None


@pytest.mark.parametrize(("dtype", "layout"), [("float32", "alone"), ("float16", "loose"), ("bfloat16", "loose")])
def test_what_counts_as_equal_depends_on_the_dtype(dtype, layout):
    task = Measured(Fake("loose", lambda value: value + 0.01), alone(), dtype=dtype)
    assert choose_layout(task).layout == layout
    assert tolerance(task) >= 1e-4


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Checkpoints(tmp_path_factory.mktemp("checkpoints"))


@cache
def plain_model(folder):
    return AutoModel.from_pretrained(folder, dtype="float32").eval()


def alone_of(task, text):
    """The hidden states of one text, as transformers computes them."""
    with torch.inference_mode():
        output = plain_model(task.checkpoint.folder)(**task.tokenizer(text, return_tensors="pt"))
    return output.last_hidden_state[0].numpy()


def test_a_model_that_looks_at_the_whole_row_is_not_packed(made):
    """ESM scales a row by its share of masks, so that a mask in one text would change its neighbours."""
    task = load_task(FeatureExtraction, made("esm", ""))
    assert task.layout.name == "padded"
    texts = ["The river rose.", "A <mask> rose in the <mask> and the <mask>.", "Nobody saw it."]
    rows = [task.preprocess(task.request(inputs=text)).rows[0] for text in texts]
    for text, output in zip(texts, task.forward(rows, None), strict=True):
        np.testing.assert_allclose(output, alone_of(task, text), atol=1e-4)


@pytest.mark.parametrize("family", ["roberta", "xlm-roberta", "camembert", "bert", "mpnet"])
def test_a_text_with_special_tokens_by_name_is_that_of_transformers(made, family):
    """RoBERTa's positions skip padding, also where a text contains it."""
    task = load_task(FeatureExtraction, made(family, ""))
    assert (task.layout.name == "packed") is (family != "mpnet")
    pad, mask, end = task.tokenizer.pad_token, task.tokenizer.mask_token, task.tokenizer.sep_token
    texts = [f"It is {pad} here {pad}{pad} and there {pad}", f"a {mask} {end} b", "Two women dance.", pad, f"{pad} a"]
    rows = [task.preprocess(task.request(inputs=text)).rows[0] for text in texts]
    for text, output in zip(texts, task.forward(rows, None), strict=True):
        np.testing.assert_allclose(output, alone_of(task, text), atol=1e-4)


class Unusual(Measured):
    """With a row that a model may fail on."""

    def unusual_rows(self, row):
        return [Row({}, 5), Row({}, 6)]


def test_unusual_rows_decide_as_the_others_do():
    task = Unusual(Fake("wrong for five", lambda value: value + 0.1 * (value == 5)), Fake("right"), alone())
    assert choose_layout(task).layout == "right"


def test_a_row_that_fails_even_alone_decides_nothing():
    def fails_for_five(value):
        if value == 5:
            raise RuntimeError("five")
        return value

    assert (
        choose_layout(
            Unusual(Fake("first", fails_for_five), Fake("alone", fails_for_five, alone().check_batches))
        ).layout
        == "first"
    )


def test_a_batch_that_an_unusual_row_spoils_is_run_in_halves():
    class Spoilt(Fake):
        def run(self, rows):
            if len(rows) > 1 and any(row.length == 5 for row in rows):
                raise RuntimeError("fails with five among others")
            return super().run(rows)

    assert choose_layout(Unusual(Spoilt("spoilt"), alone())).layout == "spoilt"


def test_an_attention_that_is_never_asked_cannot_be_packed(tmp_path):
    """MPNet brings its own attention: packed, its texts would read each other."""
    task = load_task(FeatureExtraction, Checkpoints(tmp_path)("mpnet", ""), layout=None)
    choice = choose_layout(task)
    assert choice.layout == "padded"
    assert "called 0 times in 2 layers" in choice.refused["packed"]
    with pytest.raises(LoadError, match="0 times in 2 layers"):
        choose_layout(load_task(FeatureExtraction, Checkpoints(tmp_path)("mpnet", ""), layout=None), "packed")
