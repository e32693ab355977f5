"""Static batches through `model.generate`: for models whose rows cannot join a running batch, and for beam search.

`together` is a forward for `deployments.batcher.Batcher`, which brings the line, deadlines, and the splitting of
batches that fail; a row's `params` there are its `key`, so that only rows that can run together do.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deployments.generation.calls import stacked
from deployments.generation.params import SamplingParams
from deployments.generation.prompt import Prompt

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Options:
    """What rows of one batch have in common.

    Attributes:
        params: as the sampler's; `generate` has no penalties by frequency or presence, and no seed of a row's own.
        num_beams: above 1 for beam search.
        length_penalty: of beam search; above 0 prefers longer answers.
    """

    params: SamplingParams
    num_beams: int = 1
    length_penalty: float = 1.0

    def as_arguments(self) -> dict[str, Any]:
        """As `generate` takes them."""
        params = self.params
        given: dict[str, Any] = {
            "do_sample": params.do_sample,
            "max_new_tokens": params.max_new_tokens,
            "min_new_tokens": params.min_new_tokens or None,
            "num_beams": self.num_beams,
            "repetition_penalty": params.repetition_penalty,
            "no_repeat_ngram_size": params.no_repeat_ngram_size,
            "eos_token_id": list(params.eos_token_ids) or None,
            "suppress_tokens": list(params.suppress_tokens) or None,
            "begin_suppress_tokens": list(params.begin_suppress_tokens) or None,
            "bad_words_ids": [list(word) for word in params.bad_words] or None,
            "forced_bos_token_id": params.forced_bos_token_id,
            "forced_eos_token_id": list(params.forced_eos_token_id) or None,
        }
        if self.num_beams > 1:
            given["length_penalty"] = self.length_penalty
        if params.do_sample:
            names = ("temperature", "top_k", "top_p", "min_p", "typical_p")
            given |= {name: getattr(params, name) for name in names}
        return given


def key(prompt: Prompt, options: Options) -> Hashable:
    """Rows with equal keys may share a batch: equal options, inputs that can be stacked, and decoder prompts of equal
    length, since models with a running state read padding like text."""
    return options, prompt.shape, len(prompt.ids)


def together(
    model: "torch.nn.Module", prompts: Sequence[Prompt], options: Options, pad_token_id: int
) -> list[list[int]]:
    """What the model says to each prompt: tokens up to the one that ends it, which is among them.

    Args:
        model: in eval mode.
        prompts: with equal `key`.
        options: of all of them.
        pad_token_id: what `generate` fills ended rows with.
    """
    import torch

    config: Any = model.config
    device = next(model.parameters()).device
    inputs, _ = stacked(prompts, device)
    ids = torch.tensor([list(prompt.ids) for prompt in prompts], device=device)
    if config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids
    else:
        inputs |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    generate: Any = model.generate
    with torch.inference_mode():
        output = generate(**inputs, **options.as_arguments(), pad_token_id=pad_token_id)
    said = [row[ids.shape[1] :] for row in output.tolist()]
    return [_ended(row, options.params) for row in said]


def _ended(tokens: list[int], params: SamplingParams) -> list[int]:
    ends = [place for place, token in enumerate(tokens) if token in params.eos_token_ids]
    return tokens[: ends[0] + 1] if ends else tokens
