"""Runs a model's forward as a traced graph of torch operations, without Python.

In the forward of a small encoder, Python takes a fifth of the time for one short text and a fourteenth for a batch of
fifteen. Worse, after each of some hundred operations the model thread waits for the GIL, which the threads that
tokenize and serialize hold, and they wait for it. `torch.jit.trace` records the operations of one forward; run from the
graph they are the same operations on the same numbers, without the GIL.

In a graph the shapes of inputs are variables, but a Python value that the model computes from a shape or a number
becomes a constant. torch warns about each; a forward that warns is not traced, and the check at load
(`check.trace_calls`) compares graph and model. TorchScript is deprecated; its successors need a compiler at run time
(`torch.compile`) or keep Python (`torch.export`). Without TorchScript, models run untraced.
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
    """A value that depends on the inputs would become a constant of the graph."""


class CallState(Protocol):
    """An object with a tensor that a layout sets before each forward, beside the model's inputs."""

    state: "Tensor | None"


class TracedCalls:
    """Calls a model, from a traced graph if there is one.

    Args:
        model: a transformers model in eval mode.
        state: objects whose `state` a forward reads beside its inputs.
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
            output = self._model(**inputs)  # raises the better error if the inputs are at fault
            logger.warning("a traced forward failed where the model does not; the graph is no longer used: %s", error)
            self.forget()
            return output

    @contextmanager
    def tracing(self) -> Iterator[None]:
        """Within this context, calls run from a graph; inputs with new names are traced first.

        Raises:
            Exception: of many kinds, if a call cannot be traced.
        """
        self._is_tracing = True
        try:
            yield
        finally:
            self._is_tracing = False

    def forget(self) -> None:
        """Drop all graphs and call the model itself again."""
        self._graphs.clear()


class _Graph:
    """The graph for one set of input names."""

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

        # A forward does not use `padding_idx`, but compares it with a size, which makes the tracer warn.
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
        # The operations as traced: none fused, none omitted.
        with jit.optimized_execution(False):
            values = self._graph(*self._tensors(inputs))
        return self._output_class(**dict(zip(self._outputs, values, strict=True)))

    def _tensors(self, inputs: Mapping[str, "Tensor"]) -> tuple[Any, ...]:
        return (*(each.state for each in self._states), *inputs.values())


def _traceable(model: Any, call: Callable[..., Any]) -> Any:
    """Wrap `call` in a module that owns the model, so that the graph shares its weights."""
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
    """Within this context, the objects have these values as that attribute."""
    before = [getattr(each, attribute) for each in objects]
    for each, value in zip(objects, values, strict=True):
        setattr(each, attribute, value)
    try:
        yield
    finally:
        for each, value in zip(objects, before, strict=True):
            setattr(each, attribute, value)
