"""Runs of an engine of generation with sequences that come and go, and what each must have said. For both runners."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from deployments.generation.in_flight.engine import Engine
from deployments.generation.sequence import GenerationSequence
from tests.generation_models import alone, generating_model


def iterate(engine: Engine) -> bool:
    """One iteration; the cache never exceeds its budget."""
    has_more = engine.iterate()
    assert engine.kv_slots <= engine.max_cache_tokens
    return has_more


def run(engine: Engine, until: Callable[[], bool] = lambda: False) -> int:
    """Iterate to the end, or until something is so. Returns how often."""
    iterations = 0
    while iterate(engine) and not until():
        iterations += 1
        assert iterations < 5000
    return iterations


def come_and_go(engine: Engine, sequences: Sequence[GenerationSequence], random: Random) -> None:
    """Submit sequences one by one, and cancel some, between iterations."""
    waiting = list(sequences)
    while waiting or iterate(engine):
        if waiting and random.random() < 0.4:
            engine.submit(waiting.pop(0))
        running = [sequence for sequence in sequences if sequence.tokens and not sequence.is_settled]
        if running and random.random() < 0.04:
            engine.cancel(random.choice(running))
        if waiting:
            iterate(engine)
    assert engine.kv_slots == 0


def arrive_and_leave(
    engine: Engine, sequences: Sequence[GenerationSequence], arrivals: Sequence[int], leavings: Mapping[int, int]
) -> None:
    """Submit sequences with so many iterations between them; some stop after so many tokens, by their number."""
    for number, (sequence, pause) in enumerate(zip(sequences, arrivals, strict=True)):
        sequence.on_token = _stop_after(leavings.get(number))
        engine.submit(sequence)
        for _ in range(pause):
            iterate(engine)
    run(engine)
    assert engine.kv_slots == 0


def require_said_alone(name: str, sequences: Sequence[GenerationSequence]) -> None:
    """Every sequence has the tokens that `generate` gives it alone, up to where it was stopped or cancelled."""
    for sequence in sequences:
        emitted = alone(generating_model(name), sequence)
        assert sequence.finish in ("length", "stop", None)
        assert sequence.tokens == (emitted if sequence.finish == "length" else emitted[: len(sequence.tokens)])


def _stop_after(tokens: int | None) -> Any:
    return lambda sequence, token, logprob, top: len(sequence.tokens) == tokens
