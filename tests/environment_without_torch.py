"""A virtual environment with all packages of this one except torch, as in the slim image: no process finds it."""

import sys
import sysconfig
from pathlib import Path
from venv import EnvBuilder

_ABSENT = ("torch", "functorch", "nncf")  # nncf: the slim image builds nothing
_SCRIPTS = ("automodel-serve", "automodel-haproxy")


def environment_without_torch(folder: Path) -> Path:
    """Make the environment, of links to the packages here; its Python interpreter."""
    EnvBuilder(symlinks=True, with_pip=False).create(folder)
    here = Path(sysconfig.get_path("purelib"))
    inside = folder / Path(here).relative_to(sys.prefix)
    for package in here.iterdir():
        if not package.name.startswith(_ABSENT) and package.suffix != ".pth":
            (inside / package.name).symlink_to(package)
    (inside / "project.pth").write_text(str(Path(__file__).resolve().parents[1]))
    python = folder / "bin" / "python"
    for name in _SCRIPTS:
        _, _, program = (Path(sys.prefix) / "bin" / name).read_text().partition("\n")
        script = folder / "bin" / name
        script.write_text(f"#!{python}\n{program}")
        script.chmod(0o755)
    return python
