"""The documentation as a site: it builds without a broken link, and says what the code says."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.config import ModelConfig
from deployments.registry import ALIASES, TASKS
from serve.config.file import _section
from serve.config.service import ServiceConfig

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make docs` does; a link or an anchor that leads nowhere is an error there."""
    folder = tmp_path_factory.mktemp("handbook") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    built = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120
    )
    assert built.returncode == 0, built.stderr
    return folder


def text(page: Path) -> str:
    """What a reader sees."""
    body = re.search(r"<article.*?</article>", page.read_text(encoding="utf-8"), re.DOTALL)
    assert body
    return html.unescape(re.sub(r"<[^>]+>", "", body[0]))


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_a_page_with_its_fields_and_an_example(site: Path, name: str) -> None:
    page = text(site / "tasks" / f"{name}.html")
    task = TASKS[name]
    assert task.purpose
    assert task.purpose in page
    assert task.auto_model in page
    assert f"curl -s http://127.0.0.1:8000/tasks/{name} " in page
    fields = set(task.request.model_fields)
    if "parameters" in fields:
        fields |= set(_section(task.request.model_fields["parameters"].annotation).model_fields)
    assert [field for field in fields if not re.search(rf"\b{field}\b", page)] == []
    assert all(f"/tasks/{alias}" in page for alias, names in ALIASES.items() if name in names)


def test_every_key_of_a_configuration_is_in_the_reference(site: Path) -> None:
    page = text(site / "configuration-reference.html")

    def keys(model):
        for key, field in model.model_fields.items():
            yield key
            inner = _section(field.annotation)
            if inner is not None:
                yield from keys(inner)

    known = {*keys(ModelConfig), *keys(ServiceConfig)} - {"models"}
    assert len(known) > 40
    assert [key for key in known if not re.search(rf"\b{key}\b", page)] == []


def test_no_page_asks_another_host_for_anything(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*?(?:src|href)=\"?([^\"\s>]+)", page.read_text("utf-8"))
        assert loaded
        assert [address for address in loaded if re.match(r"(https?:)?//", address)] == [], page.name


def test_the_start_page_is_the_readme(site: Path) -> None:
    assert "make serve" in text(site / "index.html")


def test_the_page_of_all_tasks_leads_to_the_page_of_each(site: Path) -> None:
    page = (site / "tasks.html").read_text(encoding="utf-8")
    assert "curl" not in page
    assert all(f'href="tasks/{name}.html"' in page for name in TASKS)
