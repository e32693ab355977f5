"""One request as a caller sends it, and how a task's example becomes one of another size. No task is named here."""

import base64
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deployments.task import Task
from loadtests.traffic.log_normal import LogNormal
from loadtests.traffic.media_samples import MediaSamples
from loadtests.traffic.texts import prose

JSON = "application/json"
NEW_TOKENS = LogNormal(median=12, spread=0.6, least=4, most=30)  # to write: the smallest embedded decoder counts 32

Kind = type[Task[Any, Any]]


@dataclass(frozen=True, slots=True)
class Payload:
    """A request's body.

    Attributes:
        content: the bytes.
        content_type: what they are.
        items: how many inputs it has.
        streams: whether the answer is to come as a stream.
    """

    content: bytes
    content_type: str = JSON
    items: int = 1
    streams: bool = False


def text(kind: Kind, draw: random.Random, words: LogNormal) -> Payload:
    """The task's example with so many words."""
    return _json({**kind.example, **_length(kind, draw), "inputs": text_input(kind, draw, words)})


def stream(kind: Kind, draw: random.Random, words: LogNormal) -> Payload:
    """The same, answered token by token."""
    whole = {**kind.example, **_length(kind, draw), "inputs": text_input(kind, draw, words), "stream": True}
    return Payload(json.dumps(whole).encode(), streams=True)


def batch(kind: Kind, draw: random.Random, words: LogNormal, sizes: LogNormal) -> Payload:
    """A list of inputs in one request."""
    inputs = [text_input(kind, draw, words) for _ in range(sizes.count(draw))]
    return _json({**kind.example, **_length(kind, draw), "inputs": inputs}, len(inputs))


def media(kind: Kind, draw: random.Random, samples: MediaSamples) -> Payload:
    """A file as the body itself; as base64 where the example has parameters, which such a body could not carry."""
    content, content_type = samples.draw(kind.medium, draw)
    if length := _length(kind, draw):
        return _json({**kind.example, **length, "inputs": base64.b64encode(content).decode()})
    return Payload(content, content_type)


def text_input(kind: Kind, draw: random.Random, words: LogNormal) -> Any:
    """The example's inputs, the longest of whose texts goes on until there are so many words, and by one at least.

    What the example says stays in front: a mask, a question or its answer must not be lost.
    """
    inputs = kind.example["inputs"]
    longest = max(_texts(inputs), key=len)
    missing = words.count(draw) - sum(len(each.split()) for each in _texts(inputs))
    return _replaced(inputs, longest, f"{longest} {prose(draw, max(1, missing))}")


def _length(kind: Kind, draw: random.Random) -> dict[str, Any]:
    """How much is to be written; nothing for a task whose example does not say."""
    parameters = kind.example.get("parameters", {})
    if "max_new_tokens" not in parameters:
        return {}
    return {"parameters": {**parameters, "max_new_tokens": NEW_TOKENS.count(draw)}}


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
