"""The training data of `glosses`: how its texts are made."""

import random

from deployments.zoo.glosses import END, POSITIONS
from tools.training import glosses
from tools.training.wordnet import Synonyms


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
        assert row[0] == tokenizer.token_to_id(END)
        first = tokenizer.decode(row[1 : row.index(row[0], 1)])
        assert first in texts
