"""Exports the forwards of a layout: a torch model to an OpenVINO graph. Needs torch.

There are two ways. OpenVINO's own frontend traces one forward, which takes seconds; a value that depends on the inputs
would become a constant of the graph, about which torch warns, and then the trace counts as failed. transformers'
exporter (`torch.export`) takes some five times as long, and knows each model's traps. Neither is trusted: the check in
`build` compares their outputs with the model's.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.errors import LoadError
from deployments.layouts.packing import GatheredPositions
from deployments.layouts.text import Layout, Packed
from deployments.openvino.graph import import_openvino
from deployments.openvino.layouts import HEAD
from deployments.openvino.rectangle import PACK, RectangularAttention

if TYPE_CHECKING:
    import torch

Export = Callable[["torch.nn.Module", Mapping[str, Any], bool], Any]


def trace(module: "torch.nn.Module", inputs: Mapping[str, Any], one_shape: bool) -> Any:
    """The graph of a module, traced with example inputs; its shapes are variables in any case.

    Raises:
        LoadError: a value that depends on the inputs would become a constant.
        Exception: of many kinds, if the module cannot be traced.
    """
    import torch

    openvino = import_openvino()
    names = tuple(inputs)
    jit: Any = torch.jit
    with warnings.catch_warnings(record=True) as warned, torch.no_grad(), without_padding_index(module):
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", jit.TracerWarning)
        graph = openvino.convert_model(positional(module, names), example_input=_tensors(inputs, tuple))
    if warned:
        file = "/".join(Path(warned[0].filename).parts[-2:])
        raise LoadError(f"not traceable: {file}:{warned[0].lineno}")
    if len(graph.inputs) != len(names):
        raise LoadError("not traceable: an input has no effect")
    for port, name in zip(graph.inputs, names, strict=True):
        port.get_tensor().set_names({name})
    return graph


def export(module: "torch.nn.Module", inputs: Mapping[str, Any], one_shape: bool) -> Any:
    """The graph of a module, by transformers' exporter.

    With `one_shape`, only the number of rows may change. Of a model with windows (Swin), variable sizes would take the
    exporter many minutes.

    Raises:
        Exception: of many kinds, if the module cannot be exported.
    """
    import logging

    import torch

    import_openvino()
    from transformers.exporters.exporter_openvino import OpenVINOConfig, OpenVINOExporter

    logging.getLogger("torch").setLevel(logging.ERROR)  # it tells of each dimension that stays fixed
    shapes = {name: {0: torch.export.Dim.AUTO} for name in inputs} if one_shape else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what torch itself does in an old way
        config = OpenVINOConfig(dynamic=True, dynamic_shapes=shapes)
        exported = OpenVINOExporter().export(module, _tensors(inputs, dict), config)
    return exported.program


WAYS: Sequence[Export] = (trace, export)


def positional(module: "torch.nn.Module", names: Sequence[str]) -> "torch.nn.Module":
    """A module that takes the named inputs of another one in this order, and returns its outputs as a tuple."""
    import torch

    class Positional(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(self.module(**dict(zip(names, tensors, strict=True))).values())

    return Positional().eval()


@contextmanager
def exportable(layout: Layout, outputs: Sequence[str]) -> Iterator["torch.nn.Module"]:
    """The forward of a layout as a module: of `graph_inputs`, by name, to the named outputs."""
    import torch

    model = layout.model
    with ExitStack() as installed:
        head = GatheredPositions(model)
        installed.callback(head.remove)
        attention = RectangularAttention(model) if isinstance(layout, Packed) else None
        if attention is not None:
            installed.callback(attention.remove)

        class Forward(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
                positions = inputs.pop(HEAD, None)
                pack = {name: inputs.pop(name) for name in PACK if name in inputs}
                with ExitStack() as placed:
                    if positions is not None:
                        placed.enter_context(head.at(positions))
                    if attention is not None:
                        placed.enter_context(attention.of(pack))
                    output = self.model(**inputs)
                return {name: output[name] for name in outputs}

        yield Forward().eval()


@contextmanager
def without_padding_index(module: "torch.nn.Module") -> Iterator[None]:
    """A forward does not use it, but compares it with a size, which makes the tracer warn."""
    import torch

    embeddings = [each for each in module.modules() if isinstance(each, torch.nn.Embedding)]
    before = [each.padding_idx for each in embeddings]
    for each in embeddings:
        each.padding_idx = None
    try:
        yield
    finally:
        for each, index in zip(embeddings, before, strict=True):
            each.padding_idx = index


def _tensors(inputs: Mapping[str, Any], kind: type[Any]) -> Any:
    import torch

    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    return tensors if kind is dict else tuple(tensors.values())
