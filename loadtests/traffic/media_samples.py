"""Files that callers send: those of examples/media, which are real, and made ones of all sizes and lengths."""

import random
from pathlib import Path
from tempfile import TemporaryDirectory

from deployments.task import Medium
from loadtests.processes.environment import ROOT
from loadtests.traffic.media_files import pictures, recordings

MADE = 24  # of each medium
CONTENT_TYPES = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".wav": "audio/wav",
}

Sample = tuple[bytes, str]


class MediaSamples:
    """Pictures and recordings, made when first asked for, which takes a second or two."""

    def __init__(self) -> None:
        self._samples: dict[Medium, list[Sample]] = {}

    def draw(self, medium: Medium, draw: random.Random) -> Sample:
        """A file's bytes and its content type."""
        if medium not in self._samples:
            self._samples[medium] = samples(medium)
        return draw.choice(self._samples[medium])


def samples(medium: Medium) -> list[Sample]:
    """All there are of a medium."""
    real = [path for path in sorted((ROOT / "examples" / "media").iterdir()) if path.suffix in CONTENT_TYPES]
    with TemporaryDirectory(prefix="loadtest-") as folder:
        make = {"image": pictures, "audio": recordings}[medium]
        made = make(Path(folder), MADE)
        read = [(path.read_bytes(), CONTENT_TYPES[path.suffix]) for path in (*real, *made)]
    return [sample for sample in read if sample[1].startswith(f"{medium}/")]
