import numpy as np
import pytest

from deployments.config import ModelConfig, Pooling
from deployments.contract.pooling import VectorOptions, configured_pooling, join_vectors
from deployments.errors import InvalidInput

VECTOR = np.array([3.0, 4.0, 12.0], np.float32)


def test_a_vector_stays_as_it_is_by_default():
    np.testing.assert_array_equal(VectorOptions().finish(VECTOR, Pooling()), VECTOR)


@pytest.mark.parametrize("normalize", [None, True, False])
@pytest.mark.parametrize("by_checkpoint", [True, False])
def test_a_request_goes_before_the_checkpoint(normalize, by_checkpoint):
    finished = VectorOptions(normalize=normalize).finish(VECTOR, Pooling(normalize=by_checkpoint))
    length = 1 if (by_checkpoint if normalize is None else normalize) else 13
    assert np.linalg.norm(finished) == pytest.approx(length)


def test_a_cut_vector_has_length_one_where_the_whole_one_had():
    finished = VectorOptions(dimensions=2).finish(VECTOR, Pooling(normalize=True))
    np.testing.assert_allclose(finished, [0.6, 0.8], atol=1e-6)


def test_hidden_states_are_normalised_place_by_place():
    finished = VectorOptions(normalize=True).finish(np.stack([VECTOR, 0 * VECTOR]), None)
    np.testing.assert_allclose(np.linalg.norm(finished, axis=-1), [1, 0], atol=1e-6)


def test_maps_have_no_length():
    maps = np.ones((3, 2, 2), np.float32)
    assert VectorOptions().finish(maps, None) is not None
    with pytest.raises(InvalidInput, match="maps"):
        VectorOptions(normalize=True).finish(maps, None)


def test_more_dimensions_than_there_are():
    options = VectorOptions(dimensions=4)
    options.check(None, Pooling())
    for refuse in (lambda: options.check(3, Pooling()), lambda: options.finish(VECTOR, Pooling())):
        with pytest.raises(InvalidInput, match="dimensions is 4; the model's vectors have 3"):
            refuse()


@pytest.mark.parametrize("pooling", [None, Pooling(mode="none")])
def test_dimensions_of_hidden_states(pooling):
    with pytest.raises(InvalidInput, match="hidden states"):
        VectorOptions(dimensions=1).check(None, pooling)


def test_no_pooling_is_written_in_two_ways():
    assert configured_pooling(ModelConfig(model="a")) is None
    assert configured_pooling(ModelConfig(model="a", pooling=Pooling(mode="none"))) is None
    assert configured_pooling(ModelConfig(model="a", pooling=Pooling())) == Pooling()


@pytest.mark.parametrize(
    ("is_list", "pooled", "joined"), [(False, False, 1), (False, True, [1]), (True, False, [1]), (True, True, [1])]
)
def test_joining(is_list, pooled, joined):
    assert join_vectors([1], is_list=is_list, pooled=pooled) == joined
