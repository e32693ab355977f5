"""WordNet 3.0 to train on: its groups of synonyms with the gloss that they share.

Debian: `apt-get install wordnet-base` puts the files into /usr/share/wordnet.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("/usr/share/wordnet")


@dataclass(frozen=True)
class Synonyms:
    """Words with one meaning, the most usual first, and the gloss of it without the examples.

    `topic` is WordNet's lexicographer file (animals, food, motion ...).
    """

    words: tuple[str, ...]
    gloss: str
    topic: str


def read_synonyms(wordnet: Path, parts: Sequence[str]) -> Iterator[Synonyms]:
    """Yield what the files of some parts of speech (`data.noun`, `data.verb` ...) hold, in their order."""
    for part in parts:
        for line in (wordnet / part).read_text(encoding="utf-8").splitlines():
            if line.startswith(" "):  # the licence, at the top of the file
                continue
            fields, gloss = line.split(" | ", 1)
            _, topic, _, size, *rest = fields.split()
            yield Synonyms(tuple(rest[: 2 * int(size, 16) : 2]), gloss.split('; "')[0].strip(), topic)
