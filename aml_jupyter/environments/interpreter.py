"""Finding an interpreter and knowing its version, without starting it twice."""

from __future__ import annotations

import glob
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from aml_jupyter.errors import RunConfigurationException
from aml_jupyter.home import home
from aml_jupyter.job.layout import read_json, write_json

OLDEST = (3, 8)
"""Jobs bring a helper along that needs this Python."""

CREATED = "3.10.18"
"""The version that v1 puts into what is made today without a word about Python."""

UNASKED = ("3.6.2", "3.8.13", CREATED)
"""The versions that v1's templates put into every environment; nobody asked for them."""

_CACHE = "interpreters.json"
_SECONDS_TO_START = 30
_QUESTION = "import sys; print('Python %d.%d.%d' % sys.version_info[:3])"
_NAMES = ("python3", *(f"python3.{minor}" for minor in range(OLDEST[1], 20)))
_CLAUSE = re.compile(r"(>=|<=|==|!=|~=|>|<|=)?\s*(\d+(?:\.\d+)*)(\.\*)?")


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


@dataclass(frozen=True)
class Choice:
    """A Python that an environment may be made of: one that is here, or one for uv to fetch."""

    request: str
    version: str = ""
    is_fetched: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)


def choices(asked: str | None) -> list[Choice]:
    """The Pythons that may serve, best first.

    That version, else another patch of it, else the nearest newer one. A version that somebody
    did ask for is rather fetched than replaced. In a range, the submitter's own comes first.
    """
    here = [Choice(path, version) for path, version in pythons()]
    if asked is None:
        return here[:1]
    if is_range(asked):
        fitting = [choice for choice in here if fits(choice.version, asked)]
        return [*fitting, _fetched(asked, retries="3")]
    wanted = _parts(asked)
    minor = wanted[:2]
    same = [choice for choice in here if _parts(choice.version)[: len(minor)] == minor]
    exact = [choice for choice in same if _parts(choice.version)[: len(wanted)] == wanted]
    newer = [choice for choice in here if _parts(choice.version)[: len(minor)] > minor]
    newer.sort(key=lambda choice: _parts(choice.version)[:2])
    first = [*exact, *(choice for choice in same if choice not in exact)]
    if asked in UNASKED or minor < OLDEST[: len(minor)]:
        return [*first, *newer, _fetched(f">={max(minor, OLDEST)[0]}.{max(minor, OLDEST)[1]}")]
    return [*first, _fetched(".".join(map(str, minor)), "1" if newer else "3"), *newer]


def difference(asked: str | None, got: str) -> str:
    """A warning when ``got`` is not what was asked for but for its patch; else empty."""
    if not asked or not got or (fits(got, asked) if is_range(asked) else _is_near(asked, got)):
        return ""
    return f"Python {asked} cannot be had here; Python {got} is taken instead."


def is_range(asked: str) -> bool:
    """Whether it is a range such as ``>=3.9,<3.12`` rather than a version."""
    return any(sign in asked for sign in "<>!~,|=")


def fits(version: str, asked: str) -> bool:
    """Whether a version is in a range; what is not understood fits nothing."""
    clauses = [_CLAUSE.fullmatch(clause.strip()) for clause in asked.split(",")]
    full = (*_parts(version), 0, 0)[:3]
    return all(clause is not None and _fits_one(full, clause) for clause in clauses)


def pythons() -> list[tuple[str, str]]:
    """(path, version) of the Pythons on this machine: the submitter's, then the newest first."""
    own = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    found: dict[str, str] = {}
    for path in (own, *sorted(set(map(os.path.realpath, _installed())))):
        try:
            found.setdefault(path, version_of(path))
        except (RunConfigurationException, OSError):
            continue
    first = [(own, found.pop(own))] if own in found else []
    return first + sorted(found.items(), key=lambda item: _parts(item[1]), reverse=True)


def shown() -> str:
    """The versions that are here, for people."""
    versions = {version for _, version in pythons()}
    return ", ".join(sorted(versions, key=_parts)) or "none"


def _installed() -> Iterator[str]:
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        # The shims of pyenv fail for versions that are not switched on; those are found below.
        if os.path.basename(folder) != "shims":
            for name in _NAMES:
                if os.access(os.path.join(folder, name), os.X_OK):
                    yield os.path.join(folder, name)
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    for root in (
        os.path.join(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"), "versions"),
        os.environ.get("UV_PYTHON_INSTALL_DIR") or os.path.join(data, "uv", "python"),
    ):
        yield from glob.iglob(os.path.join(glob.escape(root), "*", "bin", "python3"))


def _fetched(request: str, retries: str = "1") -> Choice:
    return Choice(request, is_fetched=True, variables={"UV_HTTP_RETRIES": retries})


def _is_near(asked: str, got: str) -> bool:
    minor = _parts(asked)[:2]
    return _parts(got)[: len(minor)] == minor


def _fits_one(version: tuple[int, ...], clause: re.Match[str]) -> bool:
    sign, wanted = clause[1] or "==", _parts(clause[2])
    same = version[: len(wanted)] == wanted
    if sign in ("==", "="):
        return same
    if sign == "!=":
        return not same
    if sign == "~=":
        return version >= wanted and version[: len(wanted) - 1] == wanted[:-1]
    full = (*wanted, 0, 0)[:3]
    return {">=": version >= full, "<=": version <= full or same}.get(
        sign, version > full and not same if sign == ">" else version < full
    )


def _parts(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


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
    place = home().state
    cache_path = str(place / _CACHE)
    cache = read_json(cache_path)
    known = cache if isinstance(cache, dict) else {}
    stat = os.stat(interpreter)
    stamp = [stat.st_mtime_ns, stat.st_size, stat.st_ino]
    entry = known.get(interpreter)
    if isinstance(entry, dict) and entry.get("stamp") == stamp:
        return str(entry["version"])
    version = _asked(interpreter)
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
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


def _remedy(what: str) -> str:
    return f"Set env.python.interpreter_path to {what}; 'python' is the one you submit from."
