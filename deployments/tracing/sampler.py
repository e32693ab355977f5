"""Which spans are kept: what a caller decided, a share of what nobody decided, and every batch of a request that is."""

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes


class RootSampler(Sampler):
    """Decides for spans without a parent.

    Args:
        ratio: share of requests that are kept, 0 to 1.
    """

    def __init__(self, ratio: float) -> None:
        self._requests = TraceIdRatioBased(ratio)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """A batch, which is what has links, is kept if one of its requests is."""
        chosen: Sampler = self._requests
        if links:
            chosen = ALWAYS_ON if any(link.context.trace_flags.sampled for link in links) else ALWAYS_OFF
        return chosen.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"RootSampler{{{self._requests.get_description()}}}"


def sampler(ratio: float) -> Sampler:
    """What a caller decided holds (`traceparent`); of the rest `ratio` is kept."""
    return ParentBased(RootSampler(ratio))
