"""API keys: a file of hashes, read again when it changes.

    keys:
      - name: billing
        sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
        models: [minilm]            # default: all
        requests_per_minute: 600    # of each replica; default: no limit

Only the owner has the key itself: `automodel-serve key NAME` makes one and prints its entry for the file.
"""

import hashlib
import hmac
import logging
import secrets
import textwrap
import time
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError, field_validator

from deployments.config import Settings
from deployments.errors import LoadError

logger = logging.getLogger(__name__)

RELOAD_S = 1.0  # between two checks whether the file has changed
PREFIX = "sk-"  # which OpenAI's clients and secret scanners expect


class Key(Settings):
    """An entry of the file."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    models: tuple[str, ...] | None = None
    requests_per_minute: float | None = Field(default=None, gt=0)


class KeyList(Settings):
    """The file."""

    keys: tuple[Key, ...]

    @field_validator("keys")
    @classmethod
    def _unique_names(cls, keys: tuple[Key, ...]) -> tuple[Key, ...]:
        names = [key.name for key in keys]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"duplicate key names: {', '.join(twice)}")
        return keys


def digest(key: str) -> str:
    """The hash that the file holds. Keys are long and random, so an unsalted hash is enough."""
    return hashlib.sha256(key.encode()).hexdigest()


def new_key() -> str:
    """A new key of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def entry_of(name: str, key: str) -> str:
    """A key's entry in the file."""
    entry = yaml.safe_dump([{"name": name, "sha256": digest(key)}], sort_keys=False)
    return textwrap.indent(entry, "  ").rstrip()


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys in a file.

    Raises:
        LoadError: the file cannot be read or is invalid; the message names the place, and nothing of the content.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise LoadError(f"{path}: the API keys cannot be read ({type(error).__name__})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise LoadError(f"{path}{f':{mark.line + 1}' if mark else ''}: not YAML") from None
    try:
        return KeyList.model_validate(data).keys
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        places = [f"{'.'.join(map(str, problem['loc'])) or 'file'}: {problem['msg']}" for problem in problems]
        raise LoadError(f"{path}: {'; '.join(places)}") from None


def check_keys(path: str | None) -> None:
    """Check the file of API keys, if one is configured.

    Raises:
        LoadError: as `read_keys`.
    """
    if path is not None:
        read_keys(Path(path))


class KeyRing:
    """The keys of a file, reloaded when it changes.

    Args:
        path: of the file. If it becomes unreadable later, the keys stay as they were, and the error is logged.

    Raises:
        LoadError: as `read_keys`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys = read_keys(path)
        self._changed_at = path.stat().st_mtime_ns
        self._checked_at = time.monotonic()

    def find(self, presented: str) -> Key | None:
        """The key that was presented. Takes the same time for any key, so that timing reveals nothing."""
        self._refresh()
        given = digest(presented)
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.sha256, given):
                found = key
        return found

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._checked_at < RELOAD_S:
            return
        self._checked_at = now
        try:
            changed_at = self._path.stat().st_mtime_ns
            if changed_at != self._changed_at:
                self._keys, self._changed_at = read_keys(self._path), changed_at
        except (LoadError, OSError) as error:
            logger.error("the API keys were not reloaded: %s", error)


class RateLimiter:
    """A token bucket for each key: holds the requests of one minute, refilled steadily."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}  # by key: tokens left, and since when

    def wait(self, key: Key) -> float:
        """Seconds until this request is allowed; 0 if it is, which takes a token."""
        if key.requests_per_minute is None:
            return 0.0
        now = time.monotonic()
        left, at = self._buckets.get(key.name, (key.requests_per_minute, now))
        left = min(key.requests_per_minute, left + (now - at) * key.requests_per_minute / 60)
        if left < 1:
            self._buckets[key.name] = (left, now)
            return (1 - left) * 60 / key.requests_per_minute
        self._buckets[key.name] = (left - 1, now)
        return 0.0
