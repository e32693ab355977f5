"""A decoder on its build answers as the same model does in torch, whatever a request asks for."""

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.openvino.manifest import GRAPH, REFERENCE, Build, Manifest, find_build, make_build
from deployments.registry import task_of
from deployments.replica.loading import build_task, load_task
from deployments.replica.replica import Replica
from tests.writing_checkpoints import Writing, outcomes, request_of, writing_replica

CHAT = [{"role": "system", "content": "You are short."}, {"role": "user", "content": "Hello"}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
REQUESTS: list[tuple[Any, dict[str, Any]]] = [
    ("The river rose", {"max_new_tokens": 40}),
    ("The river " * 30, {"max_new_tokens": 20}),
    ("The river " * 30 + "and", {"max_new_tokens": 20}),  # its beginning has been read
    ([5, 6, 7], {}),
    (CHAT, {"max_new_tokens": 12}),
    ("a", {"do_sample": True, "seed": 7, "temperature": 1.5, "top_p": 0.9, "max_new_tokens": 30}),
    ("a", {"do_sample": True, "seed": 7, "temperature": 1.5, "top_p": 0.9, "max_new_tokens": 30}),
    ("a", {"do_sample": True, "seed": 1, "num_return_sequences": 3, "top_k": 9}),
    ("a", {"num_beams": 3}),
    ("a", {"details": True, "top_n_tokens": 3}),
    ("The river rose", {"details": True, "decoder_input_details": True}),
    ("a", {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2, "max_new_tokens": 30}),
    ("a", {"grammar": {"type": "json", "value": SCHEMA}, "max_new_tokens": 40}),
    ("a", {"stop": ["e", "o"], "max_new_tokens": 40}),
    ("", {}),
    ([5, 1 << 20], {}),
    ("a", {"max_new_tokens": 100_000}),
]


def same(ours: Any, theirs: Any) -> bool:
    """Equal, but for times, and for log-probabilities in their last digits."""
    if isinstance(theirs, dict):
        keys = theirs.keys() - {"timings"}
        return keys == ours.keys() - {"timings"} and all(same(ours[key], theirs[key]) for key in keys)
    if isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(theirs, float):
        return math.isclose(ours, theirs, abs_tol=1e-3)
    if isinstance(theirs, BaseException):
        return type(ours) is type(theirs) and str(ours) == str(theirs)
    return bool(ours == theirs)


def built(folder: Path, **settings: Any) -> tuple[ModelConfig, Any, Manifest]:
    """A model's configuration, its task, and the manifest of its build, which is made."""
    config = ModelConfig.model_validate({"model": str(folder), "name": "small", "device": "cpu", **settings})
    kind = task_of(config)
    return config, kind, make_build(config, kind, lambda place: build_task(config, kind, place)).manifest


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("AUTOMODEL_SERVE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def replica(writing: Writing, cache: Path) -> Iterator[Replica]:
    folder = writing.folder("llama", chat=True)
    built(folder)
    replica = writing_replica(folder)
    yield replica
    replica.stop()


async def test_whatever_is_asked_the_answer_is_torchs(writing: Writing, replica: Replica) -> None:
    in_torch = writing.replica("llama", {"backend": "torch"}, chat=True)
    assert replica.description["backend"] == "openvino", replica.description
    assert (replica.description["backend"], in_torch.description["backend"]) == ("openvino", "torch")
    requests = [request_of(replica, inputs, **parameters) for inputs, parameters in REQUESTS]
    expected = [(await outcomes(in_torch, [each]))[0] for each in requests]
    alone = [(await outcomes(replica, [each]))[0] for each in requests]
    together = await outcomes(replica, requests)
    for request, reference, *answers in zip(REQUESTS, expected, alone, together, strict=True):
        for answer in answers:
            assert same(answer, reference), f"{request}: {answer}, not {reference}"
    assert sum(isinstance(each, Exception) for each in expected) == 3


async def test_the_answer_to_what_is_there_tells_of_the_cache(replica: Replica) -> None:
    generation = replica.description["generation"]
    assert generation["mode"] == "in-flight"
    assert generation["prefix_cache"] is True
    assert generation["block_tokens"] == 32


async def test_guesses_change_no_answer(writing: Writing, replica: Replica) -> None:
    guessing = writing_replica(writing.folder("llama", chat=True), generation={"prompt_lookup": 8})
    try:
        assert guessing.description["generation"]["prompt_lookup"] == 8
        requests = [request_of(replica, "river " * n, max_new_tokens=40, stop=["zq"]) for n in (1, 8, 20)]
        assert await outcomes(guessing, requests) == await outcomes(replica, requests)
    finally:
        guessing.stop()


async def test_no_model_is_loaded_in_torch_until_a_beam_is_searched(writing: Writing, cache: Path) -> None:
    folder = writing.folder("llama", chat=True)
    replica = writing_replica(folder)
    try:
        task: Any = replica.task
        await outcomes(replica, [request_of(replica, "a")])
        assert "torch_model" not in vars(task)
        await outcomes(replica, [request_of(replica, "a", num_beams=2)] * 2)
        assert type(task.torch_model).__name__ == "LlamaForCausalLM"
    finally:
        replica.stop()


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        ("bloom", "it takes no positions"),
        ("falcon", "it does not use transformers' attention interface"),
        ("mamba", "its layers are of another kind: linear_attention"),
    ],
)
def test_a_model_that_torch_must_compute_says_why(writing: Writing, cache: Path, family: str, reason: str) -> None:
    config, kind, manifest = built(writing.folder(family))
    assert manifest.refused == reason
    _, backend = load_task(config, kind, report=lambda line: None, owns_process=False)
    assert backend.description == {"backend": "torch", "backend_reason": reason}


def test_weights_in_8_bits_are_told_with_their_difference(writing: Writing, cache: Path) -> None:
    pytest.importorskip("nncf")
    exact = find_build(*built(writing.folder("llama", chat=True))[:2])
    config, kind, manifest = built(writing.folder("llama", chat=True), dtype="int8")
    build = find_build(config, kind)
    assert exact is not None
    assert build is not None
    assert exact.folder != build.folder
    assert manifest.agreement is not None
    assert 1e-4 < manifest.agreement.largest_difference < 1
    assert manifest.agreement.smallest_cosine is not None
    assert 0.99 < manifest.agreement.smallest_cosine < 1
    task, backend = load_task(config, kind, report=lambda line: None, owns_process=False)
    assert task.graph is not None
    assert backend.description["backend_agreement"]["items"] == 4
    sizes = [(each.folder / "model.bin").stat().st_size for each in (exact, build)]
    assert sizes[1] < 0.5 * sizes[0]


def test_a_decoder_is_compressed_without_calibration(writing: Writing) -> None:
    settings = {"model": str(writing.folder("llama")), "dtype": "int8", "calibration": "texts.jsonl"}
    config = ModelConfig.model_validate(settings)
    with pytest.raises(LoadError, match="dtype: int8 cannot compute it: the weights of a decoder are compressed"):
        load_task(config, task_of(config), report=lambda line: None, owns_process=False)


def test_options_that_only_generate_has_stay_in_torch(writing: Writing, cache: Path) -> None:
    _, _, manifest = built(writing.folder("llama", encoder_repetition_penalty=1.5))
    assert manifest.refused.endswith("sets options that only `generate` has: encoder_repetition_penalty")


def test_an_engine_that_torch_has_is_not_built(writing: Writing, cache: Path) -> None:
    settings = {"model": str(writing.folder("llama")), "generation": {"engine": "static"}}
    config = ModelConfig.model_validate(settings)
    _, backend = load_task(config, task_of(config), report=lambda line: None, owns_process=False)
    assert backend.reason == "generation.engine is static"


@pytest.mark.parametrize("damage", ["answers", "graph"])
def test_a_build_that_does_not_hold_here_leaves_the_model_to_torch(writing: Writing, cache: Path, damage: str) -> None:
    config, kind, _ = built(writing.folder("gpt2"))
    build = find_build(config, kind)
    assert build is not None
    _break(build, damage)
    task, backend = load_task(config, kind, report=lambda line: None, owns_process=False)
    assert task.graph is None
    expected = {"answers": "OpenVINO answers otherwise on this machine", "graph": "OpenVINO fails on this machine"}
    assert expected[damage] in backend.reason
    assert "Exception from" not in backend.reason
    (build.folder / REFERENCE).rename(build.folder / "gone")


def _break(build: Build, damage: str) -> None:
    """Change a file, and keep its size, by which a damaged build is noticed before."""
    if damage == "graph":
        text = (build.folder / GRAPH).read_bytes()
        (build.folder / GRAPH).write_bytes(text.replace(b'type="MatMul"', b'type="NoSuch"'))
        return
    with np.load(build.folder / REFERENCE) as stored:
        arrays = dict(stored)
    arrays["logits"] += 0.01
    np.savez(build.folder / REFERENCE, **arrays)


def test_many_callers_at_once(replica: Replica) -> None:
    requests = [request_of(replica, "river " * n, max_new_tokens=3 + n % 9) for n in range(1, 40)]

    async def ask() -> tuple[list[Any], list[Any]]:
        together = await outcomes(replica, requests)
        return together, [(await outcomes(replica, [each]))[0] for each in requests]

    together, alone = asyncio.run(ask())
    assert together == alone
