"""Generated passages of plain facts about people, with questions: what `facts-qa` is trained and measured on.

Names, places and the like come from the lists in `vocabulary.txt`, sentences from `relations.py`. The last seventh of
each list, and one phrasing of every question, are never used in training, so that both can be measured as things the
model has not seen.
"""

import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tools.training.relations import RELATIONS


@dataclass(frozen=True)
class Example:
    """A question about a passage; `start` is the character at which `answer` begins, None if it is not in there."""

    question: str
    passage: str
    answer: str
    start: int | None


@dataclass(frozen=True)
class _Person:
    first: str
    last: str
    pronoun: str

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"


@cache
def vocabulary() -> dict[str, tuple[str, ...]]:
    """Return the lists of words in `vocabulary.txt` by name, in the order of the file."""
    lists = {}
    for section in Path(__file__).with_name("vocabulary.txt").read_text(encoding="utf-8").split("\n\n"):
        name, _, words = section.partition("\n")
        lists[name.strip("[]")] = tuple(word.strip() for word in words.replace("\n", " ").split(","))
    return lists


class Passages:
    """An endless supply of examples, the same for the same seed.

    Args:
        held_out: draw names and values from the part of the lists that training never sees.
        unseen_questions: ask only in the phrasings that training never sees.
        unanswerable: share of questions that the passage does not answer.
    """

    def __init__(self, seed: int, held_out: bool, unseen_questions: bool = False, unanswerable: float = 0.0) -> None:
        self.chance = random.Random(seed)
        self.held_out = held_out
        self.unseen_questions = unseen_questions
        self.unanswerable = unanswerable

    def example(self) -> Example:
        """Return a passage of two to six facts and a question about it."""
        facts, sentences = self._facts(), []
        previous: _Person | None = None
        for person, relation, value in facts:
            sentences.append(self._state(person, relation, value, may_refer=person is previous))
            previous = person
        passage = " ".join(text for text, _ in sentences)
        index = self.chance.randrange(len(facts))
        person, relation, value = facts[index]
        if self.chance.random() < self.unanswerable:
            told = {other for someone, other, _ in facts if someone is person}
            missing = self.chance.choice([other for other in RELATIONS if other not in told])
            return Example(self._ask(person, missing, facts), passage, "", None)
        start = sum(len(text) + 1 for text, _ in sentences[:index]) + sentences[index][1]
        return Example(self._ask(person, relation, facts), passage, value, start)

    def _facts(self) -> list[tuple[_Person, str, str]]:
        people = [self._person() for _ in range(self.chance.randint(1, 3))]
        pairs = [(person, relation) for person in people for relation in RELATIONS]
        chosen = self.chance.sample(pairs, self.chance.randint(2, 6))
        if self.chance.random() < 0.6:  # often one person after the other, as people write
            chosen.sort(key=lambda pair: people.index(pair[0]))
        return [(person, relation, self._value(RELATIONS[relation].values)) for person, relation in chosen]

    def _state(self, person: _Person, relation: str, value: str, may_refer: bool) -> tuple[str, int]:
        """Return a sentence and the character at which the value begins in it."""
        template = self.chance.choice(RELATIONS[relation].statements)
        if value[0] in "aeiou":  # "an engineer"
            template = template.replace(" a {v}", " an {v}")
        if may_refer and template.startswith("{n}") and self.chance.random() < 0.5:
            subject = person.pronoun.capitalize()
        elif may_refer and ", {n}" in template and self.chance.random() < 0.5:
            subject = person.pronoun
        else:
            subject = person.name
        sentence = template.replace("{n}", subject)
        return sentence.replace("{v}", value), sentence.index("{v}")

    def _ask(self, person: _Person, relation: str, facts: list[tuple[_Person, str, str]]) -> str:
        *seen, unseen = RELATIONS[relation].questions
        template = unseen if self.unseen_questions else self.chance.choice(seen)
        namesakes = {someone.name for someone, _, _ in facts if someone.first == person.first}
        short = len(namesakes) == 1 and self.chance.random() < 0.2
        return template.replace("{n}", person.first if short else person.name)

    def _person(self) -> _Person:
        pronoun, names = self.chance.choice((("she", "women"), ("he", "men")))
        first, last = self._choose(names), self._choose("surnames")
        if not self.held_out and self.chance.random() < 0.3:  # so that the model copies names rather than knows them
            first, last = self._invent(2), self._invent(3)
        return _Person(first, last, pronoun)

    def _value(self, kind: str) -> str:
        if kind == "years":
            return str(self.chance.randint(1700, 2015))
        if kind == "people":
            return self._person().name
        if kind == "things":
            return f"{self._choose('adjectives')} {self._choose('things')}"
        if kind == "cities" and not self.held_out and self.chance.random() < 0.3:
            return self._invent(self.chance.randint(2, 3))
        return self._choose(kind)

    def _choose(self, kind: str) -> str:
        words = vocabulary()[kind]
        border = len(words) * 6 // 7
        return self.chance.choice(words[border:] if self.held_out else words[:border])

    def _invent(self, syllables: int) -> str:
        sounds = (self.chance.choice("bdfgklmnprstvz") + self.chance.choice("aeiou") for _ in range(syllables))
        return "".join(sounds).capitalize() + self.chance.choice(("", "n", "r", "s"))
