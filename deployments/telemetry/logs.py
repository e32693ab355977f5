"""Log lines: a JSON object each, or text. In a replica they go to its own log file, which Ray rotates."""

import logging
import threading
import time
import traceback
from importlib.metadata import version
from typing import Any

import orjson

from deployments.config import Logging

logger = logging.getLogger(__name__)

FIELDS = "fields"  # attribute of a record with the fields of its line besides the message
LOGGERS = ("deployments", "serve")
REQUESTS = "serve.requests"  # the logger of request lines
_RAY = "ray.serve"
_WHOLE = "is_whole"  # attribute of a record whose message is already formatted
_BUFFER_S = 0.25
_TEXT_FIELDS = ("total_ms", "queue_ms", "forward_ms", "batch_rows", "refused", "request_id")  # in a text line


def warn_unless_read_in(package: str, release: str) -> None:
    """Log a warning if a package's private names were read in another release than the installed one.

    Args:
        package: its distribution's name.
        release: major and minor version, such as "5.23".
    """
    installed = version(package)
    if installed.split(".")[:2] != release.split("."):
        logger.warning("%s %s is installed; its private names were read in %s", package, installed, release)


class _Lines(logging.Formatter):
    """Appends the stack traces of errors."""

    def formatException(self, ei: Any) -> str:  # logging's name
        # Not with `print`, as in logging: Ray Serve replaces it in a replica by one that writes tuples.
        return "".join(traceback.format_exception(*ei)).rstrip("\n")


class JsonLines(_Lines):
    """`{"time", "level", "logger", "message", …}`."""

    def format(self, record: logging.LogRecord) -> str:
        if hasattr(record, _WHOLE):
            return record.getMessage()
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


class TextLines(_Lines):
    """Time, level, logger, message, and the main fields."""

    def format(self, record: logging.LogRecord) -> str:
        if hasattr(record, _WHOLE):
            return record.getMessage()
        fields: dict[str, Any] = getattr(record, FIELDS, {})
        suffix = "".join(f" {name}={fields[name]}" for name in _TEXT_FIELDS if name in fields)
        model = f"{fields['model']}: " if "model" in fields else ""
        line = f"{_time(record)} {record.levelname:7} {record.name}: {model}{record.getMessage()}{suffix}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class BufferedLines(logging.Handler):
    """Buffers lines and writes many as one: writing each by itself costs five times as much.

    Args:
        target: the logger to write to.
    """

    def __init__(self, target: logging.Logger) -> None:
        super().__init__()
        self._target = target
        self._lines: list[str] = []
        self._has_lines = threading.Event()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))
        if not self._has_lines.is_set():
            self._has_lines.set()

    def flush(self) -> None:
        self._has_lines.clear()
        lines, self._lines = self._lines, []
        if lines:
            whole = {
                "name": REQUESTS,
                "levelno": logging.INFO,
                "levelname": "INFO",
                "msg": "\n".join(lines),
                _WHOLE: True,
            }
            self._target.handle(logging.makeLogRecord(whole))

    def _run(self) -> None:
        while self._has_lines.wait():
            time.sleep(_BUFFER_S)
            self.flush()


def log_through_ray(settings: Logging) -> None:
    """Write this project's log lines to the log file of this Serve replica, in the configured format."""
    formatter = TextLines() if settings.format == "text" else JsonLines()
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.parent = logging.getLogger(_RAY)  # whose handlers Ray may replace at any time
        logger.setLevel(level)
    buffered = BufferedLines(logging.getLogger(_RAY))
    buffered.setFormatter(formatter)
    requests = logging.getLogger(REQUESTS)
    requests.handlers, requests.propagate = [buffered], False
    for handler in logging.getLogger(_RAY).handlers:
        getattr(handler, "target", handler).setFormatter(formatter)  # Ray buffers its file handler


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"
