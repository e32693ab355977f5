"""The check at load: chooses the first layout whose outputs equal those of running alone.

Rows from a few tokens to the model's maximum length run alone and then together in each candidate layout, and so do
rows with special tokens in unusual places. A layout is chosen only if all outputs agree; the packed layout must also
have been called for attention in every layer.
"""

import logging
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from deployments.contract.task import Row
from deployments.errors import LoadError
from deployments.layouts.task import ForwardTask
from deployments.layouts.text import Layout, Packed
from deployments.numerics import largest_difference

logger = logging.getLogger(__name__)

ROWS_OF_EACH = 2  # per example; two suffice where a long text has twenty windows
WORDS = (1, 3, 9, 24, 70, 200, 1000)
SHORT = 128  # tokens; with a single longer row, checking the trace takes little time beside checking the layouts
TOLERANCES = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}


class TraceChoice(NamedTuple):
    """Whether forwards run from a traced graph; if that was tried and failed, why."""

    taken: bool
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class LayoutChoice:
    """The layout that serves a model, and why; shown in the log and in the model's info."""

    layout: str
    difference: float
    refused: dict[str, str]
    trace: TraceChoice


class Reference:
    """Rows of all lengths and what the model answers to them alone, to compare layouts with.

    Args:
        task: loaded.

    Raises:
        LoadError: the model fails on an example.
    """

    def __init__(self, task: ForwardTask[Any, Any]) -> None:
        self._task = task
        alone = task.layouts()[-1]
        prepared = [task.preprocess(example) for words in WORDS for example in task.sized_examples(words)]
        self.rows = [(row, item.params) for item in prepared for row in item.rows[:ROWS_OF_EACH]]
        try:
            self._outputs = _run(task, alone, self.rows)
        except Exception as error:
            raise LoadError(f"the model fails on an example ({type(error).__name__}: {error})") from error
        self._unusual = _unusual_rows(task, alone, self.rows)

    def difference(self, layout: Layout) -> float:
        """The largest difference of a layout's outputs; of ordinary rows alone if that is too large already.

        Raises:
            Exception: of any kind, if the model fails in this layout.
        """
        difference = _difference(self._task, layout, self.rows, self._outputs)
        if self._unusual and difference <= tolerance(self._task):
            others, expected = zip(*self._unusual, strict=True)
            difference = max(difference, _difference(self._task, layout, others, expected, splits=True))
        return difference


def choose_layout(task: ForwardTask[Any, Any], layout_name: str = "auto") -> LayoutChoice:
    """Set `task.layout` to the first layout that passes the check.

    Raises:
        LoadError: the requested layout, or every layout, fails the check.
    """
    reference = Reference(task)
    layout, difference, refused = first_layout(task, reference, layout_name)
    layout.attach()
    task.layout = layout
    logger.info("layout %s: outputs differ from running alone by at most %.1e", layout.name, difference)
    return LayoutChoice(layout.name, difference, refused, trace_calls(task, reference.rows))


def first_layout(
    task: ForwardTask[Any, Any], reference: Reference, layout_name: str = "auto"
) -> tuple[Layout, float, dict[str, str]]:
    """The first layout that passes the check, its difference, and why others were refused.

    Raises:
        LoadError: the requested layout, or every layout, fails the check.
    """
    refused: dict[str, str] = {}
    for layout in task.layouts():
        if layout_name not in ("auto", layout.name):
            continue
        try:
            difference = reference.difference(layout)
        except Exception as error:  # a model may fail in any way in a layout; the next one is tried
            reason = f"{type(error).__name__}: {error}"
        else:
            if difference <= tolerance(task):
                return layout, difference, refused
            reason = f"outputs differ from running alone by {difference:.1e}"
        refused[layout.name] = reason
        logger.info("layout %s fails the check: %s", layout.name, reason)
    reasons = (
        "; ".join(f"{name}: {reason}" for name, reason in refused.items()) or f"there is no layout {layout_name!r}"
    )
    raise LoadError(f"no layout gives the same outputs as running alone ({reasons})")


def tolerance(task: ForwardTask[Any, Any]) -> float:
    """Largest difference that counts as equal, by dtype."""
    return TOLERANCES.get(task.checkpoint.dtype, 1e-4)


def _batches(layout: Layout, rows: Sequence[tuple[Row, Hashable]]) -> Iterator[list[int]]:
    """The layout's trial batches, as row indices. As in the queue, only rows of equal params share a batch."""
    for check_batches in layout.check_batches(len(rows)):
        batches: dict[Hashable, list[int]] = {}
        for row in check_batches:
            batches.setdefault(rows[row][1], []).append(row)
        yield from batches.values()


def _unusual_rows(
    task: ForwardTask[Any, Any], alone: Layout, rows: Sequence[tuple[Row, Hashable]]
) -> list[tuple[tuple[Row, Hashable], Any]]:
    """Rows with special tokens in unusual places and what the model answers to them alone, beside two ordinary rows.

    Rows on which the model fails even alone are left out.
    """
    row, params = rows[len(rows) // 2]
    unusual = task.unusual_rows(row)
    if not unusual:
        return []
    kept = []
    for candidate in (next(other for other, its in rows if its == params), row, *unusual):
        try:
            (output,) = _run(task, alone, [(candidate, params)])
        except Exception as error:
            logger.info("the model fails on an unusual row (%s: %s)", type(error).__name__, error)
            continue
        if task.is_usable(output):
            kept.append(((candidate, params), output))
    return kept


def _difference(
    task: ForwardTask[Any, Any],
    layout: Layout,
    rows: Sequence[tuple[Row, Hashable]],
    reference: Sequence[Any],
    *,
    splits: bool = False,
) -> float:
    """The largest difference of the layout's outputs from the reference. `splits`: see `_run`."""
    order = [row for batch in _batches(layout, rows) for row in batch]
    return largest_difference(_run(task, layout, rows, splits=splits), [reference[row] for row in order])


def _run(
    task: ForwardTask[Any, Any], layout: Layout, rows: Sequence[tuple[Row, Hashable]], *, splits: bool = False
) -> list[Any]:
    """The outputs of the layout's trial batches, concatenated.

    Args:
        splits: a batch on which the model fails is run in halves, as the batcher does. (BART's classifier fails if its
            rows have different numbers of end tokens.)
    """
    layout.attach()
    task.layout = layout
    try:
        outputs: list[Any] = []
        for batch in _batches(layout, rows):
            outputs += _forward(task, [rows[i][0] for i in batch], rows[batch[0]][1], splits=splits)
            if isinstance(layout, Packed):
                _require_every_layer(layout)
        return outputs
    finally:
        layout.detach()
        task.layout = None


def _forward(task: ForwardTask[Any, Any], batch: list[Row], params: Hashable, *, splits: bool) -> list[Any]:
    try:
        return list(task.forward(batch, params))
    except Exception:
        if not splits or len(batch) == 1:
            raise
    middle = len(batch) // 2
    halves = (batch[:middle], batch[middle:])
    return [output for half in halves for output in _forward(task, half, params, splits=True)]


def _require_every_layer(layout: Packed) -> None:
    layers = getattr(layout.model.config, "num_hidden_layers", None)
    if layers is not None and layout.attention_calls < layers:
        raise LoadError(f"its attention was called {layout.attention_calls} times in {layers} layers")


def trace_calls(task: ForwardTask[Any, Any], rows: Sequence[tuple[Row, Hashable]]) -> TraceChoice:
    """Trace the forward of `task.layout` if it is packed and the graph gives bit-identical outputs.

    Padded rows cannot be traced: transformers builds their mask from Python values that depend on the inputs. The graph
    is traced from a batch of several rows and compared with the model on that batch, on single rows, on other batches
    and on the longest row, which reveals a constant that should have been a shape.

    Args:
        task: a task whose layout has been chosen.
        rows: examples of all lengths, with their params.
    """
    layout = task.layout
    if not isinstance(layout, Packed) or not task.checkpoint.config.batching.record:
        return TraceChoice(False)
    batches = _traced_batches(rows)
    expected = [task.forward(*batch) for batch in batches]
    try:
        with layout.calls.tracing():
            difference = largest_difference([task.forward(*batch) for batch in batches], expected)
    except Exception as error:  # tracing fails in many ways; the model runs untraced
        refused = f"{type(error).__name__}: {error}".splitlines()[0]
    else:
        if not difference:
            logger.info("forwards run from a traced graph, with the model's own outputs")
            return TraceChoice(True)
        refused = f"outputs differ from the model's by {difference:.1e}"
    layout.calls.forget()
    logger.info("forwards are not traced: %s", refused)
    return TraceChoice(False, refused)


def _traced_batches(rows: Sequence[tuple[Row, Hashable]]) -> list[tuple[list[Row], Hashable]]:
    """Batches of rows with equal params."""
    groups: dict[Hashable, list[Row]] = {}
    for row, params in rows:
        groups.setdefault(params, []).append(row)
    batches = []
    for params, group in groups.items():
        group.sort(key=lambda row: row.length)
        short = [row for row in group if row.length <= SHORT] or group[:2]
        batches += [(batch, params) for batch in (short, short[:1], short[:1] * 2, short[-3:], group[-1:])]
    return batches
