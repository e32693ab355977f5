"""Tasks whose model does nothing, to measure the cost of the service itself. They are not registered."""

from collections.abc import Hashable, Sequence
from typing import Any

from deployments.batching.selection import ArrivalOrder, Selection
from deployments.config import Batching
from deployments.contract.task import Prepared, RequestBody, Row
from deployments.layouts.task import ForwardTask
from deployments.layouts.text import BatchOutput, Layout
from deployments.tasks.feature_extraction import FeatureExtraction
from deployments.tasks.feature_extraction import Request as VectorRequest


class Request(RequestBody):
    inputs: str


class NoLayout(Layout):
    """A layout for rows that never reach a model."""

    name = "none"

    def run(self, rows: Sequence[Row]) -> BatchOutput:
        raise NotImplementedError("the no-op model is never run")

    def selection(self, batching: Batching, device: str) -> Selection:
        return ArrivalOrder(max_cost=1 << 30, max_rows=128)


class NoOp(ForwardTask[Request, dict[str, int]]):
    """Returns the number of characters."""

    name = "no-op"
    auto_model = "AutoModel"
    auto_processor = "AutoTokenizer"
    architectures = ()
    request = Request
    response = dict[str, int]
    example = {"inputs": "A man plays a guitar."}
    unused_weights = ("pooler",)

    def preprocess(self, request: Request) -> Prepared:
        return Prepared([Row({}, 1)])

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        return [0] * len(rows)

    def postprocess(self, request: Request, prepared: Prepared, outputs: Sequence[Any]) -> dict[str, int]:
        return {"characters": len(request.inputs)}

    def sized_example(self, words: int) -> Request:
        return Request(inputs="word " * words)

    def layouts(self) -> Sequence[Layout]:
        return [NoLayout(self.checkpoint.model)]


DIMENSIONS = 384  # MiniLM's


class NoVectors(FeatureExtraction):
    """feature-extraction, which every protocol has a route for, with the same vector for every text."""

    def preprocess(self, request: VectorRequest) -> Prepared:
        return Prepared([Row({}, 1)])

    def forward(self, rows: Sequence[Row], params: Hashable) -> Sequence[Any]:
        import numpy as np

        vector = np.linspace(-1, 1, DIMENSIONS, dtype=np.float32)
        return [vector] * len(rows)

    def layouts(self) -> Sequence[Layout]:
        return [NoLayout(self.checkpoint.model)]
