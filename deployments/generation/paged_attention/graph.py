"""PagedGraph: a decoder exported with paged attention, and its key-value cache.

One call reads prompts and single tokens of any number of sequences in one flat list, without padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.generation.paged_attention.blocks import BLOCK
from deployments.openvino.graph import compile_graph, import_openvino
from deployments.openvino.internals import name_heads, read_paged

TOKENS = ("input_ids", "position_ids", "sampled")
TABLES = ("past_lens", "subsequence_begins", "block_indices", "block_indices_begins", "max_context_len")
KEYS, VALUES = "key_cache", "value_cache"  # with the layer's number behind a point


@dataclass(frozen=True, slots=True)
class Piece:
    """The next tokens of one sequence.

    Attributes:
        ids: of these tokens.
        past: tokens of the sequence before them, whose keys are in the cache.
        blocks: of the sequence, with room for these tokens.
        sampled: how many of these tokens, counted from the end, have their logits computed.
    """

    ids: Sequence[int]
    past: int
    blocks: Sequence[int]
    sampled: int


class PagedGraph:
    """A compiled decoder. It has one request and one cache, so that only one thread may call it at a time.

    Args:
        model: an `openvino.Model`, or the path of its XML file.
        threads: compute threads; None: one per core.
        precision: OpenVINO's hint of what it computes in: "f32" or "bf16". The cache is float32.

    Attributes:
        slot_bytes: bytes of the keys and values of one token.
    """

    def __init__(self, model: Any, threads: int | None = None, precision: str = "f32") -> None:
        graph = read_paged(model) if isinstance(model, Path) else model
        name_heads(graph)
        settings = {"INFERENCE_PRECISION_HINT": precision, "KV_CACHE_PRECISION": "f32"}
        self._request = compile_graph(graph, threads, **settings)
        self._caches = [port for port in self._request.model_inputs if port.any_name.startswith((KEYS, VALUES))]
        shapes = [(port.get_element_type(), _shape(port, 1)) for port in self._caches]
        self.slot_bytes = sum(kind.size * shape[1] * shape[3] for kind, shape in shapes)

    def allocate(self, blocks: int) -> None:
        """Make the cache, of so many blocks. The system gives the memory of a block when it is first written."""
        openvino = import_openvino()
        for port in self._caches:
            tensor = openvino.Tensor(port.get_element_type(), openvino.Shape(_shape(port, blocks)))
            self._request.set_tensor(port, tensor)

    def __call__(self, pieces: Sequence[Piece]) -> Any:
        """Read the pieces, and write their keys and values to the cache.

        Returns:
            Logits of the sampled tokens in order, `[sampled, vocabulary]`, float32; valid until the next call.
        """
        openvino = import_openvino()
        for name, array in _arrays(pieces).items():
            self._request.set_tensor(name, openvino.Tensor(array))
        self._request.infer()
        return self._request.get_output_tensor(0).data


def _arrays(pieces: Sequence[Piece]) -> dict[str, Any]:
    import numpy as np

    lengths = [len(piece.ids) for piece in pieces]
    begins = np.cumsum([0, *lengths], dtype=np.int32)
    positions = [np.arange(piece.past, piece.past + length) for piece, length in zip(pieces, lengths, strict=True)]
    ends = zip(pieces, begins[1:].tolist(), strict=True)
    tables = (
        np.array([piece.past for piece in pieces], np.int32),
        begins,
        np.array([block for piece in pieces for block in piece.blocks], np.int32),
        np.cumsum([0, *(len(piece.blocks) for piece in pieces)], dtype=np.int32),
        np.array(max(piece.past + length for piece, length in zip(pieces, lengths, strict=True)), np.int32),
    )
    tokens = (
        np.array([token for piece in pieces for token in piece.ids], np.int64),
        np.concatenate(positions).astype(np.int64),
        np.array([place for piece, end in ends for place in range(end - piece.sampled, end)], np.int64),
    )
    return dict(zip((*TOKENS, *TABLES), (*tokens, *tables), strict=True))


def _shape(port: Any, blocks: int) -> list[int]:
    """Of a cache: blocks, heads, tokens of a block, size."""
    dimensions = list(port.get_partial_shape())[1:]
    return [blocks, *(BLOCK if each.is_dynamic else each.get_length() for each in dimensions)]
