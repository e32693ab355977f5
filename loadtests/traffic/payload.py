"""Request bodies, made from the example of a task by changing its size. No task is named here."""

import base64
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deployments.contract.task import Task
from loadtests.traffic.log_normal import LogNormal
from loadtests.traffic.media_samples import MediaSamples
from loadtests.traffic.texts import prose

JSON = "application/json"
NEW_TOKENS = LogNormal(median=12, spread=0.6, min=4, max=30)  # the smallest embedded decoder has 32 positions

Kind = type[Task[Any, Any]]


@dataclass(frozen=True, slots=True)
class Payload:
    """The body of a request.

    Attributes:
        content: the bytes.
        content_type: their content type.
        items: number of inputs.
        streams: whether it asks for a stream.
    """

    content: bytes
    content_type: str = JSON
    items: int = 1
    streams: bool = False


def text(kind: Kind, rng: random.Random, words: LogNormal) -> Payload:
    """One text."""
    return _json({**kind.example, **_length(kind, rng), "inputs": text_input(kind, rng, words)})


def stream(kind: Kind, rng: random.Random, words: LogNormal) -> Payload:
    """One text, whose completion is streamed."""
    body = {**kind.example, **_length(kind, rng), "inputs": text_input(kind, rng, words), "stream": True}
    return Payload(json.dumps(body).encode(), streams=True)


def batch(kind: Kind, rng: random.Random, words: LogNormal, sizes: LogNormal) -> Payload:
    """A list of inputs in one request."""
    inputs = [text_input(kind, rng, words) for _ in range(sizes.count(rng))]
    return _json({**kind.example, **_length(kind, rng), "inputs": inputs}, len(inputs))


def media(kind: Kind, rng: random.Random, samples: MediaSamples) -> Payload:
    """A file as the body; as base64 in JSON if the example has parameters, which a file cannot carry."""
    content, content_type = samples.choose(kind.medium, rng)
    if length := _length(kind, rng):
        return _json({**kind.example, **length, "inputs": base64.b64encode(content).decode()})
    return Payload(content, content_type)


def text_input(kind: Kind, rng: random.Random, words: LogNormal) -> Any:
    """The example's inputs, with the longest text extended by at least one word.

    The example stays in front: a mask token, a question or its answer must not be lost.
    """
    inputs = kind.example["inputs"]
    longest = max(_texts(inputs), key=len)
    missing = words.count(rng) - sum(len(each.split()) for each in _texts(inputs))
    return _replaced(inputs, longest, f"{longest} {prose(rng, max(1, missing))}")


def _length(kind: Kind, rng: random.Random) -> dict[str, Any]:
    """Parameters with a random `max_new_tokens`; empty if the example has none."""
    parameters = kind.example.get("parameters", {})
    if "max_new_tokens" not in parameters:
        return {}
    return {"parameters": {**parameters, "max_new_tokens": NEW_TOKENS.count(rng)}}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, str):
        return new if value == old else value
    if isinstance(value, dict):
        return {key: _replaced(inner, old, new) for key, inner in value.items()}
    return [_replaced(inner, old, new) for inner in value]


def _json(body: dict[str, Any], items: int = 1) -> Payload:
    return Payload(json.dumps(body).encode(), items=items)
