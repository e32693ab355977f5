"""What sentence-transformers' files say about pooling, and what is refused instead of answered wrongly."""

import json
from pathlib import Path

import pytest
import torch

from deployments.checkpoint import Checkpoint
from deployments.config import ModelConfig, Pooling
from deployments.contract.pooling import Embedding, pool, read_embedding
from deployments.errors import LoadError

MODULES = ("Transformer", "Pooling", "Normalize")


@pytest.fixture
def embedding_of(tmp_path):
    """Writes the files of a checkpoint and reads them back."""

    def read(
        modules=None, modes=None, settings=None, lengths=None, package="sentence_transformers.models", **configured
    ) -> Embedding:
        if modules is not None:
            write(
                tmp_path / "modules.json",
                [{"idx": i, "path": f"{i}_{kind}", "type": f"{package}.{kind}"} for i, kind in enumerate(modules)],
            )
        if modes is not None:
            write(tmp_path / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, **modes})
        if settings is not None:
            write(tmp_path / "config_sentence_transformers.json", settings)
        if lengths is not None:
            write(tmp_path / "sentence_bert_config.json", lengths)
        config = ModelConfig(model=str(tmp_path), name="small", **configured)
        return read_embedding(Checkpoint(tmp_path, None, None, "cpu", "float32", config))

    return read


def write(path: Path, value: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


def test_a_checkpoint_without_files_has_no_pooling(embedding_of):
    assert embedding_of() == Embedding()


@pytest.mark.parametrize(
    ("key", "mode"),
    [
        ("pooling_mode_mean_tokens", "mean"),
        ("pooling_mode_cls_token", "cls"),
        ("pooling_mode_lasttoken", "last"),
    ],
)
@pytest.mark.parametrize("normalize", [True, False])
def test_pooling_as_the_files_say(embedding_of, key, mode, normalize):
    off = dict.fromkeys(("pooling_mode_mean_tokens", "pooling_mode_cls_token", "pooling_mode_max_tokens"), False)
    embedding = embedding_of(MODULES if normalize else MODULES[:2], {**off, key: True})
    assert embedding.pooling == Pooling(mode=mode, normalize=normalize)


@pytest.mark.parametrize(
    "modes",
    [
        {"pooling_mode_max_tokens": True},
        {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
        {"pooling_mode_mean_tokens": True, "pooling_mode_weightedmean_tokens": True},
        {},
    ],
)
def test_ways_of_pooling_that_are_not_served_are_refused(embedding_of, modes):
    with pytest.raises(LoadError, match="is not supported; set `pooling`"):
        embedding_of(MODULES, modes)


def test_modules_that_are_not_served_are_refused_unless_pooling_is_configured(embedding_of):
    mean = {"pooling_mode_mean_tokens": True}
    with pytest.raises(LoadError, match="requires Dense"):
        embedding_of(("Transformer", "Pooling", "Dense"), mean)
    configured = Pooling(mode="cls", normalize=True)
    assert embedding_of(("Transformer", "Pooling", "Dense"), mean, pooling=configured).pooling == configured


def test_configured_pooling_goes_first_and_none_means_hidden_states(embedding_of):
    mean = {"pooling_mode_mean_tokens": True}
    assert embedding_of(MODULES, mean, pooling=Pooling(mode="none")).pooling is None
    assert embedding_of(MODULES, mean, pooling=Pooling(mode="last")).pooling == Pooling(mode="last")


def test_a_transformer_alone_gives_hidden_states(embedding_of):
    assert embedding_of(("Transformer",)).pooling is None


def test_newer_releases_name_their_modules_by_longer_paths(embedding_of):
    package = "sentence_transformers.sentence_transformer.modules.pooling"
    assert embedding_of(MODULES, {"pooling_mode_mean_tokens": True}, package=package).pooling == Pooling(
        mode="mean", normalize=True
    )


def test_prompts_and_length(embedding_of):
    prompts = {"query": "query: ", "passage": "passage: "}
    embedding = embedding_of(
        settings={"prompts": prompts, "default_prompt_name": "query"}, lengths={"max_seq_length": 64}
    )
    assert (embedding.prompts, embedding.default_prompt, embedding.max_length) == (prompts, "query", 64)


@pytest.mark.parametrize("mode", ["mean", "cls", "last"])
def test_a_row_is_pooled_from_its_own_positions_whatever_its_padding_holds(mode):
    hidden = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    hidden[0, 2] = torch.nan
    short = {"mean": hidden[0, :2].mean(0), "cls": hidden[0, 0], "last": hidden[0, 1]}[mode]
    long = {"mean": hidden[1].mean(0), "cls": hidden[1, 0], "last": hidden[1, 2]}[mode]
    assert torch.equal(pool(hidden, [2, 3], mode), torch.stack([short, long]))
