"""The kinds of callers: who asks what, and how often beside the others."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from deployments.generating_task import GeneratingTask
from loadtests.service.served_models import Served
from loadtests.traffic import payload
from loadtests.traffic.log_normal import LogNormal
from loadtests.traffic.media_samples import MediaSamples
from loadtests.traffic.payload import Kind, Payload
from loadtests.traffic.texts import WORDS

LONG_WORDS = LogNormal(median=250, spread=0.5, least=120, most=900)
CHAT_WORDS = LogNormal(median=30, spread=0.7, least=4, most=150)
BATCH_SIZES = LogNormal(median=6, spread=0.6, least=2, most=32)

SAMPLES = MediaSamples()


@dataclass(frozen=True, slots=True)
class Caller:
    """One kind.

    Attributes:
        name: as in the report and in the objectives.
        weight: of its users beside the others'.
        asks: which tasks it asks.
        make: a request of one of them.
    """

    name: str
    weight: int
    asks: Callable[[Kind], bool]
    make: Callable[[Kind, random.Random], Payload] = field(repr=False)

    def of(self, served: Sequence[Served]) -> list[Served]:
        """The models that it asks, each as often as the others."""
        return [each for each in served if self.asks(each.kind)]


def _reads_text(kind: Kind) -> bool:
    return kind.medium == "text"


def _writes(kind: Kind) -> bool:
    return issubclass(kind, GeneratingTask)


def _reads_only_text(kind: Kind) -> bool:
    return _reads_text(kind) and not _writes(kind)


SHORT_TEXT = Caller("short text", 8, _reads_text, lambda kind, draw: payload.text(kind, draw, WORDS))
LONG_TEXT = Caller("long text", 3, _reads_only_text, lambda kind, draw: payload.text(kind, draw, LONG_WORDS))
MEDIA = Caller("media", 4, lambda kind: not _reads_text(kind), lambda kind, draw: payload.media(kind, draw, SAMPLES))
CHAT_STREAM = Caller(
    "chat stream",
    3,
    lambda kind: _reads_text(kind) and _writes(kind),
    lambda kind, draw: payload.stream(kind, draw, CHAT_WORDS),
)
CLIENT_BATCH = Caller(
    "client batch", 2, _reads_only_text, lambda kind, draw: payload.batch(kind, draw, WORDS, BATCH_SIZES)
)

CALLERS = (SHORT_TEXT, LONG_TEXT, MEDIA, CHAT_STREAM, CLIENT_BATCH)
