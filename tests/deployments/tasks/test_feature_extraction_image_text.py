"""feature-extraction with two towers for pictures and texts, against the model's own methods."""

import asyncio
import base64
import json
from typing import Any

import numpy as np
import orjson
import pytest

from deployments.config import ModelConfig
from deployments.errors import InvalidInput, LoadError, ServiceError
from deployments.layouts.media import Stacked
from deployments.layouts.text import BatchOutput
from deployments.media.content import Media
from deployments.registry import task_of
from deployments.replica.replica import Replica
from deployments.tasks.feature_extraction_image_text import ImageTextFeatureExtraction, Request
from tests.checkpoints import SENTENCES, load_task
from tests.embedding_checkpoints import write_modules
from tests.media_requests import ask, ask_together, picture, pictures, png
from tests.two_towers_checkpoints import IMAGE_FAMILIES, two_towers_checkpoint
from tests.waiting import PATIENCE_S

TEXTS = [*SENTENCES[:11], "a", "A photo of a cat.", "the river " * 60]
MODES = ("RGB", "RGBA", "L", "P", "CMYK")


@pytest.fixture(scope="session")
def tasks(tmp_path_factory):
    """`tasks(family)`: loaded, its layout chosen."""
    loaded: dict[str, Any] = {}

    def load(family):
        if family not in loaded:
            folder = two_towers_checkpoint(tmp_path_factory.mktemp("towers") / family, family)
            loaded[family] = load_task(ImageTextFeatureExtraction, folder)
        return loaded[family]

    return load


def text_vectors(task, texts):
    """The model's own, text by text, asked as transformers' pipeline asks it."""
    import torch

    padding = {"padding": "max_length", "max_length": 64} if task.is_sigmoid else {"max_length": task.max_length}
    vectors = []
    for text in texts:
        inputs = task.tokenizer([text], return_tensors="pt", truncation=True, **padding)
        with torch.inference_mode():
            vectors.append(task.checkpoint.model.get_text_features(**inputs).pooler_output[0].numpy())
    return np.stack(vectors)


def image_vectors(task, images):
    import torch

    inputs = task.checkpoint.processor(images=images, return_tensors="pt")
    with torch.inference_mode():
        return task.checkpoint.model.get_image_features(**inputs).pooler_output.numpy()


def requests_of(inputs, **fields):
    return [Request.model_validate({"inputs": each, **fields}) for each in inputs]


def as_files(images):
    return [png(image.convert("RGB") if image.mode == "CMYK" else image) for image in images]


@pytest.mark.parametrize("family", IMAGE_FAMILIES)
def test_texts_and_pictures_together_have_the_models_own_vectors(tasks, family):
    task = tasks(family)
    images = pictures()
    mixed = [each for pair in zip(TEXTS, as_files(images), strict=False) for each in pair] + TEXTS[len(images) :]
    answers = ask_together(task, requests_of(mixed))
    texts = [answer for each, answer in zip(mixed, answers, strict=True) if isinstance(each, str)]
    files = [answer for each, answer in zip(mixed, answers, strict=True) if isinstance(each, Media)]
    assert np.abs(np.stack(texts) - text_vectors(task, TEXTS)).max() < 1e-4
    assert np.abs(np.stack(files) - image_vectors(task, images)).max() < 1e-4
    assert task.layout.name == "padded"
    for each, answer in zip(mixed, answers, strict=True):
        (alone,) = ask_together(task, requests_of([each]))
        assert np.abs(alone - answer).max() < 1e-4


def test_the_check_at_load_covers_pictures(tasks, monkeypatch):
    own = Stacked.run

    def wrong(self, rows):
        batch = own(self, rows)
        return BatchOutput(batch.output + (len(rows) - 1), batch.lengths)

    monkeypatch.setattr(Stacked, "run", wrong)
    task = load_task(ImageTextFeatureExtraction, tasks("clip").checkpoint.folder)
    assert task.layout.name == "alone"
    answers = ask_together(task, requests_of(["a cat", png(picture(9, 9)), png(picture(40, 33))]))
    monkeypatch.undo()
    expected = ask_together(tasks("clip"), requests_of(["a cat", png(picture(9, 9)), png(picture(40, 33))]))
    assert np.abs(np.stack(answers) - expected).max() < 1e-4


def test_pictures_of_every_mode(tasks):
    task = tasks("clip")
    images = [picture(90, 33, mode, seed) for seed, mode in enumerate(MODES)]
    seen = [image.convert("RGB") for image in images]
    answers = ask_together(task, requests_of(as_files(images)))
    assert np.abs(np.stack(answers) - image_vectors(task, seen)).max() < 1e-4


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_a_long_text_is_cut_or_refused(tasks, family):
    task = tasks(family)
    long = Request.model_validate({"inputs": " ".join(SENTENCES[:9])})
    prepared = task.preprocess(long)
    assert prepared.truncated
    assert task.tokens_in(prepared) == task.max_length == {"clip": 77, "siglip": 64}[family]
    assert not task.preprocess(Request.model_validate({"inputs": "a cat"})).truncated
    with pytest.raises(InvalidInput, match=r"inputs has \d+ tokens; the model reads at most"):
        task.preprocess(long.model_copy(update={"truncate": False}))
    end = task.preprocess(long.model_copy(update={"truncation_direction": "left"}))
    assert end.rows[0].inputs["input_ids"] != prepared.rows[0].inputs["input_ids"]


def test_options_of_vectors(tasks):
    task = tasks("clip")
    file = png(picture(40, 33))
    own = ask(task, file)
    assert abs(np.linalg.norm(own) - 1) > 0.01  # as the model gives them
    unit = ask(task, file, normalize=True)
    assert unit == pytest.approx(own / np.linalg.norm(own), abs=1e-6)
    few = ask(task, file, normalize=True, dimensions=4)
    assert few == pytest.approx(own[:4] / np.linalg.norm(own[:4]), abs=1e-6)
    encoded = ask(task, file, encoding_format="base64")
    assert np.frombuffer(base64.b64decode(encoded), "<f4") == pytest.approx(own)
    with pytest.raises(InvalidInput, match="dimensions is 400"):
        ask(task, file, dimensions=400)


def test_modules_of_sentence_transformers(tmp_path):
    folder = two_towers_checkpoint(tmp_path / "clip", "clip")
    write_modules(folder, [("CLIPModel", {}), ("Normalize", {})])
    task = load_task(ImageTextFeatureExtraction, folder)
    assert np.linalg.norm(ask_together(task, requests_of(["a cat"]))[0]) == pytest.approx(1)
    config = {"pooling": {"normalize": False}}
    task = load_task(ImageTextFeatureExtraction, folder, **config)
    assert np.linalg.norm(ask_together(task, requests_of(["a cat"]))[0]) != pytest.approx(1)
    write_modules(folder, [("CLIPModel", {}), ("Dense", {})])
    with pytest.raises(LoadError, match="requires Dense after two towers"):
        load_task(ImageTextFeatureExtraction, folder)


def test_a_model_in_a_folder_of_its_own(tmp_path):
    """As sentence-transformers saved CLIP at first: nothing of transformers at the root."""
    inner = two_towers_checkpoint(tmp_path / "0_CLIPModel", "clip")
    entry = {"idx": 0, "name": "0", "path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}
    (tmp_path / "modules.json").write_text(json.dumps([entry]))
    config = ModelConfig(model=str(tmp_path), name="small")
    assert task_of(config) is ImageTextFeatureExtraction
    inputs = ["a cat", *as_files([picture(12, 9)])]
    ours, alone = (
        ask_together(load_task(ImageTextFeatureExtraction, folder), requests_of(inputs)) for folder in (tmp_path, inner)
    )
    np.testing.assert_array_equal(ours, alone)


def test_what_a_string_is():
    """A file in every form that JSON has for it; everything else is a text."""
    encoded = base64.b64encode(png(picture(9, 9)).data).decode()
    wrapped = base64.encodebytes(png(picture(9, 9)).data).decode()
    for file in (encoded, wrapped, f"data:image/png;base64,{encoded}", "https://host/cat.png", {"image": encoded}):
        read = Request.model_validate({"inputs": [file]}).inputs[0]
        assert isinstance(getattr(read, "image", read), Media), file
    for text in (
        "cats",
        "data: 1, 2",
        "https://host is down",
        "a" * 63,
        "-" * 80,
        f"{'/' * 70} A photo",
        f"see {encoded}",
        {"text": encoded},
    ):
        read = Request.model_validate({"inputs": text}).inputs
        assert isinstance(getattr(read, "text", read), str), text


@pytest.fixture(scope="module")
def replica(tasks):
    folder = tasks("clip").checkpoint.folder
    replica = Replica(ModelConfig(model=str(folder), name="clip", device="cpu"), ImageTextFeatureExtraction)
    replica.load()
    yield replica
    replica.stop()


def test_a_bad_input_harms_no_neighbour(replica):
    def render(value):
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)

    good = ["a cat", png(picture(40, 33)), {"text": "a dog"}, {"image": png(picture(64, 20))}]
    bad = ["", {"image": Media(b"no picture")}, png(picture(1, 20_000)), {"image": Media(png(picture(9, 9)).data[:60])}]

    async def outcomes():
        requests = [Request.model_validate({"inputs": each}) for each in good + bad]
        requests.append(Request.model_validate({"inputs": good}))
        requests.append(Request.model_validate({"inputs": [*good, *bad], "partial": True}))
        calls = (replica.predict(request, render, PATIENCE_S) for request in requests)
        return await asyncio.gather(*calls, return_exceptions=True)

    *each, together, partial = asyncio.run(outcomes())
    alone = [orjson.loads(outcome.body)[0] for outcome in each[: len(good)]]
    assert all(isinstance(outcome, ServiceError) and outcome.status < 500 for outcome in each[len(good) :])
    assert np.abs(np.array(orjson.loads(together.body)) - alone).max() < 1e-4
    answers = orjson.loads(partial.body)
    assert np.abs(np.array(answers[: len(good)]) - alone).max() < 1e-4
    assert [answer["status"] for answer in answers[len(good) :]] == [422, 415, 422, 422]


def test_the_checkpoint_says_its_task(tasks):
    for family in IMAGE_FAMILIES:
        for task in (None, "feature-extraction", "AutoModel"):
            config = ModelConfig(model=str(tasks(family).checkpoint.folder), name="towers", task=task)
            assert task_of(config) is ImageTextFeatureExtraction


def test_a_checkpoint_without_its_tokenizer_is_refused(tasks, tmp_path):
    folder = two_towers_checkpoint(tmp_path / "clip", "clip")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(LoadError):
        load_task(ImageTextFeatureExtraction, folder)
