"""The private names of transformers that generation uses are there, and mean what they are used for."""

import inspect

import pytest
import transformers
from transformers import ContinuousBatchingConfig, DynamicCache
from transformers.cache_utils import CacheLayerMixin, get_layer_types_and_kwargs
from transformers.generation.continuous_batching import ContinuousBatchingManager
from transformers.generation.continuous_batching.requests import GenerationOutput

from deployments.generation import transformers_internals
from deployments.generation.in_flight.cache import Layer
from tests.generation_models import generating_model


def test_the_names_were_read_in_the_installed_version():
    assert transformers.__version__.startswith(transformers_internals.READ_IN + ".")


def test_a_cache_makes_the_given_layers():
    assert "layer_class_to_replicate" in vars(DynamicCache())
    cache = transformers_internals.cache_of(Layer)
    assert cache.layer_class_to_replicate is Layer
    assert issubclass(Layer, CacheLayerMixin)


def test_the_interface_of_a_cache_layer_is_all_there():
    assert all(hasattr(Layer, name) for name in ("update", "get_seq_length", "get_mask_sizes", "is_sliding"))
    assert {"update", "get_seq_length", "get_mask_sizes"} <= set(dir(CacheLayerMixin))


def test_layer_kinds():
    assert list(inspect.signature(get_layer_types_and_kwargs).parameters) == ["config"]
    assert set(transformers_internals.layer_kinds(generating_model("llama").config)) == {"full_attention"}


@pytest.mark.parametrize(("kind", "stateful"), [("llama", False), ("mamba", True)])
def test_a_running_state(kind, stateful):
    model = generating_model(kind)
    assert hasattr(model, "_is_stateful")
    assert transformers_internals.is_stateful(model) is stateful


def test_a_cache_of_its_own(monkeypatch):
    model = generating_model("llama")
    assert not transformers_internals.brings_own_cache(model)
    monkeypatch.setattr(type(model), "_supports_default_dynamic_cache", lambda model: False)
    assert transformers_internals.brings_own_cache(model)


@pytest.mark.parametrize("name", ["start", "stop", "is_running", "add_request", "cancel_request", "get_result"])
def test_the_manager_of_continuous_batching_has(name):
    assert callable(getattr(ContinuousBatchingManager, name))


def test_what_continuous_batching_takes_and_gives():
    settings = set(inspect.signature(ContinuousBatchingConfig).parameters)
    assert {"page_size", "num_blocks", "max_batch_tokens", "per_request_processors"} <= settings
    assert {"hard_stop", "block", "timeout"} <= set(inspect.signature(ContinuousBatchingManager.stop).parameters)
    assert {"request_id", "generated_tokens", "error"} <= set(GenerationOutput.__dataclass_fields__)
    assert callable(GenerationOutput.is_finished)
    assert callable(generating_model("llama").init_continuous_batching)
