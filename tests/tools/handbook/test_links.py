"""Links as the repository has them, and as the site needs them."""

import pytest

from tools.handbook.links import within_site

PAGES = {"index.md", "operations.md", "tasks/fill-mask.md", "CONTRIBUTING.md", "images/top.svg"}
REPOSITORY = {"k8s/base/rule.yaml"}


@pytest.mark.parametrize(
    ("page", "source", "link", "expected"),
    [
        ("operations.md", "docs/operations.md", "[a](../README.md#limits)", "[a](index.md#limits)"),
        ("operations.md", "docs/operations.md", "[a](../CONTRIBUTING.md)", "[a](CONTRIBUTING.md)"),
        ("operations.md", "docs/operations.md", "![a](images/top.svg)", "![a](images/top.svg)"),
        ("operations.md", "docs/operations.md", "[rules](../k8s/base/rule.yaml)", "rules"),
        ("operations.md", "docs/operations.md", "[a](nowhere.md)", "[a](nowhere.md)"),
        ("operations.md", "docs/operations.md", "[a](#ports)", "[a](#ports)"),
        ("index.md", "README.md", "[a](docs/operations.md#end)", "[a](operations.md#end)"),
        ("index.md", "README.md", "![a](docs/images/top.svg)", "![a](images/top.svg)"),
        ("index.md", "README.md", "[a](https://example.org/x.md)", "[a](https://example.org/x.md)"),
        ("index.md", "README.md", "`[a](nowhere.md)`", "`[a](nowhere.md)`"),
        ("index.md", "README.md", "```\n[a](nowhere.md)\n```", "```\n[a](nowhere.md)\n```"),
        ("tasks/fill-mask.md", "docs/tasks/fill-mask.md", "[a](../operations.md)", "[a](../operations.md)"),
    ],
)
def test_a_link_leads_to_the_page_of_the_site(page: str, source: str, link: str, expected: str) -> None:
    assert within_site(f"See {link} here.", page, source, PAGES, REPOSITORY.__contains__) == f"See {expected} here."
