"""ReplicaLimits: what one replica takes."""

from dataclasses import dataclass

from deployments.media.limits import MediaLimits


@dataclass(frozen=True, slots=True)
class ReplicaLimits:
    """How much may wait, and how much one request may bring.

    Attributes:
        max_waiting: requests under way beyond which it answers 429.
        max_input_tokens: of one request, over all its inputs; beyond them 413.
        media: what pictures and recordings may decode to.
    """

    max_waiting: int = 512
    max_input_tokens: int = 262_144
    media: MediaLimits = MediaLimits()
