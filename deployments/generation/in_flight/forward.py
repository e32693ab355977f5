"""The two kinds of forward of a generating model: prefill of prompts, and a decode step of all rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deployments.generation.in_flight.cache import new_cache
from deployments.generation.in_flight.families import Family
from deployments.generation.in_flight.kv_batch import EncoderState, KVBatch
from deployments.generation.prompt_logprobs import PromptLogprobs
from deployments.generation.sampling.params import SamplingParams
from deployments.generation.sequence import Prompt

if TYPE_CHECKING:
    import torch


class Prefill:
    """Prompts that are read together.

    The prompts of a decoder-only model are read in pieces, so that a long one does not delay the rows that decode; an
    encoder reads its input at once.

    Args:
        model: in eval mode.
        family: how to call it.
        prompts: of one `shape`.
        max_lengths: columns of self-attention that each row may come to use.
        params: options of each row.
        pad_token_id: left padding of short prompts; masked.

    Attributes:
        logits: `[rows, vocabulary]` for the first token; None until all is read.
        prompt_logprobs: of the tokens read so far, of the rows that want them.
    """

    def __init__(
        self,
        model: "torch.nn.Module",
        family: Family,
        prompts: Sequence[Prompt],
        max_lengths: Sequence[int],
        params: Sequence[SamplingParams],
        pad_token_id: int,
    ) -> None:
        import torch

        self._model, self._family, self._prompts, self._max_lengths = model, family, prompts, list(max_lengths)
        self._device = next(model.parameters()).device
        length = max(len(prompt.ids) for prompt in prompts)
        ids = [[pad_token_id] * (length - len(prompt.ids)) + list(prompt.ids) for prompt in prompts]
        mask = [[0] * (length - len(prompt.ids)) + [1] * len(prompt.ids) for prompt in prompts]
        self._ids = torch.tensor(ids, device=self._device)
        self.prompt_logprobs = PromptLogprobs(self._ids, [len(prompt.ids) for prompt in prompts], params)
        self._mask = torch.tensor(mask, device=self._device)
        self._positions = (self._mask.cumsum(dim=1) - 1).clamp(min=0)
        self._inputs, self._source_lengths = stack_inputs(prompts, self._device)
        self._cache: Any = new_cache(cross=family.has_encoder)
        self._read = 0
        self._whole = family.has_encoder or bool(self._inputs)
        self.logits: torch.Tensor | None = None

    def advance(self, tokens: int) -> bool:
        """Read about this many more tokens over all rows, padding included; True once all is read."""
        import torch

        length = self._ids.shape[1]
        end = length if self._whole else min(length, self._read + max(1, tokens // len(self._prompts)))
        piece = slice(self._read, end)
        arguments: dict[str, Any] = {
            self._family.ids_name: self._ids[:, piece],
            self._family.mask_name: self._mask[:, :end],
            **self._family.position_arguments(self._positions[:, piece]),
            **self._inputs,
            "past_key_values": self._cache,
            "use_cache": True,
        }
        if self._family.takes_logits_to_keep and not self.prompt_logprobs.are_wanted:
            arguments["logits_to_keep"] = 1
        with torch.inference_mode():
            output = self._model(**arguments)
            if self.prompt_logprobs.are_wanted:
                self.prompt_logprobs.add(self._read, output.logits)
        self._read = end
        if end < length:
            return False
        self.logits = output.logits[:, -1]
        self._output = output
        return True

    def rows(self) -> KVBatch:
        """The prompts as rows that can decode, once all is read.

        Raises:
            UnmergeableCache: the model keeps its state in another form than keys and values.
        """
        import torch

        columns = self._cache.get_seq_length()
        # An image's columns come before the text's.
        image = self._mask.new_ones((len(self._prompts), max(0, columns - self._mask.shape[1])))
        mask = torch.cat([image, self._mask], dim=1)
        max_lengths = [length + image.shape[1] for length in self._max_lengths]
        return KVBatch(self._cache, mask, self._positions[:, -1:] + 1, max_lengths, self._source())

    def _source(self) -> EncoderState | None:
        if not self._family.has_encoder:
            return None
        states = self._output.encoder_last_hidden_state
        mask = self._inputs.get("attention_mask")
        of_text = "input_ids" in self._inputs
        widths = self._source_lengths if of_text else [states.shape[1]] * len(self._prompts)
        return EncoderState(mask, self._source_lengths, widths, states[:1, :1].clone())


def stack_inputs(prompts: Sequence[Prompt], device: "torch.device") -> "tuple[dict[str, torch.Tensor], list[int]]":
    """Inputs of prompts of one shape as a batch, text padded on the right and masked; each row's length in the mask (0
    without a mask)."""
    import torch

    inputs: dict[str, torch.Tensor] = {}
    for name in prompts[0].inputs:
        values = [prompt.inputs[name] for prompt in prompts]
        if name == "input_ids":
            batched = torch.nn.utils.rnn.pad_sequence(values, batch_first=True)
        else:
            batched = torch.cat(values) if name in prompts[0].joined else torch.stack(values)
        inputs[name] = batched.to(device)
    if "input_ids" in inputs:
        lengths = [len(prompt.inputs["input_ids"]) for prompt in prompts]
        places = torch.arange(max(lengths), device=device)
        inputs["attention_mask"] = (places < torch.tensor(lengths, device=device)[:, None]).long()
        return inputs, lengths
    mask = inputs.get("attention_mask")
    return inputs, [0 if mask is None else mask.shape[1]] * len(prompts)


def decode(model: "torch.nn.Module", family: Family, rows: KVBatch, tokens: "torch.Tensor") -> "torch.Tensor":
    """One decode step of every row.

    Args:
        model: in eval mode.
        family: how to call it.
        rows: with a free column; it is in use on return.
        tokens: `[rows]`, each row's last token.

    Returns:
        Logits `[rows, vocabulary]`.
    """
    logits = _forward(model, family, rows, tokens, slice(0, len(rows)))
    rows.stepped()
    return logits


def decode_one_by_one(
    model: "torch.nn.Module", family: Family, rows: KVBatch, tokens: "torch.Tensor"
) -> "list[torch.Tensor | Exception]":
    """The same, one row after the other: each row's logits `[1, vocabulary]`, or its exception."""
    results: list[torch.Tensor | Exception] = []
    for row in range(len(rows)):
        rows.only(row)
        try:
            results.append(_forward(model, family, rows, tokens[row : row + 1], slice(row, row + 1)))
        except Exception as error:
            results.append(error)
    rows.stepped()
    return results


def _forward(
    model: "torch.nn.Module", family: Family, rows: KVBatch, tokens: "torch.Tensor", which: slice
) -> "torch.Tensor":
    import torch

    with torch.inference_mode():
        arguments: dict[str, Any] = {
            family.ids_name: tokens[:, None],
            **family.mask_arguments(rows.mask[which], rows.dtype),
            **family.position_arguments(rows.positions[which]),
            "past_key_values": rows.cache,
            "use_cache": True,
        }
        if rows.source is not None:
            arguments |= _encoder_outputs(rows.source, tokens.shape[0], rows.cross_width, which)
        logits: torch.Tensor = model(**arguments).logits
        return logits[:, -1]


def _encoder_outputs(source: EncoderState, rows: int, width: int, which: slice) -> dict[str, Any]:
    """A placeholder for the encoder's output, whose keys and values are in the cache; takes no memory."""
    from transformers.modeling_outputs import BaseModelOutput

    output = BaseModelOutput(last_hidden_state=source.states.expand(rows, width, -1))
    # Moonshine's encoder returns the mask of its output.
    output.attention_mask = None if source.widths_mask is None else source.widths_mask[which]
    return {"encoder_outputs": output} | ({} if source.mask is None else {"attention_mask": source.mask[which]})
