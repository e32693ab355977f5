"""What mkdocs calls: pages that are made from the documentation and the code, and links as a site needs them."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from deployments.registry import TASKS
from tools.handbook import settings_page, task_examples, task_page
from tools.handbook.links import in_site, within_site

ROOT = Path(__file__).parents[2]
TASKS_PLACE = "tasks/"  # in the navigation, where the pages of the tasks go
TASKS_INDEX = "tasks.md"


def on_config(config: Any) -> Any:
    """Put a page for each task into the navigation."""
    pages = [f"{TASKS_PLACE}{name}.md" for name in TASKS]
    config.nav = [
        {key: [TASKS_INDEX, *pages] if value == TASKS_PLACE else value for key, value in entry.items()}
        for entry in config.nav
    ]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made."""
    for path, (content, _) in _made().items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Have its links lead to pages of the site."""
    path = page.file.src_uri
    if path == TASKS_INDEX:
        markdown = task_examples.index(markdown)
    made = _made().get(path)
    source = f"docs/{path}" if made is None else made[1]
    if not source:
        return markdown
    return within_site(markdown, path, source, {file.src_uri for file in files}, lambda file: (ROOT / file).exists())


def _made() -> dict[str, tuple[str, str]]:
    """Text of each page that is made, and which file of the repository it comes from, if any."""
    told = task_examples.of_tasks()
    pages = {"configuration-reference.md": (settings_page.page(), "")}
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        pages[in_site(name)] = ((ROOT / name).read_text(encoding="utf-8"), name)
    for name in TASKS:
        pages[f"{TASKS_PLACE}{name}.md"] = (task_page.page(name, told[name]), f"docs/{TASKS_INDEX}")
    return pages
