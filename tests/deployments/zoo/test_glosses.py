"""`glosses`: how its texts are made, and that it writes in the manner of a dictionary."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from deployments.zoo.glosses import POSITIONS
from tools.training import glosses
from tools.training.wordnet import Synonyms

FolderOf = Callable[[str], Path]


def synonyms(count: int) -> list[Synonyms]:
    return [Synonyms((f"word{index}", f"other_{index}"), f"gloss {index // 2}", "05") for index in range(count)]


def test_an_entry_is_a_word_and_its_gloss() -> None:
    assert glosses.entry(Synonyms(("hot_dog",), "a sausage in a bun", "13"), "hot_dog") == "hot dog: a sausage in a bun"
    assert glosses.entry(Synonyms(("galore(ip)",), "in abundance", "00"), "galore(ip)") == "galore: in abundance"


def test_what_has_the_same_gloss_is_held_out_together() -> None:
    train, test = glosses.split(synonyms(4000))
    assert len(test) == 2 * glosses.HELD_OUT
    assert len(train) + len(test) == 4000
    assert not {item.gloss for item in train} & {item.gloss for item in test}


def test_rows_are_full_and_begin_with_an_entry() -> None:
    texts = [glosses.entry(item, word) for item in synonyms(40) for word in item.words]
    tokenizer = glosses.make_tokenizer(texts)
    endless = glosses.rows(synonyms(40), tokenizer, random.Random(0))
    for row in (next(endless) for _ in range(5)):
        assert len(row) == POSITIONS
        assert row[0] == tokenizer.token_to_id(glosses.END)
        first = tokenizer.decode(row[1 : row.index(row[0], 1)])
        assert first in texts


def write(folder: Path, prompts: Sequence[str]) -> list[str]:
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    texts = []
    for prompt in prompts:
        inputs = tokenizer(prompt, return_tensors="pt")
        output = model.generate(**inputs, max_new_tokens=40, do_sample=False)[0]
        texts.append(tokenizer.decode(output, skip_special_tokens=True))
    return texts


def test_goes_on_like_a_dictionary_and_ends(folder_of: FolderOf) -> None:
    tree, writer = write(folder_of("glosses"), ["oak tree:", "doctor:"])
    assert tree.startswith("oak tree: a ")
    assert "genus" in tree
    assert writer.startswith("doctor: a person who ")


@pytest.mark.parametrize("text", ["violin: a", "naïve 東京", " two  spaces\n"])
def test_the_tokenizer_puts_the_first_token_there_and_gives_the_text_back(folder_of: FolderOf, text: str) -> None:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder_of("glosses"))
    numbers = tokenizer(text).input_ids
    assert numbers[0] == tokenizer.bos_token_id == 0
    assert tokenizer.decode(numbers, skip_special_tokens=True) == text
