"""Static batches through `generate`: for models whose sequences cannot join a running batch, and for beam search.

`generate_static_batch` is a forward for `batching.batcher.Batcher`, which provides the queue, deadlines, and the
splitting of batches that fail. A row's `params` there are its `batch_key`, so only rows that can share a batch do. Rows
that have ended or are cancelled stay in the batch until its longest row has ended.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deployments.errors import ForwardFailed, InvalidInput
from deployments.generation.in_flight.forward import stack_inputs
from deployments.generation.output import SequenceOutput
from deployments.generation.prompt_logprobs import PromptLogprobs
from deployments.generation.request import GenerationRequest
from deployments.generation.sampling.log_probabilities import TokenLogprob, log_probabilities
from deployments.generation.sampling.params import SamplingParams
from deployments.numerics import NOT_FINITE

if TYPE_CHECKING:
    import torch

Generate = Callable[..., Any]


def batch_key(request: GenerationRequest) -> Hashable:
    """Rows with equal keys may share a batch.

    They have equal options, inputs that can be stacked, and decoder prompts of equal length, since models with a
    running state read padding like text. A row with a seed or its own processor runs alone: `generate` samples for all
    rows of a batch from one random state.
    """
    own = (
        request
        if request.processor is not None or (request.params.do_sample and request.params.seed is not None)
        else None
    )
    beams = (request.num_beams, request.length_penalty, request.early_stopping)
    return request.params, beams, request.prompt.shape, len(request.prompt.ids), own


def generate_static_batch(
    model: "torch.nn.Module",
    generate: Generate,
    requests: Sequence[GenerationRequest],
    outputs: Sequence[SequenceOutput],
    pad_token_id: int,
    is_cancelled: Callable[[GenerationRequest], bool] = lambda request: False,
) -> None:
    """Generate for each request and add its tokens to its output: at every step, or at the end with beam search.

    Args:
        model: in eval mode.
        generate: the model's method, or `GenerationMixin.generate` bound to it.
        requests: with equal `batch_key`.
        outputs: one for each.
        pad_token_id: `generate` appends it to rows that have ended.
        is_cancelled: whether a request was cancelled.
    """
    import torch

    params, prompt_length = requests[0].params, len(requests[0].prompt.ids)
    inputs = _inputs(model, requests)
    if params.prompt_logprobs:
        _read_prompt_logprobs(model, inputs, requests, outputs)
    if params.do_sample and params.seed is not None:
        torch.manual_seed(params.seed % (1 << 63))
    uses_beams = requests[0].num_beams > 1
    listener = _TokenListener(requests, outputs, is_cancelled)
    hook = model.register_forward_hook(listener.read) if params.logprobs or params.top_n_tokens else None
    try:
        with torch.inference_mode():
            generated = generate(
                **inputs,
                **_arguments(requests[0]),
                pad_token_id=pad_token_id,
                logits_processor=_processors(requests[0], prompt_length),
                stopping_criteria=[_Abandoned(requests, is_cancelled) if uses_beams else listener],
                use_cache=True,
                return_dict_in_generate=True,
            )
    finally:
        if hook is not None:
            hook.remove()
    if uses_beams:  # the best beams are known only at the end
        for output, tokens in zip(outputs, generated.sequences[:, prompt_length:].tolist(), strict=True):
            for token in tokens:
                output.add(token)


def _inputs(model: "torch.nn.Module", requests: Sequence[GenerationRequest]) -> "dict[str, torch.Tensor]":
    """The prompts of a batch by the names of the model's forward."""
    import torch

    config: Any = model.config
    prompts, device = [request.prompt for request in requests], next(model.parameters()).device
    inputs, _ = stack_inputs(prompts, device)
    ids = torch.tensor([list(prompt.ids) for prompt in prompts], device=device)
    if config.is_encoder_decoder:
        return inputs | {"decoder_input_ids": ids}
    return inputs | {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _read_prompt_logprobs(
    model: "torch.nn.Module",
    inputs: Mapping[str, Any],
    requests: Sequence[GenerationRequest],
    outputs: Sequence[SequenceOutput],
) -> None:
    """Read the prompts once more than `generate` does, which keeps the logits of their last position only."""
    import torch

    with torch.inference_mode():
        logits = model(**inputs).logits
    lengths = [len(request.prompt.ids) for request in requests]
    logprobs = PromptLogprobs(inputs["input_ids"], lengths, [request.params for request in requests])
    logprobs.add(0, logits)
    for output, row in zip(outputs, logprobs.rows, strict=True):
        output.completion.prompt_logprobs = row


class _TokenListener:
    """A stopping criterion that adds every new token to its row's output."""

    def __init__(
        self,
        requests: Sequence[GenerationRequest],
        outputs: Sequence[SequenceOutput],
        is_cancelled: Callable[[GenerationRequest], bool],
    ) -> None:
        self._requests, self._outputs, self._is_cancelled = requests, outputs, is_cancelled
        self._logits: torch.Tensor | None = None

    def read(self, model: object, arguments: object, output: Any) -> None:
        """Forward hook: store the model's logits; `generate` passes only processed scores to its criteria."""
        self._logits = output.logits[:, -1].float()

    def __call__(self, ids: "torch.Tensor", scores: object, **options: Any) -> "torch.Tensor":
        """Token ids so far `[rows, length]` to whether each row is over, `[rows]`."""
        import torch

        tokens = ids[:, -1]
        logprobs: Sequence[tuple[float | None, Sequence[TokenLogprob]]] = [(None, ())] * len(tokens)
        if self._logits is not None:
            logprobs = log_probabilities(self._logits, tokens, [self._requests[0].params.top_n_tokens] * len(tokens))
        for output, token, (logprob, top) in zip(self._outputs, tokens.tolist(), logprobs, strict=True):
            output.add(token, logprob, top)
        over = [
            output.is_finished or self._is_cancelled(request)
            for request, output in zip(self._requests, self._outputs, strict=True)
        ]
        return torch.tensor(over, device=ids.device)


class _Abandoned:
    """A stopping criterion that ends the beams of cancelled rows."""

    def __init__(
        self, requests: Sequence[GenerationRequest], is_cancelled: Callable[[GenerationRequest], bool]
    ) -> None:
        self._requests, self._is_cancelled = requests, is_cancelled

    def __call__(self, ids: "torch.Tensor", scores: object, **options: Any) -> "torch.Tensor":
        """Token ids so far `[rows * beams, length]` to whether each beam is over, `[rows * beams]`."""
        import torch

        cancelled = torch.tensor([self._is_cancelled(request) for request in self._requests], device=ids.device)
        return cancelled.repeat_interleave(len(ids) // len(self._requests))


def _arguments(request: GenerationRequest) -> dict[str, Any]:
    """A request's options as `generate` takes them."""
    params = request.params
    given: dict[str, Any] = {
        "do_sample": params.do_sample,
        "max_new_tokens": params.max_new_tokens,
        "min_new_tokens": params.min_new_tokens or None,
        "min_length": 0,  # the checkpoint's is part of `min_new_tokens`
        "num_beams": request.num_beams,
        "repetition_penalty": params.repetition_penalty,
        "no_repeat_ngram_size": params.no_repeat_ngram_size,
        "eos_token_id": list(params.eos_token_ids) or None,
        "suppress_tokens": list(params.suppress_tokens) or None,
        "begin_suppress_tokens": list(params.begin_suppress_tokens) or None,
        "bad_words_ids": [list(word) for word in params.bad_words] or None,
        "stop_strings": None,  # `SequenceOutput` finds them
        "forced_bos_token_id": params.forced_bos_token_id,
        "forced_eos_token_id": list(params.forced_eos_token_id) or None,
    }
    if request.num_beams > 1:
        given |= {"length_penalty": request.length_penalty, "early_stopping": request.early_stopping}
    if params.do_sample:
        names = ("temperature", "top_k", "top_p", "min_p", "typical_p")
        given |= {name: getattr(params, name) for name in names}
    return given


def _processors(request: GenerationRequest, prompt_length: int) -> list[Any]:
    """Logits processors for what `generate` does not have, and the checks of the logits."""
    params = request.params
    processors: list[Any] = [_require_finite] if request.processor is None else [_require_finite, request.processor]
    if params.frequency_penalty or params.presence_penalty:
        processors.append(_CountPenalty(params, prompt_length))
    if request.num_beams == 1:  # a beam that is left with nothing loses to the others
        processors.append(_require_possible)
    return processors


def _require_finite(ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
    """A logits processor: `generate` would take a NaN for the best token. Minus infinity excludes a token.

    Raises:
        ForwardFailed: for some row; the batcher finds it by splitting the batch.
    """
    if scores.isnan().any() or scores.isposinf().any():
        raise ForwardFailed(NOT_FINITE)
    return scores


def _require_possible(ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
    """A last processor: where every token is excluded, `generate` would take any.

    Raises:
        InvalidInput: the options of a row exclude every token.
    """
    if bool((scores == float("-inf")).all(dim=-1).any()):
        raise InvalidInput("the options exclude every token")
    return scores


class _CountPenalty:
    """OpenAI's frequency and presence penalties, over the generated tokens."""

    def __init__(self, params: SamplingParams, prompt_length: int) -> None:
        self._params, self._prompt_length = params, prompt_length

    def __call__(self, ids: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        import torch

        generated = ids[:, self._prompt_length :]
        counts = torch.zeros_like(scores).scatter_add_(1, generated, torch.ones_like(generated, dtype=scores.dtype))
        return scores - self._params.frequency_penalty * counts - self._params.presence_penalty * (counts > 0)
