"""Timed text as subtitles: SubRip and WebVTT."""

from collections.abc import Sequence
from html import escape
from typing import Any

SHORTEST_S = 0.1  # of a cue; the model may give a segment no length


def srt(segments: Sequence[dict[str, Any]]) -> str:
    """SubRip: numbered, with a comma before the milliseconds.

    Args:
        segments: in order, each with `start` and `end` in seconds and a `text`.
    """
    lines = [
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text}\n"
        for number, (start, end, text) in enumerate(_cues(segments), 1)
    ]
    return "\n".join(lines)


def vtt(segments: Sequence[dict[str, Any]]) -> str:
    """WebVTT, of the same segments."""
    lines = [
        f"{_clock(start, '.')} --> {_clock(end, '.')}\n{escape(text, quote=False)}\n"
        for start, end, text in _cues(segments)
    ]
    return "\n".join(["WEBVTT\n", *lines])


def _cues(segments: Sequence[dict[str, Any]]) -> list[tuple[float, float, str]]:
    """(start, end, text) of each cue: in order, of some length, with a text of one line."""
    cues: list[tuple[float, float, str]] = []
    for segment in segments:
        text = " ".join(segment["text"].split())
        if text:
            start = max(segment["start"], cues[-1][0] if cues else 0.0)
            cues.append((start, max(segment["end"], start + SHORTEST_S), text))
    return cues


def _clock(seconds: float, separator: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{separator}{rest % 1000:03}"
