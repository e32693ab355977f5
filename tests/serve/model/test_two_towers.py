"""Models with two towers, asked in memory: every protocol of vectors, and the labels of pictures and recordings."""

import base64
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.media_checkpoints import RATE
from tests.media_requests import picture, png, recording, wav
from tests.two_towers_checkpoints import WIDTH
from tests.two_towers_model import TwoTowersModel

LABELS = ["a cat", "the river at night", "Vienna"]
PICTURES = [png(picture(40, 33)).data, png(picture(90, 20, "RGBA", 1)).data, png(picture(30, 64, "L", 2)).data]
SOUNDS = [wav(recording(int(RATE * seconds), seed)).data for seed, seconds in enumerate((0.3, 0.9))]
VIEW = "/pipeline/zero-shot-image-classification"


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], TwoTowersModel]]:
    """A loaded model of a family, each loaded once."""
    loaded: dict[str, TwoTowersModel] = {}

    def made(family: str) -> TwoTowersModel:
        if family not in loaded:
            loaded[family] = TwoTowersModel(tmp_path_factory.mktemp("towers"), family)
        return loaded[family]

    yield made
    for each in loaded.values():
        each.replica.stop()


def pipeline_of(task: str, folder: Any) -> Any:
    """transformers' own pipeline, with the image processor that is served."""
    from transformers import AutoImageProcessor, pipeline

    own = {"image_processor": AutoImageProcessor.from_pretrained(folder, backend="pil")} if "image" in task else {}
    return pipeline(task, model=str(folder), device="cpu", dtype="float32", **own)


def assert_same(ours: Any, theirs: Any) -> None:
    assert {entry["label"]: entry["score"] for entry in ours} == pytest.approx(
        {entry["label"]: entry["score"] for entry in theirs}, abs=1e-4
    )
    scores = [entry["score"] for entry in ours]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("family", ["clip", "siglip", "siglip2", "siglip2-naflex", "chinese-clip"])
async def test_scores_of_labels_are_the_pipelines(model: Any, family: str) -> None:
    towers = model(family)
    pipelined = pipeline_of("zero-shot-image-classification", towers.folder)
    images = [Image.open(io.BytesIO(data)).convert("RGB") for data in PICTURES]
    for options in ({}, {"hypothesis_template": "{}?"}, {"candidate_labels": LABELS[:1]}):
        parameters = {"candidate_labels": LABELS} | options
        inputs = [text_of(PICTURES[0]), {"image": text_of(PICTURES[1])}, text_of(PICTURES[2])]
        got = await towers.ask(VIEW, {"inputs": inputs, "parameters": parameters})
        for ours, image in zip(got, images, strict=True):
            assert_same(ours, pipelined(image, **parameters))
        one = await towers.ask(VIEW, {"inputs": inputs[1], "parameters": parameters})
        assert_same(one, got[1])


@pytest.mark.parametrize("family", ["clap", "clap-fused"])
async def test_scores_of_labels_of_recordings_are_the_pipelines(model: Any, family: str) -> None:
    towers = model(family)
    pipelined = pipeline_of("zero-shot-audio-classification", towers.folder)
    body = {"inputs": [text_of(sound) for sound in SOUNDS], "parameters": {"candidate_labels": ", ".join(LABELS)}}
    got = await towers.ask("/pipeline/zero-shot-audio-classification", body)
    for ours, seconds, seed in zip(got, (0.3, 0.9), (0, 1), strict=True):
        assert_same(ours, pipelined(recording(int(RATE * seconds), seed), candidate_labels=LABELS))


async def test_labels_are_read_once_for_all_pictures(model: Any) -> None:
    towers, read = model("clip"), set()
    for files in (PICTURES[:1], PICTURES):
        body = {"inputs": [text_of(data) for data in files], "parameters": {"candidate_labels": LABELS}}
        answer = await towers.call(towers.route.path + VIEW, json=body)
        assert (answer.headers["x-model"], len(answer.json())) == ("clip", len(files))
        read.add(answer.headers["x-prompt-tokens"])
    assert len(read) == 1


@pytest.mark.parametrize(
    "path", ["/models/clip", "/tasks/zero-shot-image-classification", "/tasks/feature-extraction" + VIEW]
)
async def test_every_path_of_the_view(model: Any, path: str) -> None:
    body = {"inputs": text_of(PICTURES[0]), "parameters": {"candidate_labels": LABELS}}
    answer = await model("clip").call(path, json=body)
    assert [set(entry) for entry in answer.json()] == [{"label", "score"}] * 3


async def test_vectors_over_every_protocol(model: Any) -> None:
    towers = model("clip")
    image = text_of(PICTURES[0])
    text, file = np.array(await towers.ask("", {"inputs": ["a cat", image]}))
    assert text.shape == file.shape == (WIDTH,)
    raw = await towers.call(towers.route.path, content=PICTURES[0], headers={"content-type": "image/png"})
    form = await towers.call(towers.route.path, files={"file": PICTURES[0]}, data={"normalize": "false"})
    for answer in (raw, form):
        assert np.abs(np.array(answer.json()) - file).max() < 1e-5
    openai = {"model": "clip", "input": ["a cat", f"data:image/png;base64,{image}"]}
    answer = (await towers.call("/v1/embeddings", json=openai)).json()
    assert np.abs(np.array([entry["embedding"] for entry in answer["data"]]) - [text, file]).max() < 1e-5
    assert answer["usage"]["prompt_tokens"] > 3
    units = np.stack([text, file]) / np.linalg.norm([text, file], axis=1, keepdims=True)
    jina = {"model": "clip", "input": [{"text": "a cat"}, {"image": image}]}
    assert (await towers.call("/v1/embeddings", json=jina)).json()["data"] == answer["data"]
    tei = await towers.call("/embed", json={"inputs": ["a cat", image]})
    assert np.abs(np.array(tei.json()) - units).max() < 1e-5
    inputs = {"source_sentence": "a cat", "sentences": ["a cat", "Vienna"]}
    same, other = await towers.ask("/pipeline/sentence-similarity", {"inputs": inputs})
    assert same == pytest.approx(1, abs=1e-5)
    assert other < 0.999
    own = await towers.ask("", {"inputs": inputs})
    assert own == pytest.approx([same, other], abs=1e-6)
    alone = await towers.ask("", {"inputs": [inputs]}, 422)
    assert alone["error"].startswith("inputs[0].text: is missing")
    numbers = await towers.ask("", {"inputs": inputs, "encoding_format": "base64"}, 422)
    assert numbers["error"] == "encoding_format: similarities are numbers; leave it out"
    missing = await towers.ask("", {"inputs": {"source_sentence": "a"}}, 422)
    assert missing["error"] == "inputs.sentences: is missing"
    tensors = [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a cat"]}]
    inferred = await towers.call("/v2/models/clip/infer", json={"inputs": tensors})
    assert np.abs(np.array(inferred.json()["outputs"][0]["data"]) - text).max() < 1e-5


def labelled(inputs: Any, *labels: str, **more: Any) -> dict[str, Any]:
    return {"inputs": inputs, "parameters": {"candidate_labels": list(labels), **more}}


@pytest.mark.parametrize(
    ("below", "body", "status", "message"),
    [
        (VIEW, labelled("no picture", *LABELS), 422, "inputs[0].image: is truncated base64"),
        (VIEW, labelled("?", *LABELS), 422, "inputs[0].image: is neither base64"),
        (VIEW, labelled(text_of(b"no picture"), *LABELS), 415, "not in a supported image format"),
        (VIEW, labelled(text_of(png(picture(1, 20_000)).data), *LABELS), 422, "1 x 20,000 pixels"),
        (VIEW, labelled(text_of(PICTURES[0])), 422, "candidate_labels: list should have at least 1 item"),
        (VIEW, labelled(text_of(PICTURES[0]), " ", hypothesis_template="{}"), 422, "candidate_labels[0]: is empty"),
        (VIEW, labelled(text_of(PICTURES[0]), *LABELS, hypothesis_template="a cat"), 422, "needs {} in place"),
        (VIEW, labelled(text_of(PICTURES[0]), *LABELS, multi_label=True), 422, "multi_label"),
        (VIEW, labelled(text_of(PICTURES[0]), *map(str, range(20))), 413, "the limit is 16"),
        (VIEW, labelled([], *LABELS), 422, "inputs"),
        (VIEW, labelled(3, *LABELS), 422, "inputs"),
        (VIEW, {"inputs": text_of(PICTURES[0])}, 422, "parameters: is missing"),
        ("/pipeline/zero-shot-classification", labelled("a", *LABELS), 404, "has no pipeline"),
        ("", {"inputs": []}, 422, "inputs"),
        ("", {"inputs": ["a", ""]}, 422, "inputs[1]: inputs is empty"),
        ("", {"inputs": ["a", 3]}, 422, "inputs[1]"),
        ("", {"inputs": {"image": "?"}}, 422, "inputs.image"),
        ("", {"inputs": {"text": "a", "image": text_of(PICTURES[0])}}, 422, "inputs.text: unknown field"),
        ("", {"inputs": [1, 2, 3]}, 422, "inputs"),
        ("", {"inputs": "a", "pooling": "mean"}, 422, "pooling"),
        ("", {"inputs": "https://host/cat.png"}, 422, "not an allowed host"),
        ("", {"inputs": "a " * 300, "truncate": False}, 422, "tokens; the model reads at most 77"),
    ],
)
async def test_bad_requests(model: Any, below: str, body: Any, status: int, message: str) -> None:
    refused = await model("clip").ask(below, body, status)
    assert message in refused["error"], refused


async def test_a_bad_picture_among_good_ones(model: Any) -> None:
    body = labelled([text_of(PICTURES[0]), text_of(b"no picture"), text_of(PICTURES[1])], *LABELS)
    refused = await model("clip").ask(VIEW, body, 415)
    assert "inputs[1]" in refused["error"]
    first, error, third = await model("clip").ask(VIEW, body | {"partial": True})
    assert (len(first), error["status"], len(third)) == (3, 415, 3)
    texts = {"inputs": ["a cat", {"image": "?"}, {"text": "a"}], "partial": True}
    first, error, third = await model("clip").ask("", texts)
    assert (len(first), error["status"], len(third)) == (WIDTH, 422, WIDTH)


async def test_what_the_model_says_of_itself(model: Any) -> None:
    for family, function in (("clip", "softmax"), ("siglip", "sigmoid")):
        description = model(family).replica.task.about()
        assert description["similarity"]["function"] == function
