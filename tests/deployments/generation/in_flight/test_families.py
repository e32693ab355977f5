"""What a model wants is read from the model, and the check at load tells whether that was right."""

from random import Random

import pytest
import torch

from deployments.generation.adapters import as_encoder_decoder
from deployments.generation.in_flight import check, families
from deployments.generation.in_flight.check import choose_mode
from deployments.generation.sampling.params import SamplingParams
from deployments.generation.sequence import GenerationSequence
from tests.generation_models import MEDIA, TEXT, alone, blip, generating_model, random_prompt

IN_FLIGHT = [family for family in (*TEXT, *MEDIA) if family != "mamba"]
BY_ARGUMENT = {"gpt2", "llama", "qwen3", "gpt-neox", "phi", "opt", "gemma", "gemma3", "mistral", "falcon"} | {
    "vit-gpt2",
    "vit-bert",
    "vit-roberta",
    "blip",
    "git",
    "llava",
    "whisper",
    "moonshine",
}
BY_TABLE = {"bart", "mbart", "marian", "pegasus", "m2m-100", "blenderbot", "trocr", "speech-to-text"}
WITHOUT = {"bloom", "t5"}  # distances between columns are all they need


def prompts(name):
    random = Random(5)
    return [random_prompt(name, random) for _ in range(4)]


@pytest.mark.parametrize("name", IN_FLIGHT)
def test_rows_in_flight_have_the_logits_of_running_alone(name):
    chosen = choose_mode(generating_model(name), prompts(name))
    assert chosen.name == "in-flight", chosen.reason
    assert chosen.difference < 1e-4
    if chosen.family.table is not None:
        chosen.family.table.remove()


@pytest.mark.parametrize("name", IN_FLIGHT)
def test_how_rows_get_their_positions_is_read_from_the_model(name):
    family = families.family_of(generating_model(name))
    found = "argument" if family.positions else "table" if family.table else "none"
    if family.table is not None:
        family.table.remove()
    expected = {"argument": BY_ARGUMENT, "table": BY_TABLE, "none": WITHOUT}
    assert name in expected[found]


def test_a_state_space_model_runs_in_static_batches():
    chosen = choose_mode(generating_model("mamba"), prompts("mamba"))
    assert (chosen.name, chosen.family) == ("static", None)
    assert "running state" in chosen.reason


@pytest.mark.parametrize("name", ["marian", "bart", "speech-to-text"])
def test_without_their_positions_rows_are_found_to_differ(name, monkeypatch):
    monkeypatch.setattr(families, "_counts_positions", lambda decoder: None)
    chosen = choose_mode(generating_model(name), prompts(name))
    assert chosen.name == "static"
    assert "differ from running alone" in chosen.reason


def test_a_mask_that_hides_nothing_is_found_out(monkeypatch):
    monkeypatch.setattr(
        check.Family, "mask_arguments", lambda self, mask, dtype: {self.mask_name: torch.ones_like(mask)}
    )
    chosen = choose_mode(generating_model("llama"), prompts("llama"))
    assert chosen.name == "static"
    assert "differ from running alone" in chosen.reason


def test_a_model_that_refuses_is_not_an_error(monkeypatch):
    def forward(**arguments):
        raise ValueError("only eager attention")

    model = generating_model("phi")
    monkeypatch.setattr(model, "forward", forward)
    assert choose_mode(model, prompts("phi")).reason == "ValueError: only eager attention"


def test_the_table_leaves_other_calls_as_they_are():
    model = generating_model("marian")
    ids = {"input_ids": torch.tensor([[5, 6]]), "decoder_input_ids": torch.tensor([[3, 9, 8]])}
    with torch.inference_mode():
        before = model(**ids).logits
        family = families.family_of(model)
        assert torch.equal(model(**ids).logits, before)
        family.position_arguments(torch.tensor([[0, 2, 4]]))
        assert not torch.allclose(model(**ids).logits, before)
        assert torch.equal(model(**ids).logits, before), "positions hold for one forward"
    family.table.remove()


def test_two_parts_as_one_say_what_the_model_says():
    model, random = blip(), Random(3)
    whole = as_encoder_decoder(model, start_token_id=1)
    for _ in range(3):
        sequence = GenerationSequence(
            random_prompt("blip", random), SamplingParams(max_new_tokens=12, suppress_tokens=(0,))
        )
        picture, ids = sequence.prompt.inputs["pixel_values"][None], list(sequence.prompt.ids)
        options = {"max_new_tokens": 12, "do_sample": False, "suppress_tokens": [0]}
        # BLIP drops the last token of its prompt, and would end at the separator; ours goes on.
        model.config.text_config.sep_token_id = None
        emitted = model.generate(picture, input_ids=torch.tensor([[*ids, 2]]), **options)
        assert [*ids, *alone(whole, sequence)] == emitted[0].tolist()
    assert as_encoder_decoder(generating_model("llama"), start_token_id=1) is generating_model("llama")
