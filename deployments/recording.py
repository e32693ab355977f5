"""A model's call as a recorded graph of torch operations, which runs without Python.

In the forward of a small encoder Python takes a fifth of the time for one short text and a fourteenth for a batch of
fifteen. Worse, after each of some hundred operations the model thread asks for Python's lock again, which the threads
that read and write hold, and they for it. `torch.jit.trace` writes down the operations of one call; run from there they
are the same ones with the same numbers, and the lock is not held.

A graph knows the shapes of its inputs only as variables, but a Python value that the model made of a shape or a number
stays what it was. torch warns wherever that happens; a call that warns is not recorded, and the check at load
(`recording_check`) compares graph and model. TorchScript is deprecated, and its successors need a compiler at run time
(`torch.compile`) or keep Python (`torch.export`): where it is gone, models simply run as they are.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

Kind = tuple[Any, ...]


class NotRecordable(Exception):
    """A value that depends on the inputs would be a constant of the graph."""


class Beside(Protocol):
    """Holds what a layout lays down for the model to read in a call, beside its inputs."""

    beside: "Tensor | None"


class Calls:
    """Calls a model, from a recording where there is one.

    Args:
        model: a transformers model in eval mode.
        beside: what else a call of it reads.
    """

    def __init__(self, model: Any, beside: Sequence[Beside] = ()) -> None:
        self._model = model
        self._beside = beside
        self._recordings: dict[Kind, _Recording] = {}
        self._is_recording = False

    def __call__(self, inputs: Mapping[str, "Tensor"]) -> Any:
        """The model's output."""
        if not self._recordings and not self._is_recording:
            return self._model(**inputs)
        kind = (*inputs, *(one.beside is None for one in self._beside))
        if self._is_recording and kind not in self._recordings:
            self._recordings[kind] = _Recording(self._model, self._beside, inputs)
        recording = self._recordings.get(kind)
        if recording is None:
            return self._model(**inputs)
        try:
            return recording(inputs)
        except RuntimeError:
            if self._is_recording:
                raise
            return self._model(**inputs)  # nobody says better than the model what is wrong

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Within: calls of a kind that has no recording yet are recorded.

        Raises:
            Exception: of many kinds, where a call cannot be recorded.
        """
        self._is_recording = True
        try:
            yield
        finally:
            self._is_recording = False

    def forget(self) -> None:
        """Call the model itself again."""
        self._recordings.clear()


class _Recording:
    """One kind of call: which inputs there are, and what lies beside them."""

    def __init__(self, model: Any, beside: Sequence[Beside], inputs: Mapping[str, "Tensor"]) -> None:
        import torch

        jit: Any = torch.jit
        self._beside = [one for one in beside if one.beside is not None]
        self._outputs: list[str] = []
        self._output_class: Any = None

        def call(*tensors: "Tensor") -> tuple["Tensor", ...]:
            count = len(self._beside)
            with _set("beside", self._beside, tensors[:count]):
                output = model(**dict(zip(inputs, tensors[count:], strict=True)))
            self._output_class, self._outputs = type(output), list(output)
            return tuple(output.values())

        # A forward has no use for `padding_idx`, but would check it against a size, and be warned of.
        embeddings = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
        without = _set("padding_idx", embeddings, [None] * len(embeddings))
        with warnings.catch_warnings(record=True) as told, without:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", jit.TracerWarning)
            self._graph: Any = jit.trace(_traceable(model, call), self._tensors(inputs), check_trace=False)
        if told:
            file = "/".join(Path(told[0].filename).parts[-2:])
            raise NotRecordable(f"{file}:{told[0].lineno}: {told[0].message}")

    def __call__(self, inputs: Mapping[str, "Tensor"]) -> Any:
        import torch

        jit: Any = torch.jit
        # The operations as they were recorded: none fused, none left out.
        with jit.optimized_execution(False):
            values = self._graph(*self._tensors(inputs))
        return self._output_class(**dict(zip(self._outputs, values, strict=True)))

    def _tensors(self, inputs: Mapping[str, "Tensor"]) -> tuple[Any, ...]:
        return (*(one.beside for one in self._beside), *inputs.values())


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
