"""Finding an interpreter and knowing its version, without starting it twice."""

from __future__ import annotations

import os
import shutil
import sys

from aml_jupyter.errors import RunConfigurationException
from aml_jupyter.job.layout import read_json, write_json

OLDEST = (3, 8)
"""Jobs bring a helper along that needs this Python."""

_CACHE = "interpreters.json"
_SECONDS_TO_START = 30
_QUESTION = "import sys; print('Python %d.%d.%d' % sys.version_info[:3])"


def find(interpreter_path: str | None, default: str) -> str:
    """The absolute path of the interpreter that v1's ``interpreter_path`` names.

    ``python`` is ``default``; another bare name is looked for on the PATH.
    Links are kept as they are: a virtual environment is known by its link.
    """
    asked = interpreter_path or "python"
    if asked == "python":
        return _usable(os.path.abspath(default), asked)
    if os.sep in asked or asked.startswith("~"):
        return _usable(os.path.abspath(os.path.expanduser(asked)), asked)
    found = shutil.which(asked)
    if found is None:
        raise RunConfigurationException(
            f"The interpreter {asked!r} is not on the PATH.", _remedy("its full path")
        )
    return os.path.abspath(found)


def version_of(interpreter: str) -> str:
    """The interpreter's version, such as ``3.11.7``; refused when too old or no Python at all."""
    if interpreter == os.path.abspath(sys.executable):
        version = "{}.{}.{}".format(*sys.version_info)
    else:
        version = _remembered(interpreter)
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        raise RunConfigurationException(
            f"The interpreter {interpreter} is Python {version}, which is too old.",
            _remedy("a Python {}.{} or newer".format(*OLDEST)),
        )
    return version


def _usable(path: str, asked: str) -> str:
    if os.path.isdir(path):
        inside = os.path.join(path, "bin", "python")
        what = inside if os.path.exists(inside) else "the interpreter itself"
        raise RunConfigurationException(f"The interpreter {path} is a folder.", _remedy(what))
    if not os.path.exists(path):
        given = "" if path == asked else f" (given as {asked!r})"
        raise RunConfigurationException(
            f"There is no interpreter {path}{given}.", _remedy("one that exists")
        )
    if not os.access(path, os.X_OK):
        raise RunConfigurationException(
            f"The interpreter {path} is not executable.",
            f"Run `chmod +x {path}`, or set env.python.interpreter_path to another.",
        )
    return path


def _remembered(interpreter: str) -> str:
    """The version, from the cache while the file is the one that was asked then."""
    cache_path = os.path.join(_home(), _CACHE)
    cache = read_json(cache_path)
    known = cache if isinstance(cache, dict) else {}
    stat = os.stat(interpreter)
    stamp = [stat.st_mtime_ns, stat.st_size, stat.st_ino]
    entry = known.get(interpreter)
    if isinstance(entry, dict) and entry.get("stamp") == stamp:
        return str(entry["version"])
    version = _asked(interpreter)
    try:
        os.makedirs(_home(), mode=0o700, exist_ok=True)
        write_json(cache_path, {**known, interpreter: {"stamp": stamp, "version": version}})
    except OSError:
        pass  # It is only a cache; without it the interpreter is asked again next time.
    return version


def _asked(interpreter: str) -> str:
    import subprocess

    try:
        # -E -s -S: quick, and nothing of ours or of its packages can get in the way.
        answer = subprocess.run(
            [interpreter, "-E", "-s", "-S", "-c", _QUESTION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS_TO_START,
            cwd="/",
            check=False,
        )
    except subprocess.TimeoutExpired:
        problem = f"gave no answer within {_SECONDS_TO_START} s"
    except OSError as error:
        problem = f"cannot be started: {error.strerror or error}"
    else:
        found = answer.stdout.strip().rpartition("Python ")
        if answer.returncode == 0 and found[1]:
            return found[2]
        said = (answer.stderr or answer.stdout).strip().splitlines()
        problem = f"is not a working Python: {said[-1] if said else 'it said nothing'}"
    raise RunConfigurationException(
        f"The interpreter {interpreter} {problem}.", _remedy("a Python")
    )


def _home() -> str:
    # The same folder as the store's, which this room does not import.
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.environ.get("AML_HOME") or os.path.join(state, "aml")


def _remedy(what: str) -> str:
    return f"Set env.python.interpreter_path to {what}; 'python' is the one you submit from."
