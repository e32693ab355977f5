"""CleanUp: a growing text without the spaces that some tokenizers remove before punctuation and in "do n't"."""

from collections.abc import Callable


class CleanUp:
    """Applies transformers' `clean_up_tokenization` to a text that comes in pieces.

    What it does to the end of a text depends on what follows, so the last word is withheld. A text is divided only
    before a space that no replacement can reach across.

    Args:
        clean: `clean_up_tokenization` of the tokenizer.
        before: the text before the first piece: a prompt, which is cleaned with it and is not returned.
    """

    def __init__(self, clean: Callable[[str], str], before: str = "") -> None:
        self._clean = clean
        self._withheld = before[_last_border(before) :]
        self._skip = len(clean(self._withheld))  # characters that belong to `before`

    def add(self, piece: str) -> str:
        """The text that is certain with this piece."""
        text = self._withheld + piece
        border = _last_border(text)
        self._withheld = text[border:]
        return self._without_before(self._clean(text[:border]))

    def flush(self) -> str:
        """The rest, at the end."""
        rest, self._withheld = self._withheld, ""
        return self._without_before(self._clean(rest))

    def _without_before(self, text: str) -> str:
        skipped = min(self._skip, len(text))
        self._skip -= skipped
        return text[skipped:]


def _last_border(text: str) -> int:
    """The last place where the text may be divided; 0 for none.

    The replacements remove the space in " .", " ?", " !", " ,", " n't", " 'm", " 's", " 've", " 're", and both in
    " ' ": each begins with a space, and only an apostrophe or an n may stand before another one.
    """
    place = text.rfind(" ")
    while place > 0 and text[:place].endswith((" ", " '", " n")):
        place = text.rfind(" ", 0, place)
    return max(0, place)
