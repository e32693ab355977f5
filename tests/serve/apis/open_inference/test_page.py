"""docs/open-inference.md names the tensors and the codes that there are."""

import re
from pathlib import Path

from deployments.registry import KINDS, TASKS
from serve.apis.open_inference.grpc_service import _CODES
from serve.apis.open_inference.outputs import VECTOR, _objects
from serve.apis.open_inference.request import input_tensors

PAGE = (Path(__file__).parents[4] / "docs/open-inference.md").read_text(encoding="utf-8")


def names(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


def test_the_tensors_of_every_task_are_documented() -> None:
    rows = re.findall(r"^\| ([\w-]+) \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)
    documented = {task: (names(inputs), names(outputs)) for task, inputs, outputs in rows if task in TASKS}
    assert list(documented) == list(TASKS)
    for task, (inputs, outputs) in documented.items():
        kinds = [kind for kind in KINDS if kind.name == task]
        assert inputs == {name for kind in kinds for name in input_tensors(kind).sources}
        found = _objects(kinds[0])
        assert outputs == (set(found[0][1]) if found else {VECTOR})


def test_the_codes_are_documented() -> None:
    rows = re.findall(r"^\| ([\d, ]+)[^|]*\| `([A-Z_]+)`", PAGE, re.MULTILINE)
    documented = {int(status): code for statuses, code in rows for status in re.findall(r"\d+", statuses)}
    assert documented == {status: code.name for status, code in _CODES.items()}
