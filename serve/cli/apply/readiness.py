"""The progress of changes, from Serve's status of the applications and the stages that their replicas report."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from deployments.replica.stages import ModelStage
from serve.cli.apply.changes import Change, Kind
from serve.cluster.states import ModelState

NO_ROOM_S = 30.0  # until a missing node is a failure: old replicas may still have to finish, or a node to come


@dataclass(frozen=True, slots=True)
class ApplicationStatus:
    """Serve's status of an application.

    Attributes:
        status: such as "RUNNING" or "DEPLOYING".
        message: the reason, if it is unhealthy.
        replicas: the state of each replica, by its id.
    """

    status: str
    message: str
    replicas: Mapping[str, str]

    @property
    def running(self) -> set[str]:
        return {name for name, state in self.replicas.items() if state == "RUNNING"}


class ChangeReader:
    """Reads the progress of changes, as often as needed. Must be created before the changes begin.

    Args:
        changes: to follow.
        statuses: returns Serve's status of all applications.
        stage: returns the latest stage that a model's replicas reported.
        obstacle: returns why a replica is not placed; empty if there is room.
        timeout_s: until a change that is not done has failed.
        clock: a monotonic clock.
    """

    def __init__(
        self,
        changes: Sequence[Change],
        *,
        statuses: Callable[[], Mapping[str, ApplicationStatus]],
        stage: Callable[[str], ModelStage | None],
        obstacle: Callable[[Change], str],
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changes = changes
        self._statuses = statuses
        self._stage = stage
        self._obstacle = obstacle
        self._timeout_s = timeout_s
        self._clock = clock
        self._began = clock()
        before = statuses()
        self._replaced = {c.name: before[c.name].running if c.name in before else set() for c in changes}
        self._stages_before = {change.name: stage(change.name) for change in changes}
        self._no_room_since: dict[str, float] = {}

    def read(self) -> dict[str, ModelState]:
        """The state of each change. Calls Serve's controller: milliseconds."""
        statuses = self._statuses()
        return {
            change.name: self._with_timeouts(change, self._state(change, statuses.get(change.name)))
            for change in self._changes
        }

    def _state(self, change: Change, app: ApplicationStatus | None) -> ModelState:
        if change.kind is Kind.REMOVED:
            return ModelState("gone" if app is None else "leaving", "", 0)
        if app is None:
            return ModelState("waiting", "", 0)
        latest = self._stage(change.name)
        stage = None if latest == self._stages_before[change.name] else latest
        if stage is not None and stage.stage == "failed":
            return ModelState("failed", stage.detail, 0)
        if app.status in ("DEPLOY_FAILED", "UNHEALTHY"):
            return ModelState("failed", _last_line(app.message), 0)
        replaced = self._replaced[change.name] if change.kind is Kind.UPGRADED else set()
        if app.status == "RUNNING" and not app.running & replaced:
            return ModelState("ready" if app.running else "idle", "", len(app.running))
        if app.running - replaced:
            return ModelState(_transition(app), "", 0)
        if stage is None:
            return ModelState("waiting", self._obstacle(change), 0)
        # A replica reports "ready" before Serve counts it.
        return ModelState("warming" if stage.stage == "ready" else stage.stage, stage.detail, 0)

    def _with_timeouts(self, change: Change, state: ModelState) -> ModelState:
        """The state, or a failure if it has lasted too long."""
        now = self._clock()
        if state.state != "waiting" or not state.detail:
            self._no_room_since.pop(change.name, None)
        elif now - self._no_room_since.setdefault(change.name, now) > NO_ROOM_S:
            return ModelState("failed", state.detail, 0)
        if not state.is_ready and state.state != "failed" and now - self._began > self._timeout_s:
            reason = f": {state.detail}" if state.detail else ""
            return ModelState("failed", f"not done after {self._timeout_s:g} s, still {state.state}{reason}", 0)
        return state


def _transition(app: ApplicationStatus) -> str:
    """The state of an application some of whose new replicas are running."""
    states = app.replicas.values()
    return "warming" if "STARTING" in states else "leaving" if "STOPPING" in states else "changing"


def _last_line(message: str) -> str:
    """The exception at the end of a stack trace that Ray passes on."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1] if lines else "Serve gives no reason"
