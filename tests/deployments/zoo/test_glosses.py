"""`glosses` writes in the manner of a dictionary."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

FolderOf = Callable[[str], Path]


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
