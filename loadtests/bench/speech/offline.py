"""transformers' own long form: `generate` of the whole recording, in a process of its own, on one thread."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deployments.checkpoints.files import resolve
from deployments.media.audio import read_audio
from deployments.media.content import Media
from deployments.media.limits import MediaLimits
from loadtests.bench.speech.score import Segment
from loadtests.processes.child import Child, answer_calls
from loadtests.processes.environment import child_environment


class SpeechOffline:
    """Whisper in a process of its own."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def run(self, recording: Path) -> tuple[list[Segment], float]:
        """The segments of a WAV file, and the seconds that they took."""
        segments, seconds = self._child.call(str(recording))
        return [Segment(*segment) for segment in segments], seconds


@contextmanager
def speech_offline(model: str) -> Iterator[SpeechOffline]:
    """Load a model, named as in a configuration."""
    with Child(__name__, model, environment=child_environment(threads=1)) as child:
        yield SpeechOffline(child)


class _Runner:
    """The child's side."""

    def __init__(self, model: str) -> None:
        import torch
        from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor

        torch.set_num_threads(1)
        folder = resolve(model)
        self._model: Any = AutoModelForSpeechSeq2Seq.from_pretrained(folder, dtype="float32").eval()
        self._processor: Any = AutoProcessor.from_pretrained(folder)
        self._rate = self._processor.feature_extractor.sampling_rate

    def __call__(self, path: str) -> tuple[list[Segment], float]:
        import torch

        began = time.monotonic()
        samples = read_audio(Media(Path(path).read_bytes()), self._rate, MediaLimits())
        inputs = self._processor(
            samples,
            sampling_rate=self._rate,
            return_tensors="pt",
            return_attention_mask=True,
            truncation=False,
            padding="longest",
        )
        with torch.inference_mode():
            answer = self._model.generate(**inputs, return_timestamps=True, return_segments=True)
        segments = [
            Segment(float(each["start"]), float(each["end"]), self._text(each["tokens"].tolist()))
            for each in answer["segments"][0]
        ]
        return segments, time.monotonic() - began

    def _text(self, tokens: list[int]) -> str:
        text: str = self._processor.tokenizer.decode(tokens, skip_special_tokens=True)
        return text


if __name__ == "__main__":
    answer_calls(_Runner(sys.argv[1]))
