"""Makes the build of a decoder, and loads it: a graph with paged attention in place of the model in torch."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.checkpoints.facts import ExportedModel, facts_of
from deployments.checkpoints.load import load_exported
from deployments.config import ModelConfig
from deployments.errors import LoadError
from deployments.generation.paged_attention.blocks import BlockPool, BlockTable
from deployments.generation.paged_attention.export import export
from deployments.generation.paged_attention.graph import PagedGraph, Piece
from deployments.generation.sampling.params import unsupported_options
from deployments.generation.task import GeneratingTask
from deployments.layouts.check import TOLERANCES
from deployments.numerics import largest_difference
from deployments.openvino.agreement import agreement_of
from deployments.openvino.graph import import_openvino, reason_of
from deployments.openvino.manifest import GRAPH, REFERENCE, Build, Manifest, unfit, versions
from deployments.openvino.precision import HINTS, is_exact
from deployments.openvino.pruning import hold
from deployments.openvino.quantize import compress_weights, import_nncf

if TYPE_CHECKING:
    from numpy import ndarray

logger = logging.getLogger(__name__)

LAYOUT = "paged"
CHECK_WORDS = (3, 30, 11, 60)  # lengths of the prompts of the check
PREFILL_TOKENS = 7  # of each prompt, read in one call of the check
NEW_TOKENS = 15  # of each row of the check
REFERENCE_LOGITS = 4  # positions whose logits a build keeps
TOLERANCE = TOLERANCES["float32"]

Row = list[int]


def build_decoder(task: GeneratingTask[Any, Any], folder: Path, dtype: str | None = None) -> Manifest:
    """Export the model of a task into a folder.

    It is checked as it will run: prompts are read in pieces beside rows that decode, and every row's logits are
    compared with those of torch for the row alone, without any cache.

    Args:
        task: loaded, on a CPU, in float32.
        folder: empty.
        dtype: of the build. Of one in another than float32, the agreement is measured, and told in the manifest.

    Returns:
        The manifest, not yet written. If torch must generate, it says why.

    Raises:
        LoadError: NNCF is needed, and not installed.
    """
    model: Any = task.model
    if dtype == "int8":
        import_nncf()
    try:
        prompts = _prompts(task)
        graph = compress_weights(export(model)) if dtype == "int8" else export(model)
        rows, logits = _generate(PagedGraph(graph, precision=HINTS[dtype]), prompts, task.pad_token_id)
        expected = [_alone(model, row, len(own)) for row, own in zip(rows, logits, strict=True)]
        agreement = agreement_of([[own] for own in logits], [[each] for each in expected], _likeliest)
    except Exception as error:  # models fail in many ways where they are exported
        reason = str(error) if isinstance(error, LoadError) else reason_of(error)
        return Manifest(refused=reason, versions=versions())
    difference = agreement.largest_difference
    if not (difference <= TOLERANCE if is_exact(dtype) else isfinite(difference)):
        return Manifest(refused=f"logits differ from torch's by {difference:.1e}", versions=versions())
    openvino = import_openvino()
    openvino.save_model(graph, str(folder / GRAPH), compress_to_fp16=False)
    model.config.save_pretrained(folder)
    task.defaults.save_pretrained(folder)
    _save_reference(folder, model, rows[-1])
    manifest = Manifest("", LAYOUT, difference=difference, facts=facts_of(model), versions=versions())
    return manifest if is_exact(dtype) else replace(manifest, agreement=agreement)


def load_decoder(config: ModelConfig, kind: type[GeneratingTask[Any, Any]], build: Build) -> GeneratingTask[Any, Any]:
    """The task with its graph, once that has answered as torch did where it was built.

    Raises:
        LoadError: its tokenizer cannot be loaded, or the graph fails or answers otherwise here.
    """
    from transformers import AutoConfig, GenerationConfig

    facts = build.manifest.facts
    assert facts is not None
    model = ExportedModel(
        AutoConfig.from_pretrained(build.folder), facts, GenerationConfig.from_pretrained(build.folder)
    )
    task = kind(load_exported(config, model, kind.load_processor))
    try:
        task.graph = PagedGraph(build.folder / GRAPH, config.resources.cpu_threads, HINTS[config.dtype])
        difference = _reference_difference(build.folder, task.graph)
    except Exception as error:  # OpenVINO's own, for a file that is damaged or a machine that it does not know
        raise unfit(config, build, f"fails on this machine ({reason_of(error)})") from error
    if not difference <= build.allowed_difference(TOLERANCE):
        what = "answers otherwise on this machine than torch did at the build"
        raise unfit(config, build, f"{what}, by {difference:.1e}")
    hold(build.folder)
    return task


def _prompts(task: GeneratingTask[Any, Any]) -> list[Row]:
    if options := [name for name in unsupported_options(task.defaults) if name != "num_beams"]:
        raise LoadError(f"generation_config.json sets options that only `generate` has: {', '.join(options)}")
    prompts = [task.preprocess(task.sized_example(words)).rows[0].prompt for words in CHECK_WORDS]
    if any(prompt.inputs for prompt in prompts):
        raise LoadError("its prompts are more than tokens")
    return [list(prompt.ids) for prompt in prompts]


def _generate(graph: PagedGraph, prompts: Sequence[Row], pad_token_id: int) -> "tuple[list[Row], list[ndarray]]":
    """Continue prompts greedily, each of which begins a call after the one before.

    Returns:
        The ids of each row, and the logits that its tokens were chosen from, `[tokens, vocabulary]`.
    """
    import numpy as np

    pool = BlockPool(1 + sum(len(prompt) + NEW_TOKENS for prompt in prompts), shares_prefixes=False)
    graph.allocate(pool.count)
    rows, tables = [list(prompt) for prompt in prompts], [BlockTable(pool) for _ in prompts]
    logits: list[list[ndarray]] = [[] for _ in prompts]
    for call in range(sum(map(len, prompts)) + NEW_TOKENS):
        running = [row for row in range(min(call + 1, len(rows))) if len(logits[row]) < NEW_TOKENS]
        if not running:
            break
        pieces = [_piece(rows[row], tables[row]) for row in running]
        scores = iter(graph(pieces).copy())
        for row, piece in zip(running, pieces, strict=True):
            tables[row].advance(rows[row], len(piece.ids))
            if piece.sampled:
                logits[row].append(next(scores))
                rows[row].append(_next_token(logits[row][-1], [pad_token_id, *prompts[row]]))
    return [row[:-1] for row in rows], [np.stack(each) for each in logits]


def _piece(ids: Row, table: BlockTable) -> Piece:
    past = table.length
    read = ids[past : past + PREFILL_TOKENS]
    table.reserve(past + len(read))
    return Piece(read, past, table.blocks, int(past + len(read) == len(ids)))


def _next_token(logits: "ndarray", excluded: Sequence[int]) -> int:
    """The likeliest token that is new: models with random weights repeat one token, whatever they read."""
    scores = logits.copy()
    scores[[*excluded]] = float("-inf")
    return int(scores.argmax())


def _likeliest(outputs: "Sequence[ndarray]") -> "ndarray":
    """The likeliest token at each position of a row."""
    tokens: ndarray = outputs[0].argmax(-1)
    return tokens


def _alone(model: Any, ids: Row, positions: int) -> "ndarray":
    """The logits of torch for a row alone, at its last positions."""
    import torch

    with torch.inference_mode():
        logits: ndarray = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -positions:].float().numpy()
    return logits


def _save_reference(folder: Path, model: Any, ids: Row) -> None:
    import numpy as np

    np.savez(folder / REFERENCE, ids=np.array(ids), logits=_alone(model, ids, REFERENCE_LOGITS))


def _reference_difference(folder: Path, graph: PagedGraph) -> float:
    import numpy as np

    with np.load(folder / REFERENCE) as stored:
        ids, expected = stored["ids"].tolist(), stored["logits"]
    pool = BlockPool(len(ids))
    table = BlockTable(pool)
    table.reserve(len(ids))
    graph.allocate(pool.count)
    return largest_difference(graph([Piece(ids, 0, table.blocks, len(expected))]), expected)
