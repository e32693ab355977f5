"""MediaLimits: maximum size of decoded media."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """Maximum pixels of an image and seconds of a recording."""

    max_pixels: int = 50_000_000
    max_audio_seconds: float = 1800.0
