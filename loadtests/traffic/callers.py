"""The kinds of callers: which tasks each calls, with which payloads, and its share of the traffic."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from deployments.generation.task import GeneratingTask
from loadtests.service.models import ServedModel
from loadtests.traffic import payload
from loadtests.traffic.log_normal import LogNormal
from loadtests.traffic.media_samples import MediaSamples
from loadtests.traffic.payload import Kind, Payload
from loadtests.traffic.texts import WORDS

LONG_WORDS = LogNormal(median=250, spread=0.5, min=120, max=900)
CHAT_WORDS = LogNormal(median=30, spread=0.7, min=4, max=150)
BATCH_SIZES = LogNormal(median=6, spread=0.6, min=2, max=32)

SAMPLES = MediaSamples()


@dataclass(frozen=True, slots=True)
class Caller:
    """One kind of caller.

    Attributes:
        name: as in the report and in the objectives.
        weight: its share of the traffic, relative to the other kinds.
        accepts: whether it calls a task.
        payload: a request to such a task.
    """

    name: str
    weight: int
    accepts: Callable[[Kind], bool]
    payload: Callable[[Kind, random.Random], Payload] = field(repr=False)

    def accepted(self, served: Sequence[ServedModel]) -> list[ServedModel]:
        """The models that it calls, all of them equally often."""
        return [each for each in served if self.accepts(each.kind)]


def _reads_text(kind: Kind) -> bool:
    return kind.medium == "text"


def _generates(kind: Kind) -> bool:
    return _reads_text(kind) and issubclass(kind, GeneratingTask)


def _encodes(kind: Kind) -> bool:
    return _reads_text(kind) and not _generates(kind)


SHORT_TEXT = Caller("short text", 8, _reads_text, lambda kind, rng: payload.text(kind, rng, WORDS))
LONG_TEXT = Caller("long text", 3, _encodes, lambda kind, rng: payload.text(kind, rng, LONG_WORDS))
MEDIA = Caller("media", 4, lambda kind: not _reads_text(kind), lambda kind, rng: payload.media(kind, rng, SAMPLES))
CHAT_STREAM = Caller("chat stream", 3, _generates, lambda kind, rng: payload.stream(kind, rng, CHAT_WORDS))
CLIENT_BATCH = Caller("client batch", 2, _encodes, lambda kind, rng: payload.batch(kind, rng, WORDS, BATCH_SIZES))

CALLERS = (SHORT_TEXT, LONG_TEXT, MEDIA, CHAT_STREAM, CLIENT_BATCH)
