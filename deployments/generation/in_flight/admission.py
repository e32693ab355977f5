"""Which sequences may wait, and which of them are admitted next: pure functions of the queue and of what runs.

The queue is served in order: a sequence that does not fit holds up those behind it, or a long prompt would wait forever
while short ones pass. What runs ends sooner or later, so the head of the queue gets its turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from deployments.errors import ContextLengthExceeded, InvalidInput
from deployments.generation.in_flight.families import Family
from deployments.generation.in_flight.kv_batch import KVLimits
from deployments.generation.sequence import GenerationSequence


@dataclass(frozen=True, slots=True)
class Reservation:
    """KV slots that a sequence may come to use; an open-ended one, until it reserves more.

    Attributes:
        columns: of self-attention: prompt and answer.
        cross: of cross-attention: the encoder's output.
        prefill: of both, while its prompt is read beside the running batch.
    """

    columns: int
    cross: int
    prefill: int

    @property
    def kv_slots(self) -> int:
        return self.columns + self.cross


def reservation(sequence: GenerationSequence, has_encoder: bool) -> Reservation:
    """What a sequence reserves; the slots of a decoder-only model's images are columns like others."""
    source, prompt = sequence.prompt.source, len(sequence.prompt.ids)
    if has_encoder:
        return Reservation(prompt + sequence.reserved_tokens, source, prompt + source)
    return Reservation(source + prompt + sequence.reserved_tokens, 0, source + prompt)


def require_possible(sequence: GenerationSequence, family: Family, max_kv_slots: int) -> None:
    """Refuse what could never run, however long it waited.

    Raises:
        InvalidInput: the prompt is empty or, with its answer, longer than the cache or than the model's positions.
    """
    needed = reservation(sequence, family.has_encoder).kv_slots
    require_fitting(sequence, family.max_positions, max_kv_slots, needed)


def require_fitting(
    sequence: GenerationSequence, max_positions: int | None, max_kv_slots: int, needed: int | None = None
) -> None:
    """The same for a model with so many positions; `needed` are the sequence's KV slots, by default all its tokens."""
    prompt, new = len(sequence.prompt.ids), sequence.max_new_tokens
    if prompt < 1:
        raise InvalidInput("the prompt is empty; it needs at least one token")
    require_positions(prompt, new, max_positions)
    needed = prompt + new if needed is None else needed
    if needed > max_kv_slots:
        parts = f"{prompt + sequence.prompt.source} read, {new} new"
        raise InvalidInput(f"this needs {needed} tokens ({parts}), and the model's cache holds {max_kv_slots}")


def require_positions(prompt: int, new: int, limit: int | None) -> None:
    """Refuse more tokens than the model's decoder has positions.

    Raises:
        ContextLengthExceeded: prompt and answer are longer. Clients know the error by the first words of its message.
    """
    if limit is not None and prompt + new > limit:
        raise ContextLengthExceeded(
            f"this model's maximum context length is {limit} tokens; {prompt + new} are requested ({prompt} in the "
            f"prompt, {new} new)"
        )


def kv_slots(reservations: Sequence[Reservation]) -> int:
    """KV slots of sequences that decode together: all are as long as the longest."""
    if not reservations:
        return 0
    longest, widest = max(each.columns for each in reservations), max(each.cross for each in reservations)
    return len(reservations) * (longest + widest)


def prefill_slots(reservations: Sequence[Reservation]) -> int:
    """KV slots of sequences whose prompts are read together."""
    return len(reservations) * max((each.prefill for each in reservations), default=0)


def admissible(
    queue: Sequence[GenerationSequence],
    running: Sequence[Reservation],
    limits: KVLimits,
    max_prefill: int,
    *,
    has_encoder: bool,
) -> int:
    """How many from the head of the queue are read next, together.

    Args:
        queue: in the order of arrival.
        running: reservations of the sequences that decode.
        limits: of the running batch; while sequences decode, the prefill's slots beside it count as well.
        max_prefill: KV slots, padding included, that a group may have beyond its first sequence.
        has_encoder: whether a sequence's inputs go to an encoder.
    """
    group: list[Reservation] = []
    for sequence in queue:
        if len(running) + len(group) >= limits.max_rows:
            break
        larger = [*group, reservation(sequence, has_encoder)]
        needed = kv_slots([*running, *larger]) + (prefill_slots(larger) if running else 0)
        alike = sequence.prompt.shape == queue[0].prompt.shape
        if needed > limits.max_kv_slots or not alike or (group and prefill_slots(larger) > max_prefill):
            break
        group = larger
    return len(group)
