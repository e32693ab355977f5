"""Has the calls of packed texts recorded, where the recording gives what the model gives, to the last bit.

Only of packed ones: transformers makes a mask for padded rows, by way of Python values that depend on them.
"""

import logging
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from deployments.contract.task import Row
from deployments.layouts.task import ForwardTask
from deployments.layouts.text import Packed
from deployments.numerics import largest_difference

logger = logging.getLogger(__name__)

SHORT = 128  # tokens; with one longer row the trials take little beside those of the layouts


class Recording(NamedTuple):
    """Whether calls run from a recording; if not, why, where it was tried."""

    taken: bool
    refused: str | None = None


def record(task: ForwardTask[Any, Any], rows: Sequence[tuple[Row, Hashable]]) -> Recording:
    """Record the calls of `task.layout` if it packs; `rows` are examples of all lengths, with their params.

    A graph is written down from several rows together, and compared with the model on these, on one, on others and on
    the longest: a number that should have been a shape shows.
    """
    layout = task.layout
    if not isinstance(layout, Packed) or not task.checkpoint.config.batching.record:
        return Recording(False)
    trials = _trials(rows)
    plain = [task.forward(*trial) for trial in trials]
    try:
        with layout.calls.recording():
            difference = largest_difference([task.forward(*trial) for trial in trials], plain)
    except Exception as error:  # in any of many ways; the model runs as it is
        refused = f"{type(error).__name__}: {error}".splitlines()[0]
    else:
        if not difference:
            logger.info("calls are recorded, and differ in nothing from the model's")
            return Recording(True)
        refused = f"differs from the model's call by {difference:.1e}"
    layout.calls.forget()
    logger.info("calls are not recorded: %s", refused)
    return Recording(False, refused)


def _trials(rows: Sequence[tuple[Row, Hashable]]) -> list[tuple[list[Row], Hashable]]:
    """Batches of rows with equal params."""
    groups: dict[Hashable, list[Row]] = {}
    for row, params in rows:
        groups.setdefault(params, []).append(row)
    trials = []
    for params, group in groups.items():
        group.sort(key=lambda row: row.length)
        short = [row for row in group if row.length <= SHORT] or group[:2]
        batches = (short, short[:1], short[:1] * 2, short[-3:], group[-1:])
        trials += [(batch, params) for batch in batches]
    return trials
