"""Links of pages that are read in the repository, as a site needs them."""

import posixpath
import re
from collections.abc import Callable

_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)


def within_site(text: str, page: str, source: str, pages: set[str], exists: Callable[[str], bool]) -> str:
    """The text of a page with links that lead to pages of the site.

    Args:
        text: Markdown.
        page: its path in the site.
        source: its path in the repository, which links in the text are relative to.
        pages: paths of all pages and pictures of the site.
        exists: whether the repository has a file or folder.

    Returns: Markdown. What only the repository has, such as a source file, is named without a link; what nobody has is
        left for mkdocs to complain of.
    """

    def replaced(match: re.Match[str]) -> str:
        target, _, anchor = match["target"].partition("#")
        if not target or ":" in target:
            return match[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        path = in_site(file)
        if path not in pages:
            return match["text"] if exists(file) else match[0]
        relative = posixpath.relpath(path, posixpath.dirname(page) or ".")
        return f"{match['image']}[{match['text']}]({relative}{'#' + anchor if anchor else ''})"

    parts = _CODE.split(text)  # every other one is code
    return "".join(part if place % 2 else _LINK.sub(replaced, part) for place, part in enumerate(parts))


def in_site(path: str) -> str:
    """Where the site has a file of the repository."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")
