"""The continuous-batching check at load: whether a model's rows may join and leave a running batch, or why not.

A few prompts run in flight: one starts, others join it, it leaves and joins again. At every step each row's logits must
equal those of a plain call of the model with that row's tokens alone, without any cache.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from deployments.generation.in_flight.cache import why_not
from deployments.generation.in_flight.families import Family, family_of
from deployments.generation.in_flight.forward import Prefill, decode
from deployments.generation.in_flight.kv_batch import KVBatch, KVLimits, without_gaps
from deployments.generation.sampling.params import SamplingParams
from deployments.generation.sequence import Prompt
from deployments.layouts.check import TOLERANCES

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

STEPS = 3  # between two changes of the batch
_MAX_NEW_TOKENS = 5 * STEPS  # of a row of the check
_PREFILL_TOKENS = 4  # of a prompt, read at a time


@dataclass(frozen=True, slots=True)
class GenerationMode:
    """How a model generates; shown in the log and in the answer to `GET /tasks/<task>`.

    Attributes:
        name: "in-flight"; "static": batches that start and end together, through `model.generate`; or "paged":
            transformers' continuous batching.
        reason: why not in flight; else empty.
        difference: of a logit from running alone, at most; relative where logits exceed 1.
        family: how the engine calls the model; None if static.
        slot_bytes: bytes of a KV slot; 0 if static.
    """

    name: Literal["in-flight", "static", "paged"]
    reason: str
    difference: float
    family: Family | None
    slot_bytes: int = 0


def choose_mode(model: "torch.nn.Module", prompts: Sequence[Prompt], pad_token_id: int = 0) -> GenerationMode:
    """Check a model in flight; static batches if the check fails.

    Args:
        model: in eval mode, on its device.
        prompts: three or more of different length, made by the task.
        pad_token_id: left padding of short prompts.
    """
    if reason := why_not(model):
        return static(reason)
    family = family_of(model)
    allowed = TOLERANCES.get(str(next(model.parameters()).dtype).removeprefix("torch."), 1e-4)
    reasons, difference = [], 0.0
    for candidate in (family, replace(family, additive_mask=True)):
        try:
            check = _Check(model, candidate, prompts, pad_token_id)
            difference = check.difference()
        except Exception as error:  # a model may refuse in any way
            reasons.append(f"{type(error).__name__}: {error}")
            continue
        if difference <= allowed:
            logger.info("in-flight batching: logits differ from running alone by at most %.1e", difference)
            return GenerationMode("in-flight", "", difference, candidate, check.slot_bytes)
        reasons.append(f"logits of rows that join differ from running alone by {difference:.1e}")
    if family.table is not None:
        family.table.remove()
    return static(reasons[0], difference)


def static(reason: str, difference: float = 0.0) -> GenerationMode:
    """Static batches, for this reason."""
    logger.info("static batches instead of in-flight batching: %s", reason)
    return GenerationMode("static", reason, difference, None)


class _Check:
    """Runs prompts in flight and records every row's tokens and logits."""

    def __init__(self, model: "torch.nn.Module", family: Family, prompts: Sequence[Prompt], pad_token_id: int) -> None:
        self._model, self._family, self._prompts, self._pad = model, family, prompts, pad_token_id
        self._limits = KVLimits(1 << 30, len(prompts) + 1)
        self._kv: KVBatch | None = None
        self._rows: list[_CheckedRow] = []
        self._all: list[_CheckedRow] = []

    @property
    def slot_bytes(self) -> int:
        """Bytes of a KV slot, after the check."""
        return self._kv.slot_bytes if self._kv else 0

    def difference(self) -> float:
        """The largest difference of any logit of any row at any step."""
        self._join(self._prompts[:1])
        self._step()
        self._join(self._prompts[1:])
        self._step()
        self._leave(0)
        self._join(self._prompts[:1])
        self._step()
        self._leave(len(self._rows) - 2)
        self._step()
        return max(self._differs(row) for row in self._all)

    def _join(self, prompts: Sequence[Prompt]) -> None:
        groups: dict[Any, list[Prompt]] = {}
        for prompt in prompts:
            groups.setdefault(prompt.shape, []).append(prompt)
        for group in groups.values():
            max_lengths = [len(prompt.ids) + _MAX_NEW_TOKENS for prompt in group]
            prefill = Prefill(self._model, self._family, group, max_lengths, [SamplingParams()] * len(group), self._pad)
            while not prefill.advance(_PREFILL_TOKENS * len(group)):
                pass
            rows = prefill.rows()
            if self._kv is None:
                self._kv = rows
            else:
                self._kv.join(rows, self._limits)
            new = [_CheckedRow(prompt, [], []) for prompt in group]
            self._rows += new
            self._all += new
            assert prefill.logits is not None
            self._record(new, prefill.logits)

    def _step(self) -> None:
        import torch

        assert self._kv is not None
        for _ in range(STEPS):
            self._kv.make_room(self._limits)
            tokens = torch.tensor([row.tokens[-1] for row in self._rows], device=self._kv.positions.device)
            self._record(self._rows, decode(self._model, self._family, self._kv, tokens))

    def _leave(self, row: int) -> None:
        assert self._kv is not None
        order = without_gaps([place for place in range(len(self._rows)) if place != row])
        self._kv.keep(order)
        self._rows = [self._rows[place] for place in order]

    def _record(self, rows: "Sequence[_CheckedRow]", logits: "torch.Tensor") -> None:
        scores = logits.clone()
        # Some models give padding no position, and an image placeholder among the tokens would require an image.
        for row, row_scores in zip(rows, scores, strict=True):
            row_scores[[self._pad, *row.prompt.ids]] = float("-inf")
        for row, row_logits, token in zip(rows, logits, scores.argmax(dim=-1).tolist(), strict=True):
            row.tokens.append(token)
            row.logits.append(row_logits.float())

    def _differs(self, row: "_CheckedRow") -> float:
        import torch

        device = row.logits[0].device
        joined = row.prompt.joined
        arguments: dict[str, Any] = {
            name: (value if name in joined else value[None]).to(device) for name, value in row.prompt.inputs.items()
        }
        ids = [*row.prompt.ids, *row.tokens[:-1]]
        arguments[self._family.ids_name] = torch.tensor([ids], device=device)
        with torch.inference_mode():
            alone = self._model(**arguments, use_cache=False).logits[0, -len(row.logits) :].float()
        in_flight = torch.stack(row.logits)
        # Tokens that the model itself excludes have logits of minus infinity, or nearly, on both sides.
        difference = torch.where(in_flight == alone, 0.0, (in_flight - alone).abs() / alone.abs().clamp(min=1))
        largest = float(difference.max())
        return largest if largest == largest else float("inf")


@dataclass(slots=True)
class _CheckedRow:
    """A row of the check: its prompt, its tokens, and the logits `[vocabulary]` that each was taken from."""

    prompt: Prompt
    tokens: list[int]
    logits: "list[torch.Tensor]"
