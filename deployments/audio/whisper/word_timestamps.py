"""When each token was said: read from what the decoder looked at while it wrote it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class WordTimestamps:
    """One more call of the model with all that it has written, for the attention of its `alignment_heads`.

    The time warping is transformers' own. It runs on the model thread, between two steps of the running batch.

    Args:
        model: with an encoder, a decoder and `_extract_token_timestamps`.
        heads: the pairs of layer and head that follow the sound.
        positions: of the features, for each step of the encoder's output.
        step: seconds of such a step.
    """

    def __init__(self, model: Any, heads: Sequence[Any], positions: int, step: float) -> None:
        self._model, self._heads, self._positions, self._step = model, heads, positions, step

    def __call__(
        self,
        inputs: "dict[str, torch.Tensor]",
        decoder_prompt: Sequence[int],
        tokens: Sequence[int],
        start: int,
        real: int,
    ) -> list[float]:
        """The second in the window at which each token ends.

        Args:
            inputs: what the encoder read, without a batch dimension.
            opening: the decoder's prompt.
            tokens: that it wrote, with the one that ended the pass.
            start: position in the window at which the inputs begin.
            real: positions of the inputs that are not padding; below 0 where they begin behind the recording's end.
        """
        import torch
        from transformers.generation import GenerateEncoderDecoderOutput

        if len(tokens) < 2 or not real // self._positions:  # nothing to look at
            return [start * self._step / self._positions] * len(tokens)
        device = next(self._model.parameters()).device
        ids = torch.tensor([[*decoder_prompt, *tokens]], device=device)
        with torch.inference_mode():
            read = self._model.get_encoder()(**{name: value[None].to(device) for name, value in inputs.items()})
            with _eager(self._model):
                output = self._model(
                    encoder_outputs=read, decoder_input_ids=ids[:, :-1], output_attentions=True, use_cache=False
                )
            looks = tuple(layer.float() for layer in output.cross_attentions)
            token_times = self._model._extract_token_timestamps(
                GenerateEncoderDecoderOutput(sequences=ids, cross_attentions=(looks,)),
                self._heads,
                time_precision=self._step,
                num_frames=torch.tensor([real]),
                num_input_ids=len(decoder_prompt),
            )
        found: list[float] = (token_times[0, len(decoder_prompt) :] + start * self._step / self._positions).tolist()
        return found


@contextmanager
def _eager(model: Any) -> Iterator[None]:
    """The one implementation of attention that tells what it looks at."""
    config = model.config
    usual = config._attn_implementation
    config._attn_implementation = "eager"
    try:
        yield
    finally:
        config._attn_implementation = usual
