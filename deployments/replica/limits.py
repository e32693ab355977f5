"""ReplicaLimits: the limits of one replica."""

from dataclasses import dataclass

from deployments.media.limits import MediaLimits


@dataclass(frozen=True, slots=True)
class ReplicaLimits:
    """Limits of the queue and of one request.

    Attributes:
        max_waiting: requests in progress; more are answered with 429.
        max_input_tokens: of one request, over all its inputs; more are answered with 413.
        media: of decoded images and audio.
    """

    max_waiting: int = 512
    max_input_tokens: int = 262_144
    media: MediaLimits = MediaLimits()
