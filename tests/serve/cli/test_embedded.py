"""Which embedded models are served without a configuration file."""

import pytest

from deployments.errors import LoadError
from deployments.zoo.embedded import DEFAULT, EMBEDDED
from serve.config.service import embedded_config

OPT_IN = sorted(EMBEDDED.keys() - DEFAULT.keys())


def names(**options: list[str]) -> list[str]:
    return [model.name for model in embedded_config(**options).models]


def test_by_default_those_that_need_not_be_asked_for() -> None:
    assert names() == list(DEFAULT)
    assert not set(names()) & set(OPT_IN)


def test_models_are_added_and_left_out() -> None:
    assert names(excluded=["minilm"]) == [name for name in DEFAULT if name != "minilm"]
    assert set(names(added=OPT_IN)) == set(EMBEDDED)
    assert names(added=["minilm"]) == names(), "what is there already comes once"


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(LoadError, match=r"no embedded model 'minilmm'; did you mean 'minilm'\?"):
        embedded_config(excluded=["minilmm"])
