"""Timed text as subtitles: SubRip and WebVTT."""

from collections.abc import Sequence
from typing import Any


def srt(chunks: Sequence[dict[str, Any]]) -> str:
    """SubRip: numbered, with a comma before the milliseconds."""
    lines = [
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text}\n"
        for number, (start, end, text) in enumerate(_timed(chunks), 1)
    ]
    return "\n".join(lines)


def vtt(chunks: Sequence[dict[str, Any]]) -> str:
    """WebVTT."""
    lines = [f"{_clock(start, '.')} --> {_clock(end, '.')}\n{text}\n" for start, end, text in _timed(chunks)]
    return "\n".join(["WEBVTT\n", *lines])


def _timed(chunks: Sequence[dict[str, Any]]) -> list[tuple[float, float, str]]:
    """(start, end, text). A chunk without an end, because the recording ends within it, ends at its start."""
    timed = []
    for chunk in chunks:
        start, end = chunk["timestamp"]
        timed.append((start or 0.0, start or 0.0 if end is None else end, chunk["text"].strip()))
    return timed


def _clock(seconds: float, separator: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{separator}{rest % 1000:03}"
