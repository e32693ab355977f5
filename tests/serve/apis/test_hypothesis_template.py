"""Hypothesis templates: those of `str.format`, without what reaches into objects or takes memory."""

import pytest

from deployments.errors import TooLarge
from serve.apis.huggingface.hypothesis_template import check_template, hypothesis


@pytest.mark.parametrize("template", ["{}", "a {0}.", "{0} and {0}", "{{x}} {}", "{{{}}}", "{!r}", "{0!a}", "}}{{"])
def test_it_is_format_with_the_label(template: str) -> None:
    check_template(template)
    assert hypothesis(template, "Zoë {0.x}") == template.format("Zoë {0.x}")


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("This.", "needs {} in place of the label"),
        ("", "needs {} in place of the label"),
        ("{label}", "has the field {label}; only the label can be filled in, at {} or {0}"),
        ("{1}", "has the field {1}"),
        ("{0.__class__}", "has the field {0.__class__}"),
        ("{0[0]}", "has the field {0[0]}"),
        ("{.real}", "has the field {.real}"),
        ("{:>999999999}", "has the format '>999999999'"),
        ("{:{}}", "has the format '{}'"),
        ("{} {}", "cannot be formatted with a label: "),
        ("{} {0}", "cannot be formatted with a label: cannot switch from automatic"),
        ("{!x}", "cannot be formatted with a label: "),
        ("{", "cannot be formatted with a label: Single '{' encountered"),
        ("{} }", "cannot be formatted with a label: Single '}' encountered"),
        ("{0", "cannot be formatted with a label: expected '}'"),
    ],
)
def test_what_is_wrong_is_named(template: str, problem: str) -> None:
    with pytest.raises(ValueError, match="^") as error:
        check_template(template)
    assert str(error.value).startswith(problem)


def test_a_hypothesis_is_no_longer_than_a_text() -> None:
    with pytest.raises(TooLarge, match="has 300,000 characters"):
        hypothesis("{0}{0}{0}" * 10_000, "1234567")
