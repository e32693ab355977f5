"""MediaLimits: what a picture or a recording may decode to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MediaLimits:
    """Largest picture in pixels, longest recording in seconds."""

    max_pixels: int = 50_000_000
    max_audio_seconds: float = 1800.0
