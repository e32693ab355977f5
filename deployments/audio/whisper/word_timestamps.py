"""Times of single tokens, read from the decoder's cross-attention."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deployments.audio.whisper.transformers_internals import eager_attention, token_end_times

if TYPE_CHECKING:
    import torch


class WordTimestamps:
    """Runs one more forward over a completion to obtain the cross-attention of the `alignment_heads`.

    The dynamic time warping is transformers' own. Runs on the model thread, between two decoding steps.

    Args:
        model: Whisper.
        alignment_heads: pairs of layer and head whose attention follows the audio.
        positions: feature positions for each position of the encoder's output.
        step: seconds for each position of the encoder's output.
    """

    def __init__(self, model: Any, alignment_heads: Sequence[Any], positions: int, step: float) -> None:
        self._model, self._alignment_heads, self._positions, self._step = model, alignment_heads, positions, step

    def __call__(
        self,
        inputs: "dict[str, torch.Tensor]",
        decoder_prompt: Sequence[int],
        tokens: Sequence[int],
        start: int,
        valid_positions: int,
    ) -> list[float]:
        """The second in the window at which each token ends.

        Args:
            inputs: the encoder's inputs, without a batch dimension.
            decoder_prompt: tokens of the decoder prompt.
            tokens: generated tokens, including the one that ended the pass.
            start: feature position in the window at which the inputs begin.
            valid_positions: positions of the inputs that are not padding; negative if they begin after the recording.
        """
        import torch

        if len(tokens) < 2 or not valid_positions // self._positions:  # no audio to align with
            return [start * self._step / self._positions] * len(tokens)
        device = next(self._model.parameters()).device
        ids = torch.tensor([[*decoder_prompt, *tokens]], device=device)
        with torch.inference_mode():
            encoded = self._model.get_encoder()(**{name: value[None].to(device) for name, value in inputs.items()})
            with eager_attention(self._model):
                output = self._model(
                    encoder_outputs=encoded, decoder_input_ids=ids[:, :-1], output_attentions=True, use_cache=False
                )
            times = token_end_times(
                self._model,
                ids,
                [layer.float() for layer in output.cross_attentions],
                alignment_heads=self._alignment_heads,
                seconds_per_position=self._step,
                frames=valid_positions,
                prompt_length=len(decoder_prompt),
            )
        seconds: list[float] = (times[0, len(decoder_prompt) :] + start * self._step / self._positions).tolist()
        return seconds
