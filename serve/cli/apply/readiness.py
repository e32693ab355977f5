"""How far a change is: from what Serve says of the applications, and what their replicas say while they load."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from deployments.replica.stages import ModelStage
from serve.cli.apply.changes import Change, Kind
from serve.cluster.states import ModelState

NO_ROOM_S = 30.0  # a node may still have to answer for what it had before, or come


@dataclass(frozen=True, slots=True)
class ApplicationStatus:
    """An application as Serve sees it.

    Attributes:
        status: Serve's word, such as "RUNNING" or "DEPLOYING".
        message: why it is so, where it is not well.
        replicas: the state of each by its id.
    """

    status: str
    message: str
    replicas: Mapping[str, str]

    @property
    def running(self) -> set[str]:
        return {name for name, state in self.replicas.items() if state == "RUNNING"}


class ChangeReader:
    """Reads how far some changes are, again and again. Make one before the changes begin.

    Args:
        changes: those that are made.
        look: how Serve sees all applications.
        stage: what a model's replicas said last.
        obstacle: why a replica of an application's model is not placed; empty where there is room.
        timeout_s: after this a change that is not done has failed.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        changes: Sequence[Change],
        *,
        statuses: Callable[[], Mapping[str, ApplicationStatus]],
        stage: Callable[[str], ModelStage | None],
        placement_obstacle: Callable[[Change], str],
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changes = changes
        self._statuses = statuses
        self._stage = stage
        self._obstacle = placement_obstacle
        self._timeout_s = timeout_s
        self._clock = clock
        self._began = clock()
        seen = statuses()
        self._replaced = {c.name: seen[c.name].running if c.name in seen else set() for c in changes}
        self._said = {change.name: stage(change.name) for change in changes}
        self._no_room_since: dict[str, float] = {}

    def read(self) -> dict[str, ModelState]:
        """The state of each change. Asks Serve's controller: milliseconds."""
        seen = self._statuses()
        return {
            change.name: self._patient(change, self._state(change, seen.get(change.name))) for change in self._changes
        }

    def _state(self, change: Change, seen: ApplicationStatus | None) -> ModelState:
        if change.kind is Kind.REMOVED:
            return ModelState("gone" if seen is None else "leaving", "", 0)
        if seen is None:
            return ModelState("waiting", "", 0)
        stage = self._stage(change.name)
        news = None if stage == self._said[change.name] else stage
        if news is not None and news.stage == "failed":
            return ModelState("failed", news.detail, 0)
        if seen.status in ("DEPLOY_FAILED", "UNHEALTHY"):
            return ModelState("failed", _last_line(seen.message), 0)
        replaced = self._replaced[change.name] if change.kind is Kind.UPGRADED else set()
        if seen.status == "RUNNING" and not seen.running & replaced:
            return ModelState("ready" if seen.running else "idle", "", len(seen.running))
        if seen.running - replaced:
            return ModelState(_between(seen), "", 0)
        if news is None:
            return ModelState("waiting", self._obstacle(change), 0)
        # "ready" is said by a replica that Serve has not taken up yet.
        return ModelState("warming" if news.stage == "ready" else news.stage, news.detail, 0)

    def _patient(self, change: Change, state: ModelState) -> ModelState:
        """The state, which is a failure where it lasts too long."""
        now = self._clock()
        if state.state != "waiting" or not state.detail:
            self._no_room_since.pop(change.name, None)
        elif now - self._no_room_since.setdefault(change.name, now) > NO_ROOM_S:
            return ModelState("failed", state.detail, 0)
        if not state.is_ready and state.state != "failed" and now - self._began > self._timeout_s:
            reason = f": {state.detail}" if state.detail else ""
            return ModelState("failed", f"not done after {self._timeout_s:g} s, still {state.state}{reason}", 0)
        return state


def _between(seen: ApplicationStatus) -> str:
    """What an application does some replicas of which answer as they shall."""
    states = seen.replicas.values()
    return "warming" if "STARTING" in states else "leaving" if "STOPPING" in states else "changing"


def _last_line(message: str) -> str:
    """Of a stack trace that Ray passes on, what was raised."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1] if lines else "Serve does not say why"
