"""Tokens to entities: the five aggregation strategies of transformers' TokenClassificationPipeline (5.23).

`none` returns the label of each token. The others group adjacent tokens of the same label, by the BIO scheme if labels
begin with `B-` or `I-`. `simple` groups tokens; `first`, `average` and `max` group words, labelled by their first
token, their mean scores, or their token with the highest score.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Strategy = Literal["none", "simple", "first", "average", "max"]
WORD_STRATEGIES = ("first", "average", "max")

Join = Callable[[list[str]], str]  # vocabulary tokens to text


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a text and its scores.

    Attributes:
        word: the token as in the vocabulary.
        scores: float32 `[labels]`, summing to 1.
        start: offset of its first character in the text.
        end: offset after its last character.
        index: position among the text's tokens, special tokens included.
        is_subword: continues the previous word.
    """

    word: str
    scores: Any
    start: int
    end: int
    index: int
    is_subword: bool


@dataclass(frozen=True, slots=True)
class Tagged:
    """A token or word with its label."""

    label: str
    score: Any
    word: str
    start: int
    end: int


def list_tokens(tokens: Iterable[Token], labels: Mapping[int, str], ignored: Sequence[str]) -> list[dict[str, Any]]:
    """Strategy `none`: every token whose label is not ignored."""
    entities = []
    for token in tokens:
        tagged = _tag(token.scores, labels, token.word, token.start, token.end)
        if tagged.label not in ignored:
            entities.append(
                {
                    "entity": tagged.label,
                    "score": tagged.score,
                    "index": token.index,
                    "word": token.word,
                    "start": token.start,
                    "end": token.end,
                }
            )
    return entities


def find_entities(
    tokens: Sequence[Token], strategy: Strategy, labels: Mapping[int, str], ignored: Sequence[str], join: Join
) -> list[dict[str, Any]]:
    """The other strategies: groups of one label, unless the label without its prefix is ignored."""
    if strategy in WORD_STRATEGIES:
        tagged = [_tag_word(word, strategy, labels, join) for word in _words(tokens)]
    else:
        tagged = [_tag(token.scores, labels, token.word, token.start, token.end) for token in tokens]
    return [entity for entity in map(_entity(join), _runs(tagged)) if entity["entity_group"] not in ignored]


def _tag(scores: Any, labels: Mapping[int, str], word: str, start: int, end: int) -> Tagged:
    best = int(scores.argmax())
    return Tagged(labels[best], scores[best], word, start, end)


def _tag_word(word: Sequence[Token], strategy: Strategy, labels: Mapping[int, str], join: Join) -> Tagged:
    import numpy as np

    if strategy == "average":
        scores = np.mean([token.scores for token in word], axis=0)
    elif strategy == "max":
        scores = max(word, key=lambda token: float(token.scores.max())).scores
    else:
        scores = word[0].scores
    return _tag(scores, labels, join([token.word for token in word]), word[0].start, word[-1].end)


def _words(tokens: Sequence[Token]) -> list[list[Token]]:
    words: list[list[Token]] = []
    for token in tokens:
        if words and token.is_subword:
            words[-1].append(token)
        else:
            words.append([token])
    return words


def _runs(tagged: Sequence[Tagged]) -> list[list[Tagged]]:
    """Group adjacent items whose labels differ only in prefix. `B-` starts a group; no prefix counts as `I-`."""
    runs: list[list[Tagged]] = []
    for item in tagged:
        begins = item.label.startswith("B-")
        if runs and not begins and _name(item.label) == _name(runs[-1][-1].label):
            runs[-1].append(item)
        else:
            runs.append([item])
    return runs


def _name(label: str) -> str:
    return label[2:] if label.startswith(("B-", "I-")) else label


def _entity(join: Join) -> Callable[[list[Tagged]], dict[str, Any]]:
    import numpy as np

    def entity(run: list[Tagged]) -> dict[str, Any]:
        return {
            # As in the pipeline, anything up to the first hyphen is a prefix here, not only B and I.
            "entity_group": run[0].label.split("-", 1)[-1],
            "score": np.mean([item.score for item in run]),
            "word": join([item.word for item in run]),
            "start": run[0].start,
            "end": run[-1].end,
        }

    return entity
