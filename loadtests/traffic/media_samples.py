"""Images and recordings that callers send: the real ones of examples/media, and generated ones of all sizes."""

import random
from pathlib import Path
from tempfile import TemporaryDirectory

from deployments.checkpoints.files import Medium
from loadtests.processes.environment import ROOT
from loadtests.traffic.media_files import write_images, write_recordings

GENERATED = 24  # of each medium
CONTENT_TYPES = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".wav": "audio/wav",
}

Sample = tuple[bytes, str]


class MediaSamples:
    """Samples by medium. They are generated at the first use, which takes a second or two."""

    def __init__(self) -> None:
        self._samples: dict[Medium, list[Sample]] = {}

    def choose(self, medium: Medium, rng: random.Random) -> Sample:
        """The bytes of a file and its content type."""
        if medium not in self._samples:
            self._samples[medium] = media_samples(medium)
        return rng.choice(self._samples[medium])


def media_samples(medium: Medium) -> list[Sample]:
    """All samples of a medium."""
    real = [path for path in sorted((ROOT / "examples" / "media").iterdir()) if path.suffix in CONTENT_TYPES]
    with TemporaryDirectory(prefix="loadtest-") as folder:
        write = {"image": write_images, "audio": write_recordings}[medium]
        generated = write(Path(folder), GENERATED)
        samples = [(path.read_bytes(), CONTENT_TYPES[path.suffix]) for path in (*real, *generated)]
    return [sample for sample in samples if sample[1].startswith(f"{medium}/")]
