"""Every private or undocumented name of transformers that generation uses, behind one plain function each.

An upgrade of transformers is a reading of this file; tests/deployments/generation/test_transformers_internals.py checks
that each name is still there.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deployments.telemetry.logs import warn_unless_read_in

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache, GenerationConfig

READ_IN = "5.23"  # the release whose source these names were read in


warn_unless_read_in("transformers", READ_IN)


def cache_of(layer_class: type) -> "DynamicCache":
    """An empty cache that creates its layers as `layer_class` when the model first writes to them.

    `DynamicCache`'s constructor takes no layer class; it sets the attribute `layer_class_to_replicate`, from which
    layers are made when a model first writes to them. transformers asks `isinstance(layer, CacheLayerMixin)`;
    registering the class answers that, while deriving from `CacheLayerMixin` would import transformers (and torch) with
    the module that defines it.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import CacheLayerMixin

    CacheLayerMixin.register(layer_class)
    cache = DynamicCache()
    cache.layer_class_to_replicate = layer_class
    return cache


def layer_kinds(config: Any) -> Sequence[str]:
    """The kind of each layer of the cache that a model with this configuration would build for itself.

    The public `config.layer_types` is missing from most configurations; the function fills in what follows from
    `sliding_window` and `attention_chunk_size`, as the model's own cache does.
    """
    from transformers.cache_utils import get_layer_types_and_kwargs

    kinds: Sequence[str] = get_layer_types_and_kwargs(config.get_text_config(decoder=True))[0]
    return kinds


def is_stateful(model: "torch.nn.Module") -> bool:
    """Whether the model keeps a running state (state-space or recurrent) that cannot be cut into columns.

    Only the class attribute `_is_stateful` records it; `generate` reads it to refuse assisted decoding.
    """
    return bool(getattr(model, "_is_stateful", False))


def brings_own_cache(model: "torch.nn.Module") -> bool:
    """Whether the model does not run with a `DynamicCache`; `generate` asks `_supports_default_dynamic_cache`."""
    supports = getattr(model, "_supports_default_dynamic_cache", None)
    return supports is not None and not supports()


def continuous_batching_manager(
    model: "torch.nn.Module", config: "GenerationConfig", *, page_size: int, pages: int, max_batch_tokens: int
) -> Any:
    """A `ContinuousBatchingManager` that samples each request with its own options.

    `model.generate_batch` is the documented entrance, but it takes all prompts at once and returns when all are done.
    Of the manager the engine uses `start`, `stop`, `is_running`, `add_request`, `cancel_request` and `get_result`, and
    of a result `request_id`, `generated_tokens`, `error` and `is_finished`.

    Args:
        model: decoder-only, in eval mode.
        config: must turn every logits processor on, or the manager has none for a request to set.
        page_size: tokens of a page of the cache.
        pages: of the cache.
        max_batch_tokens: tokens that one forward reads at most.
    """
    from transformers import ContinuousBatchingConfig

    settings = ContinuousBatchingConfig(
        page_size=page_size, num_blocks=pages, max_batch_tokens=max_batch_tokens, per_request_processors=True
    )
    generating: Any = model
    return generating.init_continuous_batching(config, continuous_batching_config=settings)


def cleans_up(tokenizer: Any) -> bool:
    """Whether `decode` applies `clean_up_tokenization` by default: if the tokenizer is set so, but not with BPE.

    The exception for BPE, and the attribute that overrides it, are in `_decode` of fast tokenizers alone.
    """
    model = getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)
    forced = getattr(tokenizer, "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", False)
    is_set = bool(getattr(tokenizer, "clean_up_tokenization_spaces", False))
    return is_set and (bool(forced) or type(model).__name__ != "BPE")
