"""Choose and build the engine of a task: a batcher for tasks of one forward, a generation scheduler for generating
tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployments.batching.batcher import Batcher
from deployments.batching.forward_time import ForwardTime
from deployments.batching.job import Job
from deployments.batching.scheduler import Scheduler
from deployments.batching.selection import ArrivalOrder
from deployments.contract.task import Task
from deployments.errors import LoadError
from deployments.generation.in_flight.check import GenerationMode, choose_mode, static
from deployments.generation.in_flight.engine import Engine, EngineConfig, Requeue
from deployments.generation.in_flight.model_runner import torch_engine
from deployments.generation.output import SequenceOutput
from deployments.generation.paged import PagedEngine, unsupported_by_paged
from deployments.generation.paged_attention.blocks import BLOCK
from deployments.generation.paged_attention.graph import PagedGraph
from deployments.generation.paged_attention.runner import PagedRunner
from deployments.generation.request import Completion, GenerationRequest
from deployments.generation.sampling.params import sampling_params, unsupported_options
from deployments.generation.sampling.sampler import Sampler
from deployments.generation.scheduler import GenerationEngine, GenerationScheduler
from deployments.generation.static_batch import batch_key, generate_static_batch
from deployments.generation.task import GeneratingTask
from deployments.layouts.check import choose_layout
from deployments.layouts.task import ForwardTask
from deployments.memory import free_memory, is_out_of_memory
from deployments.telemetry.observer import Observer

CHECK_WORDS = (3, 30, 11, 60)  # lengths of the prompts of the check at load; short and long ones alternate
CACHE_BYTES_CPU = 512 * 1024 * 1024
CACHE_SHARE_GPU = 0.5  # of the memory that is free once the model is loaded
MAX_ROWS = {"cpu": 16, "cuda": 64}


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """A scheduler with its model thread, and how it runs the model.

    Attributes:
        scheduler: not started yet.
        description: for the answer to `GET /tasks/<task>`.
    """

    scheduler: Scheduler
    description: Mapping[str, Any]


def engine_for(task: Task[Any, Any], name: str, observer: Observer) -> BuiltEngine:
    """The engine for a task's model, chosen by the checks at load.

    Args:
        task: loaded.
        name: of the model thread.
        observer: notified of batches.

    Raises:
        LoadError: the model does not run as configured.
    """
    if isinstance(task, GeneratingTask):
        return _generation_engine(task, name, observer)
    assert isinstance(task, ForwardTask)
    return _forward_engine(task, name, observer)


def _forward_engine(task: ForwardTask[Any, Any], name: str, observer: Observer) -> BuiltEngine:
    batching = task.checkpoint.config.batching
    chosen = choose_layout(task, batching.layout) if task.layout is None else None
    layout = task.layout
    assert layout is not None
    selection = layout.selection(batching, task.checkpoint.device)
    batcher = Batcher(
        task.forward,
        selection,
        padding=layout.padding,
        is_usable=task.is_usable,
        is_out_of_memory=is_out_of_memory,
        observer=observer,
        forward_time=ForwardTime(),
        name=name,
    )
    description = {"layout": layout.name, "max_cost": selection.max_cost, "max_rows": selection.max_rows}
    if chosen is not None:
        description |= {
            "layout_difference": chosen.difference,
            "layouts_refused": chosen.refused,
            "recorded": chosen.trace.taken,
            "recording_refused": chosen.trace.refused,
        }
    return BuiltEngine(batcher, description)


def _generation_engine(task: GeneratingTask[Any, Any], name: str, observer: Observer) -> BuiltEngine:
    if task.graph is not None:
        return _paged_engine(task, task.graph, name, observer)
    mode = _mode(task)
    config = _engine_config(task, mode.slot_bytes)
    engine = _in_flight_engine(task, mode, config, name, observer)
    details = {"difference": mode.difference} if mode.family else {"reason": mode.reason} if mode.reason else {}
    return _built_engine(task, engine, mode.name, config, details, name, observer)


def _paged_engine(task: GeneratingTask[Any, Any], graph: PagedGraph, name: str, observer: Observer) -> BuiltEngine:
    """Of an exported decoder, which its build has checked."""
    config = _engine_config(task, graph.slot_bytes)
    settings = task.checkpoint.config.generation

    def runner(requeue: Requeue) -> PagedRunner:
        return PagedRunner(
            graph,
            Sampler(task.checkpoint.device),
            config,
            requeue=requeue,
            observer=observer,
            max_positions=task.max_positions,
            shares_prefixes=settings.prefix_cache,
            prompt_lookup=settings.prompt_lookup,
        )

    engine = Engine(runner, config, observer=observer, name=name)
    details = {
        "block_tokens": BLOCK,
        "prefix_cache": settings.prefix_cache,
        "prompt_lookup": settings.prompt_lookup,
    }
    return _built_engine(task, engine, "in-flight", config, details, name, observer)


def _built_engine(
    task: GeneratingTask[Any, Any],
    engine: GenerationEngine | None,
    mode: str,
    config: EngineConfig,
    details: Mapping[str, Any],
    name: str,
    observer: Observer,
) -> BuiltEngine:
    limits = {"max_rows": config.max_rows, "max_cache_tokens": config.max_cache_tokens}
    scheduler = _generation_scheduler(task, engine, config, name, observer)
    return BuiltEngine(scheduler, {"generation": {"mode": mode, **limits, **details}})


def _engine_config(task: GeneratingTask[Any, Any], slot_bytes: int) -> EngineConfig:
    settings, device = task.checkpoint.config.generation, task.checkpoint.device
    return EngineConfig(
        max_cache_tokens=settings.max_cache_tokens or _max_cache_tokens(task, slot_bytes),
        max_rows=settings.max_rows or MAX_ROWS[device],
        max_prefill_tokens=settings.max_prefill_tokens,
        pad_token_id=task.pad_token_id,
    )


def _generation_scheduler(
    task: GeneratingTask[Any, Any],
    engine: GenerationEngine | None,
    config: EngineConfig,
    name: str,
    observer: Observer,
) -> GenerationScheduler:
    def output(
        request: GenerationRequest, row: int, job: Job, previous_segments: Sequence[Completion]
    ) -> SequenceOutput:
        return SequenceOutput(
            request,
            row,
            task.tokenizer,
            is_continuation=task.is_continuation,
            on_token=job.on_token,
            previous_segments=previous_segments,
        )

    return GenerationScheduler(
        engine,
        lambda forward: Batcher(
            forward,
            ArrivalOrder(config.max_cache_tokens, config.max_rows),
            is_out_of_memory=is_out_of_memory,
            observer=observer,
            name=f"{name}-static",
        ),
        lambda requests, outputs, is_cancelled: generate_static_batch(
            task.torch_model, task.generate, requests, outputs, task.pad_token_id, is_cancelled
        ),
        batch_key,
        output,
        config.max_cache_tokens,
    )


def _in_flight_engine(
    task: GeneratingTask[Any, Any], mode: GenerationMode, config: EngineConfig, name: str, observer: Observer
) -> GenerationEngine | None:
    if mode.name == "paged":
        return PagedEngine(
            task.model,
            task.defaults,
            max_cache_tokens=config.max_cache_tokens,
            max_prefill_tokens=config.max_prefill_tokens,
            name=name,
        )
    if mode.family is None:
        return None
    return torch_engine(task.model, mode.family, Sampler(task.checkpoint.device), config, observer=observer, name=name)


def _mode(task: GeneratingTask[Any, Any]) -> GenerationMode:
    """How the model generates: as configured, else in flight if it passes the check at load."""
    try:
        prepared = [task.preprocess(task.sized_example(words)) for words in CHECK_WORDS]
    except Exception as error:
        raise LoadError(f"the model does not preprocess its own example ({type(error).__name__}: {error})") from error
    engine = task.checkpoint.config.generation.engine
    if engine == "static":
        return static("generation.engine is static")
    if engine == "paged":
        _require_pageable(task)
        return GenerationMode("paged", "", 0.0, None)
    if others := [name for name in unsupported_options(task.defaults) if name != "num_beams"]:
        return static(f"generation_config.json sets options that only `generate` has: {', '.join(others)}")
    return choose_mode(task.model, [item.rows[0].prompt for item in prepared], task.pad_token_id)


def _require_pageable(task: GeneratingTask[Any, Any]) -> None:
    name = task.checkpoint.config.model
    if task.model.config.is_encoder_decoder or task.medium != "text":
        raise LoadError(f"{name}: generation.engine: paged supports only text models without an encoder")
    if names := unsupported_by_paged(sampling_params(task.defaults, {"max_new_tokens": 1})):
        raise LoadError(f"{name}: generation_config.json sets {', '.join(names)}, which generation.engine: paged lacks")


def _max_cache_tokens(task: GeneratingTask[Any, Any], slot_bytes: int) -> int:
    """KV slots that fit into the memory for the cache."""
    size = CACHE_BYTES_CPU
    if task.checkpoint.device == "cuda":
        size = int(CACHE_SHARE_GPU * free_memory(task.checkpoint.config.resources.num_gpus))
    return max(256, size // slot_bytes) if slot_bytes else 1 << 16
