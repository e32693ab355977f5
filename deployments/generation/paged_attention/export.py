"""Exports a decoder in torch to an OpenVINO graph with paged attention. Needs torch.

transformers calls the attention function that a model is set to. Here it is a module that OpenVINO's frontend turns
into one operation: the keys and values of the new tokens are written to the cache's blocks, and every token attends to
those of its own sequence. No mask, padding or cache of transformers is in the graph.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.errors import LoadError
from deployments.generation.paged_attention.blocks import BLOCK
from deployments.generation.paged_attention.graph import KEYS, TABLES, TOKENS, VALUES
from deployments.generation.transformers_internals import layer_kinds
from deployments.openvino.export import without_padding_index
from deployments.openvino.graph import import_openvino
from deployments.openvino.internals import paged_attention

if TYPE_CHECKING:
    import torch

IMPLEMENTATION = "automodel_paged"
LAYER_KINDS = {"full_attention", "sliding_attention"}
# Arguments of attention functions that change nothing here, or of which `_Attention` knows the meaning.
_KNOWN = {"sliding_window", "position_ids", "use_cache", "output_attentions", "cache_position", "is_causal"}


def export(model: "torch.nn.Module") -> Any:
    """The graph of a decoder: `TOKENS`, `TABLES` and the caches of each layer to logits `[sampled, vocabulary]`.

    Raises:
        LoadError: its attention cannot be paged, or it cannot be traced; says why.
        Exception: of many kinds, if it cannot be traced.
    """
    import torch

    require_exportable(model)
    attention = _Attention(model)
    attention.install()
    try:
        with torch.no_grad():
            _forward(model)(*_tokens())  # finds the layers
        return _trace(model, attention)
    finally:
        attention.remove()


def require_exportable(model: Any) -> None:
    """Refuse a model of which its configuration and its forward tell that it cannot be exported.

    Raises:
        LoadError: why not.
    """
    import inspect

    if kinds := set(layer_kinds(model.config)) - LAYER_KINDS:
        raise LoadError(f"its layers are of another kind: {', '.join(sorted(kinds))}")
    if "position_ids" not in inspect.signature(model.forward).parameters:
        raise LoadError("it takes no positions")


class _Attention:
    """The attention function of a model while it is exported."""

    def __init__(self, model: Any) -> None:
        import torch

        self._model, self._before = model, model.config._attn_implementation
        self._kinds = layer_kinds(model.config)
        self.layers = torch.nn.ModuleList()
        self.calls = 0
        self.tables: Sequence[torch.Tensor] = ()
        self.caches: Sequence[torch.Tensor] = ()

    def install(self) -> None:
        from transformers import AttentionInterface
        from transformers.masking_utils import AttentionMaskInterface

        AttentionInterface.register(IMPLEMENTATION, self)
        AttentionMaskInterface.register(IMPLEMENTATION, lambda *args, **kwargs: None)
        self._model.set_attn_implementation(IMPLEMENTATION)

    def remove(self) -> None:
        from transformers import AttentionInterface

        self._model.set_attn_implementation(self._before)
        AttentionInterface.register(IMPLEMENTATION, _not_installed)  # the registry would keep the model in memory

    def __call__(
        self,
        module: Any,
        query: "torch.Tensor",
        key: "torch.Tensor",
        value: "torch.Tensor",
        attention_mask: Any,
        scaling: float | None = None,
        dropout: float = 0.0,
        **options: Any,
    ) -> "tuple[torch.Tensor, None]":
        """Attention with the interface that transformers expects; `[1, heads, tokens, size]` each."""
        if not self.caches:
            self.layers.append(self._layer(module, query, key, value, scaling, options))
            return value.new_zeros(1, query.shape[2], query.shape[1], value.shape[3]), None
        layer: Any = self.layers[self.calls]
        caches = self.caches[2 * self.calls : 2 * self.calls + 2]
        self.calls += 1
        attended = layer(_flat(query), _flat(key), _flat(value), *caches, *self.tables, layer.scaling, layer.window)
        return attended.reshape(1, -1, query.shape[1], value.shape[3]), None

    def _layer(
        self,
        module: Any,
        query: "torch.Tensor",
        key: "torch.Tensor",
        value: "torch.Tensor",
        scaling: float | None,
        options: Mapping[str, Any],
    ) -> "torch.nn.Module":
        unknown = sorted(name for name, value in options.items() if value is not None and name not in _KNOWN)
        if unknown:
            raise LoadError(f"its attention has {', '.join(unknown)}")
        if getattr(module, "is_causal", True) is False:
            raise LoadError("its attention looks ahead")
        window = options.get("sliding_window")
        slides = self._kinds[len(self.layers)] == "sliding_attention"
        if slides and window is None:
            raise LoadError("the window of a layer is not told to its attention")
        return _layer(query, key, value, scaling, window)


def _not_installed(*args: Any, **kwargs: Any) -> Any:
    """Stands in the registry while nothing is exported.

    Raises:
        AssertionError: always.
    """
    raise AssertionError("paged attention is not installed")


def _layer(
    query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor", scaling: float | None, window: int | None
) -> "torch.nn.Module":
    """The attention of one layer, as a module: the frontend replaces modules."""
    import torch

    class PagedLayer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads, self.sizes = key.shape[1], (key.shape[3], value.shape[3])
            self.width = query.shape[1] * value.shape[3]
            self.scaling = torch.tensor(query.shape[3] ** -0.5 if scaling is None else scaling)
            self.window = torch.tensor(window or 0, dtype=torch.int32)

        def forward(self, query: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
            return query.new_zeros(query.shape[0], self.width)

    return PagedLayer()


def _trace(model: Any, attention: _Attention) -> Any:
    import torch

    if not attention.layers:
        raise LoadError("it does not use transformers' attention interface")
    openvino, jit = import_openvino(), torch.jit
    layers: Any = attention.layers
    sizes = [(layer.heads, *layer.sizes) for layer in layers]
    caches = [torch.zeros(1, heads, BLOCK, size) for heads, *of_both in sizes for size in of_both]
    forward = _forward(model, attention)
    with warnings.catch_warnings(record=True) as warned, torch.no_grad(), without_padding_index(model):
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", jit.TracerWarning)  # type: ignore[attr-defined]
        graph = openvino.convert_model(
            forward,
            example_input=(*_tokens(), *_tables(), *caches),
            extension=paged_attention([type(layer) for layer in layers]),
        )
    if warned:
        file = "/".join(Path(warned[0].filename).parts[-2:])
        raise LoadError(f"not traceable: {file}:{warned[0].lineno}")
    _name_inputs(graph, sizes)
    return graph


def _name_inputs(graph: Any, sizes: Sequence[tuple[int, int, int]]) -> None:
    """Name the inputs, and fix heads and sizes of the caches.

    Args:
        graph: traced.
        sizes: heads of keys and values, size of a key, and of a value, of each layer.
    """
    openvino = import_openvino()
    names = [*TOKENS, *TABLES]
    shapes = {}
    for layer, (heads, *of_both) in enumerate(sizes):
        for kind, size in zip((KEYS, VALUES), of_both, strict=True):
            names.append(f"{kind}.{layer}")
            shapes[names[-1]] = openvino.PartialShape([-1, heads, BLOCK, size])
    if len(graph.inputs) != len(names):
        raise LoadError("not traceable: an input has no effect")
    for port, name in zip(graph.inputs, names, strict=True):
        port.get_tensor().set_names({name})
        if name in shapes:
            port.get_node().set_partial_shape(shapes[name])
    graph.validate_nodes_and_infer_types()


def _forward(model: Any, attention: _Attention | None = None) -> "torch.nn.Module":
    """The forward of one flat list of tokens; the head is computed for the sampled ones alone."""
    import inspect

    import torch

    keeps = "logits_to_keep" in inspect.signature(model.forward).parameters

    class Forward(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.layers = attention.layers if attention is not None else None

        def forward(
            self, ids: torch.Tensor, positions: torch.Tensor, sampled: torch.Tensor, *rest: torch.Tensor
        ) -> torch.Tensor:
            if attention is not None:
                attention.calls = 0
                attention.tables, attention.caches = rest[: len(TABLES)], rest[len(TABLES) :]
            # All ones: without a mask, transformers looks for several texts in the positions.
            mask = torch.ones_like(ids)[None]
            keep = {"logits_to_keep": sampled} if keeps else {}
            logits = self.model(
                input_ids=ids[None], attention_mask=mask, position_ids=positions[None], use_cache=False, **keep
            ).logits[0]
            sampled_logits: torch.Tensor = logits if keeps else logits.index_select(0, sampled)
            return sampled_logits

    return Forward().eval()


def _flat(states: "torch.Tensor") -> "torch.Tensor":
    """`[1, heads, tokens, size]` to `[tokens, heads * size]`."""
    return states[0].transpose(0, 1).reshape(-1, states.shape[1] * states.shape[3])


def _tokens() -> "tuple[torch.Tensor, ...]":
    """Examples of `TOKENS`."""
    import torch

    return torch.arange(5, 17), torch.arange(12), torch.tensor([3, 11])


def _tables() -> "tuple[torch.Tensor, ...]":
    """Examples of `TABLES`."""
    import torch

    values: Sequence[Any] = ([0], [0, 12], [0], [0, 1], 12)
    return tuple(torch.tensor(value, dtype=torch.int32) for value in values)
