"""Which rows may wait, and which of them join next: pure functions of the line and of what runs.

The line is served in order: who does not fit holds up those behind, or a long prompt would wait forever while short
ones pass. What runs ends sooner or later, so the first in line gets its turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from deployments.errors import InvalidInput
from deployments.generation.in_flight.families import Family
from deployments.generation.in_flight.kv_batch import Limits
from deployments.generation.sequence import Job


@dataclass(frozen=True, slots=True)
class Claim:
    """Token places that a row may come to use.

    Attributes:
        columns: in self-attention: prompt and answer.
        cross: in cross-attention: what the encoder has read.
        reading: while its prompt is read, in both; beside the running batch until it joins.
    """

    columns: int
    cross: int
    reading: int

    @property
    def cells(self) -> int:
        return self.columns + self.cross


def claim(job: Job, has_encoder: bool) -> Claim:
    """What a job takes; the places of a decoder-only model's images are columns like others."""
    source, prompt = job.prompt.source, len(job.prompt.ids)
    if has_encoder:
        return Claim(prompt + job.max_new_tokens, source, prompt + source)
    return Claim(source + prompt + job.max_new_tokens, 0, source + prompt)


def require_possible(job: Job, family: Family, max_cells: int) -> None:
    """Refuse what could never run, however long it waited.

    Raises:
        InvalidInput: the prompt is empty or, with its answer, longer than the cache or than the model can count.
    """
    prompt, new = len(job.prompt.ids), job.max_new_tokens
    if prompt < 1:
        raise InvalidInput("a prompt needs at least one token")
    require_countable(prompt, new, family.max_positions)
    needed = claim(job, family.has_encoder).cells
    if needed > max_cells:
        parts = f"{prompt + job.prompt.source} read, {new} new"
        raise InvalidInput(f"this needs {needed} token places ({parts}), and the model's cache has {max_cells}")


def require_countable(prompt: int, new: int, limit: int | None) -> None:
    """Refuse more tokens than the model's decoder can count.

    Raises:
        InvalidInput: prompt and answer are longer.
    """
    if limit is not None and prompt + new > limit:
        raise InvalidInput(f"the model counts {limit} tokens; {prompt} of the prompt and {new} new ones are more")


def cells(claims: Sequence[Claim]) -> int:
    """Token places of rows that decode together: all are as long as the longest."""
    if not claims:
        return 0
    return len(claims) * (max(each.columns for each in claims) + max(each.cross for each in claims))


def reading_cells(claims: Sequence[Claim]) -> int:
    """Token places of rows whose prompts are read together."""
    return len(claims) * max((each.reading for each in claims), default=0)


def newcomers(
    waiting: Sequence[Job], running: Sequence[Claim], limits: Limits, max_prefill: int, has_encoder: bool
) -> int:
    """How many from the front of the line are read next, together.

    Args:
        waiting: in the order of arrival.
        running: claims of the rows that decode.
        limits: of the running batch; while others run, the newcomers' own places beside it count as well.
        max_prefill: token places, padding included, that a group may have beyond its first row.
        has_encoder: where a job's inputs go.
    """
    group: list[Claim] = []
    for job in waiting:
        if len(running) + len(group) >= limits.max_rows:
            break
        larger = [*group, claim(job, has_encoder)]
        taken = cells([*running, *larger]) + (reading_cells(larger) if running else 0)
        alike = job.prompt.shape == waiting[0].prompt.shape
        if taken > limits.max_cells or not alike or (group and reading_cells(larger) > max_prefill):
            break
        group = larger
    return len(group)
