"""The shapes of `windows` as locust has them. Imported in locust's process only."""

from collections.abc import Sequence

from locust import LoadTestShape

from loadtests.plan import Plan
from loadtests.windows import Window, users_at

Tick = tuple[int, float]


class Stretches(LoadTestShape):
    """As many users as the windows want at each moment, all at once."""

    abstract = True
    windows: Sequence[Window] = ()

    def tick(self) -> Tick | None:
        users = users_at(self.windows, self.get_run_time())
        return None if users is None else (users, max(users, self.get_current_user_count(), 1))


class Steps(Stretches):
    """One rate after the other, with pauses."""

    windows = Plan(shape="steps").windows


class Spike(Stretches):
    """Calm, a peak, and calm again."""

    windows = Plan(shape="spike").windows


class Soak(Stretches):
    """One rate for long."""

    windows = Plan(shape="soak").windows


SHAPES: dict[str, type[Stretches]] = {"steps": Steps, "spike": Spike, "soak": Soak}
