"""How much a model may write to a recording where nobody says it."""

import copy
from typing import Any

from deployments.generation.families import LIMITS

USUAL_NEW_TOKENS = 256  # the default of transformers' pipeline for speech


def with_room(defaults: Any, config: Any, opening: int) -> Any:
    """The `GenerationConfig` with a most of new tokens, behind so many of the decoder's opening.

    As Whisper's `generate` has it, `max_length` does not count the opening, but the model's own positions do.
    """
    if defaults.max_new_tokens is not None:
        return defaults
    decoder = config.get_text_config(decoder=True)
    limit = next((getattr(decoder, name) for name in LIMITS if getattr(decoder, name, None)), None)
    most = defaults.max_length if defaults.max_length is not None else USUAL_NEW_TOKENS
    defaults = copy.copy(defaults)
    defaults.max_new_tokens = most if limit is None else max(1, min(most, limit - opening))
    return defaults
