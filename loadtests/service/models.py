"""The models of a running service, read from its index."""

import json
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.error import URLError

from deployments.contract.task import Task
from deployments.registry import KINDS
from loadtests.service.api_key import authorization

TIMEOUT_S = 20.0


class NotServed(Exception):
    """No such service at this URL, or it does not serve the models asked for."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model.

    Attributes:
        model: its name.
        path: its route on the replica, which bypasses the gateway.
        kind: the class of its task.
    """

    model: str
    path: str
    kind: type[Task[Any, Any]]

    @property
    def task(self) -> str:
        return self.kind.name


def served_models(url: str, names: Sequence[str] = ()) -> list[ServedModel]:
    """The models of the service at a URL.

    Args:
        url: of the service.
        names: which models; empty for all.

    Raises:
        NotServed: no automodel-serve answers there, or a name is not served.
    """
    try:
        listed = _get(f"{url}/")["models"]
        served = [_served(url, entry) for entry in listed if not names or entry["model"] in names]
    except (URLError, OSError, ValueError, KeyError, TypeError) as error:
        raise NotServed(f"{url} is not an automodel-serve service: {error!r}") from None
    if unknown := set(names) - {each.model for each in served}:
        known = ", ".join(entry["model"] for entry in listed)
        raise NotServed(f"{url} does not serve {', '.join(sorted(unknown))}; it serves {known}")
    return served


def _served(url: str, entry: dict[str, Any]) -> ServedModel:
    path = next(path for path in entry["paths"] if path.startswith("/tasks/"))
    kinds = [kind for kind in KINDS if kind.name == entry["task"]]
    if len(kinds) > 1:  # one name, several media
        example = _get(url + path)["example"]
        kinds = [kind for kind in kinds if kind.example == example]
    return ServedModel(entry["model"], path, kinds[0])


def _get(url: str) -> Any:
    request = urllib.request.Request(url, headers=authorization())
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        return json.load(response)
