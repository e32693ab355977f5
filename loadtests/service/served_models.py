"""What a running service serves, as it says itself."""

import json
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.error import URLError

from deployments.registry import KINDS
from deployments.task import Task
from loadtests.service.api_key import authorization

TIMEOUT_S = 20.0


class NotServed(Exception):
    """No service there, or not with what is to be asked."""


@dataclass(frozen=True, slots=True)
class Served:
    """One model.

    Attributes:
        model: its name.
        path: where its replica answers, without the gateway.
        kind: its task's class.
    """

    model: str
    path: str
    kind: type[Task[Any, Any]]

    @property
    def task(self) -> str:
        return self.kind.name


def what_runs(url: str, models: Sequence[str] = ()) -> list[Served]:
    """The models of the service at a URL; only those named, where names are given.

    Raises:
        NotServed: nothing answers there, or it is another service, or a name is not served.
    """
    try:
        listed = _get(f"{url}/")["models"]
        served = [_served(url, entry) for entry in listed if not models or entry["model"] in models]
    except (URLError, OSError, ValueError, KeyError, TypeError) as error:
        raise NotServed(f"{url} does not answer as automodel-serve does: {error!r}") from None
    if unknown := set(models) - {each.model for each in served}:
        known = ", ".join(entry["model"] for entry in listed)
        raise NotServed(f"{url} does not serve {', '.join(sorted(unknown))}; it serves {known}")
    return served


def _served(url: str, entry: dict[str, Any]) -> Served:
    path = next(path for path in entry["paths"] if path.startswith("/tasks/"))
    kinds = [kind for kind in KINDS if kind.name == entry["task"]]
    if len(kinds) > 1:  # of one name, for several media
        example = _get(url + path)["example"]
        kinds = [kind for kind in kinds if kind.example == example]
    return Served(entry["model"], path, kinds[0])


def _get(url: str) -> Any:
    request = urllib.request.Request(url, headers=authorization())
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return json.load(answer)
