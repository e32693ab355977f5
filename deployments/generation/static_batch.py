"""Static batches through `generate`: for models whose rows cannot join a running batch, and for beam search.

`together` is a forward for `batching.batcher.Batcher`, which brings the queue, deadlines, and the splitting of batches
that fail; a row's `params` there are its `key`, so that only rows that can run together do. Rows that have ended, or
whose client has gone, no longer count, but keep their place until the longest is through.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from deployments.generation.in_flight.forward import stacked
from deployments.generation.output import Writer
from deployments.generation.request import Ask
from deployments.generation.sampling.log_probabilities import TokenLogprob, log_probabilities
from deployments.generation.sampling.params import SamplingParams

if TYPE_CHECKING:
    import torch

Generate = Callable[..., Any]


def key(ask: Ask) -> Hashable:
    """Rows with equal keys may share a batch: equal options, inputs that can be stacked, and decoder prompts of equal
    length, since models with a running state read padding like text. A row with a seed or a processor of its own is
    alone: `generate` draws for all rows of a batch at once."""
    own = ask if ask.processor is not None or (ask.params.do_sample and ask.params.seed is not None) else None
    return ask.params, ask.num_beams, ask.length_penalty, ask.prompt.shape, len(ask.prompt.ids), own


def together(
    model: "torch.nn.Module",
    generate: Generate,
    asks: Sequence[Ask],
    writers: Sequence[Writer],
    pad_token_id: int,
    is_gone: Callable[[Ask], bool] = lambda ask: False,
) -> None:
    """Let the model write to each ask; its writer hears the tokens, as they come where no beams are searched.

    Args:
        model: in eval mode.
        generate: the model's own, or `GenerationMixin.generate` bound to it.
        asks: with equal `key`.
        writers: one for each.
        pad_token_id: what `generate` fills ended rows with.
        is_gone: whether nobody waits for an ask any more.
    """
    import torch

    config: Any = model.config
    device = next(model.parameters()).device
    prompts, params = [ask.prompt for ask in asks], asks[0].params
    inputs, _ = stacked(prompts, device)
    ids = torch.tensor([list(prompt.ids) for prompt in prompts], device=device)
    if config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids
    else:
        inputs |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if params.do_sample and params.seed is not None:
        torch.manual_seed(params.seed % (1 << 63))
    searches = asks[0].num_beams > 1
    listener = _Listener(asks, writers, is_gone)
    hook = model.register_forward_hook(listener.read) if params.logprobs or params.top_n_tokens else None
    try:
        with torch.inference_mode():
            output = generate(
                **inputs,
                **_arguments(asks[0]),
                pad_token_id=pad_token_id,
                logits_processor=_processors(asks[0], ids.shape[1]),
                stopping_criteria=[_Leavers(asks, is_gone) if searches else listener],
                use_cache=True,
                return_dict_in_generate=True,
            )
    finally:
        if hook is not None:
            hook.remove()
    if searches:  # which beams are the best is known only at the end
        for writer, tokens in zip(writers, output.sequences[:, ids.shape[1] :].tolist(), strict=True):
            for token in tokens:
                writer.hear(token)


class _Listener:
    """A stopping criterion that hands every new token to its row's writer."""

    def __init__(self, asks: Sequence[Ask], writers: Sequence[Writer], is_gone: Callable[[Ask], bool]) -> None:
        self._asks, self._writers, self._is_gone = asks, writers, is_gone
        self._logits: torch.Tensor | None = None

    def read(self, model: object, arguments: object, output: Any) -> None:
        """A hook: what the model says itself of the next tokens, which `generate` shows its criteria only processed."""
        self._logits = output.logits[:, -1].float()

    def __call__(self, ids: "torch.Tensor", scores: object, **options: Any) -> "torch.Tensor":
        """Token ids so far `[rows, length]` to whether each row is over, `[rows]`."""
        import torch

        tokens = ids[:, -1]
        known: Sequence[tuple[float | None, Sequence[TokenLogprob]]] = [(None, ())] * len(tokens)
        if self._logits is not None:
            known = log_probabilities(self._logits, tokens, [self._asks[0].params.top_n_tokens] * len(tokens))
        for writer, token, (logprob, likeliest) in zip(self._writers, tokens.tolist(), known, strict=True):
            writer.hear(token, logprob, likeliest)
        over = [writer.is_over or self._is_gone(ask) for ask, writer in zip(self._asks, self._writers, strict=True)]
        return torch.tensor(over, device=ids.device)


class _Leavers:
    """A stopping criterion that ends the beams of rows whose client has gone."""

    def __init__(self, asks: Sequence[Ask], is_gone: Callable[[Ask], bool]) -> None:
        self._asks, self._is_gone = asks, is_gone

    def __call__(self, ids: "torch.Tensor", scores: object, **options: Any) -> "torch.Tensor":
        """Token ids so far `[rows * beams, length]` to whether each beam is over, `[rows * beams]`."""
        import torch

        gone = torch.tensor([self._is_gone(ask) for ask in self._asks], device=ids.device)
        return gone.repeat_interleave(len(ids) // len(self._asks))


def _arguments(ask: Ask) -> dict[str, Any]:
    """An ask's options as `generate` takes them."""
    params = ask.params
    given: dict[str, Any] = {
        "do_sample": params.do_sample,
        "max_new_tokens": params.max_new_tokens,
        "min_new_tokens": params.min_new_tokens or None,
        "min_length": 0,  # the checkpoint's is in `min_new_tokens`, unless the request wants less
        "num_beams": ask.num_beams,
        "repetition_penalty": params.repetition_penalty,
        "no_repeat_ngram_size": params.no_repeat_ngram_size,
        "eos_token_id": list(params.eos_token_ids) or None,
        "suppress_tokens": list(params.suppress_tokens) or None,
        "begin_suppress_tokens": list(params.begin_suppress_tokens) or None,
        "bad_words_ids": [list(word) for word in params.bad_words] or None,
        "forced_bos_token_id": params.forced_bos_token_id,
        "forced_eos_token_id": list(params.forced_eos_token_id) or None,
    }
    if ask.num_beams > 1:
        given["length_penalty"] = ask.length_penalty
    if params.do_sample:
        names = ("temperature", "top_k", "top_p", "min_p", "typical_p")
        given |= {name: getattr(params, name) for name in names}
    return given


def _processors(ask: Ask, prompt_length: int) -> list[Any]:
    """What `generate` has no option for."""
    params = ask.params
    processors: list[Any] = [] if ask.processor is None else [ask.processor]
    if params.frequency_penalty or params.presence_penalty:
        processors.append(_CountPenalty(params, prompt_length))
    return processors


class _CountPenalty:
    """OpenAI's penalties by frequency and presence, over the tokens behind the prompt."""

    def __init__(self, params: SamplingParams, prompt_length: int) -> None:
        self._params, self._prompt_length = params, prompt_length

    def __call__(self, ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        import torch

        said = ids[:, self._prompt_length :]
        counts = torch.zeros_like(scores).scatter_add_(1, said, torch.ones_like(said, dtype=scores.dtype))
        return scores - self._params.frequency_penalty * counts - self._params.presence_penalty * (counts > 0)
