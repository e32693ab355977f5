"""Hypothesis templates of zero-shot-classification: `str.format` with the label as its only argument.

transformers' pipeline calls `template.format(label)`. A template comes from the caller, so only what cannot reach
attributes or allocate memory is formatted: `{}`, `{0}`, their conversions such as `{!r}`, and `{{` and `}}` for braces.
"""

from string import Formatter

from deployments.errors import TooLarge
from deployments.text.task import MAX_CHARACTERS

PLACEHOLDER = "{}"  # for the label


def check_template(template: str) -> None:
    """Check that a template can be formatted with a label.

    Raises:
        ValueError: what is wrong with it. A template that formatting does not change has no place for the label.
    """
    for _, field, specification, _ in _parts(template):
        if field not in (None, "", "0"):
            raise ValueError(f"has the field {{{field}}}; only the label can be filled in, at {PLACEHOLDER} or {{0}}")
        if specification:
            raise ValueError(f"has the format {specification!r}; write {PLACEHOLDER} or {{0}} in place of the label")
    try:
        unchanged = template.format("label") == template
    except (ValueError, IndexError) as error:
        raise ValueError(f"cannot be formatted with a label: {error}") from None
    if unchanged:
        raise ValueError(f"needs {PLACEHOLDER} in place of the label")


def hypothesis(template: str, label: str) -> str:
    """The template, which has been checked, with a label.

    Raises:
        TooLarge: longer than a text may be.
    """
    places = sum(field is not None for _, field, _, _ in _parts(template))
    if (size := len(template) + places * len(label)) > MAX_CHARACTERS:
        raise TooLarge(f"hypothesis_template with a label has {size:,} characters; the limit is {MAX_CHARACTERS:,}")
    return template.format(label)


def _parts(template: str) -> list[tuple[str, str | None, str | None, str | None]]:
    """Literal text, field, format and conversion of each part.

    Raises:
        ValueError: braces that do not match.
    """
    try:
        return list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"cannot be formatted with a label: {error}; write {{{{ and }}}} for braces") from None
