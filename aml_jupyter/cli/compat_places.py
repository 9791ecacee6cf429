"""Where ``aml compat on`` writes, and ``aml compat off`` takes exactly that away again.

Two places, both the user's own: a line in the IPython profile, for every notebook; and a block in
the ``sitecustomize`` that this one interpreter imports at its start, for scripts. Whatever else is
in these files stays as it is.
"""

from __future__ import annotations

import os
import re
import site
import sys
import sysconfig
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from IPython.paths import get_ipython_dir

from ..errors import UserErrorException

_LINE = (
    "c.InteractiveShellApp.extensions.extend(['aml_jupyter'] if"
    " __import__('importlib.util').util.find_spec('aml_jupyter') else [])"
    "  # aml compat: `aml compat off` takes this line away\n"
)
_IS_THE_LINE = re.compile(r"^.*# aml compat: .*(\n|\Z)", re.M)
_BLOCK = """\
# aml compat: begin (`aml compat off` takes this away)
try:
    from aml_jupyter.compat import install as _let_azureml_be_found
except ImportError:
    pass
else:
    _let_azureml_be_found()
# aml compat: end
"""
_IS_THE_BLOCK = re.compile(r"^# aml compat: begin.*?^# aml compat: end.*?(\n|\Z)", re.M | re.S)


@dataclass(frozen=True)
class Place:
    """A text in a file that other people's words may be in as well."""

    purpose: str
    path: Path
    text: str
    known_by: re.Pattern[str]

    @property
    def is_on(self) -> bool:
        """Whether the text is there."""
        return bool(self.known_by.search(self._read()))

    def put(self) -> bool:
        """Add the text to the end of the file; False if it is there."""
        if self.is_on:
            return False
        content = self._read()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._write(content + ("" if content.endswith("\n") or not content else "\n") + self.text)
        return True

    def take(self) -> bool:
        """Take the text out, and the file away if nothing else is in it; False if not there."""
        if not self.is_on:
            return False
        left = self.known_by.sub("", self._read())
        if left:
            self._write(left)
        else:
            self.path.unlink()
        return True

    def _read(self) -> str:
        return self.path.read_text(encoding="utf-8") if self.path.exists() else ""

    def _write(self, content: str) -> None:
        real = self.path.resolve()  # a configuration may be a link into somebody's dotfiles
        aside = real.with_name(f"{real.name}.aml-{os.getpid()}")
        aside.write_text(content, encoding="utf-8")
        if real.exists():
            aside.chmod(real.stat().st_mode & 0o7777)
        aside.replace(real)


def for_notebooks() -> Place:
    """The line in the configuration of IPython's default profile."""
    path = Path(get_ipython_dir(), "profile_default", "ipython_config.py")
    return Place("notebooks, in kernels with aml_jupyter", path, _LINE, _IS_THE_LINE)


def for_scripts() -> Place:
    """The block in a module that this interpreter imports at its start."""
    return Place(f"scripts of {sys.executable}", _startup_file(), _BLOCK, _IS_THE_BLOCK)


def _startup_file() -> Path:
    packages = Path(sysconfig.get_paths()["purelib"])
    own = packages / "sitecustomize.py"
    found = PathFinder.find_spec("sitecustomize", _lasting_path())
    counts = Path(found.origin) if found is not None and found.origin else own
    # Beside packages it is the interpreter's own; elsewhere (Debian has one in its library) not.
    if counts == own and os.access(packages, os.W_OK):
        return own
    if site.ENABLE_USER_SITE:
        return Path(site.getusersitepackages()) / "usercustomize.py"
    raise UserErrorException(
        f"Scripts of {sys.executable} cannot be told at their start: {counts} is not yours.",
        "Start them with `aml compat run script.py`, or use a virtual environment.",
    )


def _lasting_path() -> list[str]:
    """Where this interpreter looks every time: what PYTHONPATH adds is gone tomorrow."""
    added = set(os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return [entry for entry in sys.path if entry and entry not in added]
