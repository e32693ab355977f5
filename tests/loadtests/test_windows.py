"""The number of users over time for each shape, here and in locust."""

import json
import subprocess
import sys

import pytest

from loadtests.plan import Plan
from loadtests.processes.environment import ROOT
from loadtests.windows import RATE_PER_USER, Window, rate_at, users_at, users_for

STEPS = Plan(rates=(2, 4), seconds=10, pause_s=6)
SPIKE = Plan(shape="spike", rates=(2, 100), peak=30, seconds=5)
SOAK = Plan(shape="soak", rates=(3,), seconds=60)
PLANS = {"steps": STEPS, "spike": SPIKE, "soak": SOAK}


def rates(plan: Plan, *moments: float) -> list[float | None]:
    return [rate_at(plan.windows, at) for at in moments]


def test_steps_rise_with_pauses_between_them() -> None:
    assert rates(STEPS, 0, 9.9, 10, 15.9, 16, 25.9, 26, 100) == [2, 2, 0, 0, 4, 4, None, None]
    assert [window.name for window in STEPS.windows] == ["2/s", "4/s"]
    assert (STEPS.total_s, STEPS.requests) == (26, 60)


def test_a_spike_has_the_low_rate_before_and_after_it() -> None:
    assert rates(SPIKE, 0, 4.9, 5, 9.9, 10, 19.9, 20) == [2, 2, 30, 30, 2, 2, None]


def test_a_soak_is_one_rate_in_equal_parts() -> None:
    assert rates(SOAK, 0, 30, 59.9, 60) == [3, 3, 3, None]
    assert {window.seconds for window in SOAK.windows} == {10}
    assert SOAK.windows[0] == Window("part 1", 0, 10, 3)


def test_users_send_the_rate_together() -> None:
    assert users_for(5) == round(5 / RATE_PER_USER)
    assert users_for(0.001) == 1
    assert users_at(STEPS.windows, 12) == 0
    assert users_at(STEPS.windows, 26) is None


def test_each_shape_has_a_default_length() -> None:
    assert Plan().total_s == pytest.approx(157)
    assert Plan(shape="soak").total_s == 180


def test_a_plan_travels_through_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOMODEL_LOADTEST_PLAN", raising=False)
    assert Plan.from_environment() == Plan()
    for name, value in SPIKE.to_environment().items():
        monkeypatch.setenv(name, value)
    assert Plan.from_environment() == SPIKE
    monkeypatch.setenv("AUTOMODEL_LOADTEST_PLAN", '{"rate": 3}')
    with pytest.raises(ValueError, match="no rate; known are"):
        Plan.from_environment()


LOCUST_TICKS = """
import json
from loadtests.locustfile import PlanShape
ticks = []
shape = PlanShape()
shape.get_current_user_count = lambda: 0
for at in range(70):
    shape.get_run_time = lambda at=at: at
    ticks.append(shape.tick())
print(json.dumps(ticks))
"""


@pytest.mark.parametrize("name", PLANS)
def test_locust_has_these_users(name: str) -> None:
    plan = PLANS[name]
    command = [sys.executable, "-c", LOCUST_TICKS]
    ran = subprocess.run(command, cwd=ROOT, env=plan.to_environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    users = [tick and tick[0] for tick in json.loads(ran.stdout)]
    assert users == [users_at(plan.windows, at) for at in range(70)]


def test_gevent_and_locust_stay_in_locusts_process() -> None:
    """Locust patches the standard library when it is imported."""
    folder = ROOT / "loadtests"
    paths = [path.relative_to(ROOT) for path in folder.rglob("*.py") if path.parent.name != "users"]
    names = [path.with_suffix("").as_posix().replace("/", ".") for path in paths if path.name != "locustfile.py"]
    modules = [name for name in names if ".servers." not in name and not name.endswith("__init__")]
    code = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        "assert not {'gevent', 'locust', 'torch'} & set(sys.modules), set(sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
