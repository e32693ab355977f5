"""Log lines: one JSON object each, or text for people. In a replica they go to its own log file, which Ray rotates."""

import logging
import time
from typing import Any

import orjson

from deployments.config import Logging

FIELDS = "fields"  # attribute of a record with what its line tells beside the message
OURS = ("deployments", "serve")
_RAY = "ray.serve"
_TEXT_FIELDS = ("total_ms", "queue_ms", "forward_ms", "batch_rows", "request_id")  # in a line for people


class JsonLines(logging.Formatter):
    """`{"time", "level", "logger", "message", …}`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class TextLines(logging.Formatter):
    """Time, level, message, and the most telling of its fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = getattr(record, FIELDS, {})
        told = "".join(f" {name}={fields[name]}" for name in _TEXT_FIELDS if name in fields)
        model = f"{fields['model']}: " if "model" in fields else ""
        line = f"{_time(record)} {record.levelname:7} {record.name}: {model}{record.getMessage()}{told}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def log_through_ray(settings: Logging) -> None:
    """Write what this project logs to the log file of the Serve replica that this process is, in the wanted format."""
    formatter = TextLines() if settings.format == "text" else JsonLines()
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    for name in OURS:
        ours = logging.getLogger(name)
        ours.parent = logging.getLogger(_RAY)  # whose handlers Ray may replace at any time
        ours.setLevel(level)
    for handler in logging.getLogger(_RAY).handlers:
        getattr(handler, "target", handler).setFormatter(formatter)  # Ray holds its file behind a buffer


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"
