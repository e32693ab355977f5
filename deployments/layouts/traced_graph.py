"""A model's call as a traced graph of torch operations, which runs without Python.

In the forward of a small encoder Python takes a fifth of the time for one short text and a fourteenth for a batch of
fifteen. Worse, after each of some hundred operations the model thread asks for Python's lock again, which the threads
that tokenize and serialize hold, and they for it. `torch.jit.trace` records the operations of one call; run from the
graph they are the same ones with the same numbers, and the lock is not held.

A graph knows the shapes of its inputs only as variables, but a Python value that the model made of a shape or a number
stays what it was. torch warns wherever that happens; a call that warns is not traced, and the check at load
(`check.trace_calls`) compares graph and model. TorchScript is deprecated; its successors need a compiler at run time
(`torch.compile`) or keep Python (`torch.export`): where it is gone, models simply run as they are.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)


class NotTraceable(Exception):
    """A value that depends on the inputs would be a constant of the graph."""


class CallState(Protocol):
    """Holds what a layout sets for every call of the model, beside its inputs."""

    state: "Tensor | None"


class TracedCalls:
    """Calls a model, from a traced graph where there is one.

    Args:
        model: a transformers model in eval mode.
        state: what else a call of it reads.
    """

    def __init__(self, model: Any, state: Sequence[CallState]) -> None:
        self._model = model
        self._states = state
        self._graphs: dict[tuple[str, ...], _Graph] = {}  # by the names of the inputs
        self._is_tracing = False

    def __call__(self, inputs: Mapping[str, "Tensor"]) -> Any:
        """The model's output."""
        names = tuple(inputs)
        if self._is_tracing:
            if names not in self._graphs:
                self._graphs[names] = _Graph(self._model, self._states, inputs)
            return self._graphs[names](inputs)
        graph = self._graphs.get(names)
        if graph is None:
            return self._model(**inputs)
        try:
            return graph(inputs)
        except Exception as error:
            output = self._model(**inputs)  # which says best what is wrong with the inputs
            logger.warning(
                "a traced call failed where the model's own does not; the graph is no longer used: %s", error
            )
            self.forget()
            return output

    @contextmanager
    def tracing(self) -> Iterator[None]:
        """Within this context, calls run from a graph, which is traced first for inputs with new names.

        Raises:
            Exception: of many kinds, where a call cannot be traced.
        """
        self._is_tracing = True
        try:
            yield
        finally:
            self._is_tracing = False

    def forget(self) -> None:
        """Call the model itself again."""
        self._graphs.clear()


class _Graph:
    """The calls with inputs of these names."""

    def __init__(self, model: Any, state: Sequence[CallState], inputs: Mapping[str, "Tensor"]) -> None:
        import torch

        jit: Any = torch.jit
        names = tuple(inputs)
        self._states = state
        self._outputs: list[str] = []
        self._output_class: Any = None

        def call(*tensors: "Tensor") -> tuple["Tensor", ...]:
            with _set("state", state, tensors[: len(state)]):
                output = model(**dict(zip(names, tensors[len(state) :], strict=True)))
            self._output_class, self._outputs = type(output), list(output)
            return tuple(output.values())

        # A forward has no use for `padding_idx`, but would check it against a size, and be warned of.
        embeddings = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
        without = _set("padding_idx", embeddings, [None] * len(embeddings))
        with warnings.catch_warnings(record=True) as warned, without:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", jit.TracerWarning)
            self._graph: Any = jit.trace(_traceable(model, call), self._tensors(inputs), check_trace=False)
        if warned:
            file = "/".join(Path(warned[0].filename).parts[-2:])
            raise NotTraceable(f"{file}:{warned[0].lineno}: {warned[0].message}")

    def __call__(self, inputs: Mapping[str, "Tensor"]) -> Any:
        import torch

        jit: Any = torch.jit
        # The operations as they were traced: none fused, none left out.
        with jit.optimized_execution(False):
            values = self._graph(*self._tensors(inputs))
        return self._output_class(**dict(zip(self._outputs, values, strict=True)))

    def _tensors(self, inputs: Mapping[str, "Tensor"]) -> tuple[Any, ...]:
        return (*(one.state for one in self._states), *inputs.values())


def _traceable(model: Any, call: Callable[..., Any]) -> Any:
    """A call of the model as a module that has the model's weights: a graph shares them only so."""
    import torch

    class Traceable(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: "Tensor") -> Any:
            return call(*tensors)

    return Traceable().eval()


@contextmanager
def _set(attribute: str, objects: Sequence[Any], values: Sequence[Any]) -> Iterator[None]:
    """Within: the objects have these values as that attribute."""
    before = [getattr(one, attribute) for one in objects]
    for one, value in zip(objects, values, strict=True):
        setattr(one, attribute, value)
    try:
        yield
    finally:
        for one, value in zip(objects, before, strict=True):
            setattr(one, attribute, value)
