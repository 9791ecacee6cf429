"""What a build of packages in an image is given: scripts, requirements, settings and secrets."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote

from aml_jupyter.spec.frameworks import TORCH_FOR_CPU

from . import dockerfile, uv_settings
from .conda_names import NotOnPyPI, on_pypi
from .making import BuildError, Site
from .recipe import Recipe
from .venv import TORCH_NOTE, requirement_name, split

PACKAGES, TOOLS = "packages", "tools"
SETTINGS, NETRC, CERTIFICATES = "aml-settings", "aml-netrc", "aml-ca"
"""The secrets that a build by BuildKit gets, by their names there."""

_FILES = f"{dockerfile.STAGE}/{PACKAGES}/files"
_SETTINGS_OF_UV = re.compile(
    r"UV_(DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|NO_INDEX|INSECURE_HOST"
    r"|INDEX_STRATEGY|INDEX_\w+_(USERNAME|PASSWORD)|PRERELEASE|RESOLUTION|EXCLUDE_NEWER|OFFLINE"
    r"|HTTP_TIMEOUT|REQUEST_TIMEOUT|HTTP_RETRIES|NO_BUILD|NO_BINARY|NO_BUILD_ISOLATION"
    r"|PYTHON_INSTALL_MIRROR|PYPY_INSTALL_MIRROR|PYTHON_DOWNLOADS|TORCH_BACKEND)"
)
_HAS_CREDENTIALS = re.compile(r"://[^/\s@]+@|^UV_INDEX_\w+_PASSWORD$")
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
_OF_THE_IMAGE = {"HOME", "PATH"}  # which build.sh needs as they are
_PLACE_OPTION = re.compile(r"(--find-links|-f|--index-url|-i|--extra-index-url)(?:\s+|=)(\S.*)")
_PLACE = re.compile(
    r"(?P<name>[\w.-]+(?:\[[^\]]*\])?\s*@\s*)?(?P<path>(?:file://)?/[^;#\s]+)(?P<rest>.*)"
)
_EDITABLE = re.compile(r"(-e|--editable)[\s=]")
_SMALL = 10 << 20
_OLDEST, _NEWEST = (3, 8), (3, 14)


@dataclass(frozen=True)
class Context:
    """A folder to build in, and the secrets that go beside it.

    ``requirements`` are those of the recipe, one for each line that uv reads.
    """

    folder: Path
    secrets: Mapping[str, Path]
    requirements: tuple[str, ...]


def write(recipe: Recipe, site: Site, *, by_buildkit: bool) -> Context:
    """The context for the recipe's packages, in the site's scratch folder.

    What is secret can be kept out of the layers by BuildKit only; BuildError where the classic
    builder would have to be told.
    """
    folder = site.scratch / "context"
    packages = folder / PACKAGES
    shutil.rmtree(folder, ignore_errors=True)
    packages.mkdir(parents=True)
    _write_tools(folder / TOOLS, recipe)
    variables = uv_settings.variables(site, recipe.pip)
    flags, lines = split(recipe.pip)
    files = _Files(packages / "files", {requirement_name(line) for line in lines})
    staged = tuple(map(files.staged, lines))
    settings = _settings(variables, files, flags, recipe.pip)
    named = _named(recipe.pip, variables)
    (packages / "requirements.txt").write_text(_lines(staged), encoding="utf-8")
    (packages / "pythons").write_text(_lines(pythons(recipe.python)), encoding="utf-8")
    if recipe.conda:
        _write_conda(packages, recipe, site, files)
    netrc = variables.get("NETRC") or os.path.join(variables.get("HOME") or "~", ".netrc")
    secrets = {NETRC: os.path.expanduser(netrc), CERTIFICATES: variables.get("SSL_CERT_FILE")}
    there = {name: Path(path) for name, path in secrets.items() if path and os.path.isfile(path)}
    if by_buildkit:
        there[SETTINGS] = site.private_file("image-settings", _exports({**settings, **named}))
    else:
        _refuse_credentials(settings, named, site)
        (packages / "settings").write_text(_exports(settings), encoding="utf-8")
        if CERTIFICATES in there:
            shutil.copyfile(there[CERTIFICATES], packages / "ca.pem")
        there = {}
    return Context(folder, there, tuple(lines))


def _write_tools(folder: Path, recipe: Recipe) -> None:
    folder.mkdir()
    here = Path(__file__).parent
    shutil.copyfile(here / "image_build.sh", folder / "build.sh")
    if recipe.conda:
        shutil.copyfile(here / "by_rattler.py", folder / "by_rattler.py")


def pythons(asked: str | None) -> Iterator[str]:
    """The tries for a Python, the best first, as build.sh reads them.

    A range has to be met. A version that nobody can get any more, as v1's samples name them, is
    made up for by the nearest newer one, which is said.
    """
    request = (asked or f">={_OLDEST[0]}.{_OLDEST[1]}").strip().lstrip("=")
    found = re.fullmatch(r"(\d+)\.(\d+)(?:\.(\d+|\*))?", request)
    if found is None:
        compact = request.replace(" ", "")
        yield f"no-managed-python {compact}"
        yield f"managed-python {compact}"
        return
    major, minor = int(found[1]), int(found[2])
    if found[3] and found[3] != "*":
        yield f"no-managed-python {request}"
    yield f"no-managed-python {major}.{minor}"
    yield f"managed-python {major}.{minor}"
    note = f"Python {request} is not in this image and cannot be fetched; taking a newer."
    newest = max(minor + 1, _OLDEST[1])
    for newer in range(newest, _NEWEST[1] + 1):
        yield f"no-managed-python {major}.{newer} {note}"
    for newer in range(newest, _NEWEST[1] + 1):
        yield f"managed-python {major}.{newer} {note}"


def _settings(
    variables: Mapping[str, str], files: _Files, flags: Sequence[str], lines: Sequence[str]
) -> dict[str, str]:
    """What uv is told by variables in the build."""
    found = {name: text for name, text in variables.items() if _SETTINGS_OF_UV.fullmatch(name)}
    links = found.pop("UV_FIND_LINKS", "")
    staged = [files.staged_links(link) for link in links.split(",") if link.strip()]
    if any(staged):
        found["UV_FIND_LINKS"] = ",".join(filter(None, staged))
    found["aml_flags"] = " ".join(flags)
    if TORCH_FOR_CPU in lines:
        found["aml_torch_note"] = TORCH_NOTE
    # With versions that are exact already, only those that are named may come.
    found["aml_upgrade"] = "" if "--no-deps" in flags else "--upgrade"
    return found


def _named(lines: Sequence[str], variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that requirements name, as ``https://me:${TOKEN}@host``; uv fills them in."""
    names = {name for line in lines for name in _VARIABLE.findall(line)} - _OF_THE_IMAGE
    return {name: variables[name] for name in sorted(names) if name in variables}


def _exports(settings: Mapping[str, str]) -> str:
    pairs = sorted(settings.items())
    return _lines(f"export {name}={shlex.quote(text)}" for name, text in pairs)


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _refuse_credentials(
    settings: Mapping[str, str], variables: Mapping[str, str], site: Site
) -> None:
    named = [
        *variables,
        *(name for name, text in settings.items() if _HAS_CREDENTIALS.search(text)),
    ]
    named += [name for name in settings if _HAS_CREDENTIALS.search(name)]
    if site.secrets.get("netrc"):
        named.append("the environment's package indexes")
    if named:
        raise BuildError(
            f"The build needs a password ({', '.join(sorted(set(named)))}), and without BuildKit "
            "it would stay in the image.",
            "Install Docker's buildx (Debian and Ubuntu: `apt install docker-buildx`), or use an "
            "index that needs no password.",
        )


def _write_conda(packages: Path, recipe: Recipe, site: Site, files: _Files) -> None:
    """What is asked of a conda in the image; of py-rattler where there is none; then of PyPI."""
    from .conda import names_python, pythons
    from .conda_settings import CondaSettings

    if site.secrets.get("channels"):
        raise BuildError(
            "A conda channel of the environment needs a password, which would stay in the image.",
            "Build an image with these packages by hand and name it as the base image, or take "
            "them from a package index by pip.",
        )
    folder = packages / "conda"
    folder.mkdir()
    urls = CondaSettings.read(site.variables).urls(recipe.channels)
    channels = [_channel(url, files) for url in urls]
    for number, python in enumerate([""] if names_python(recipe) else pythons(recipe.python)):
        specs = [*filter(None, [python]), *recipe.conda]
        _write_try(folder / "tries" / f"{number:02}", python, specs, channels)
    if site.options.get("conda_from_pypi") is False:
        return
    try:
        found = on_pypi(recipe.conda, recipe.channels)
    except NotOnPyPI:
        return
    (folder / "instead").write_text(_lines(found.requirements), encoding="utf-8")


def _write_try(folder: Path, python: str, specs: Sequence[str], channels: Sequence[str]) -> None:
    from .by_rattler import Request

    folder.mkdir(parents=True)
    words = ["--override-channels", *specs]
    words += [word for channel in channels for word in ("--channel", channel)]
    request = asdict(Request(dockerfile.ENVIRONMENT, tuple(specs), tuple(channels)))
    for name, text in (
        ("python", python),
        # xargs reads it, and knows these quotes.
        ("arguments", _lines(f'"{word}"' for word in words)),
        ("request.json", json.dumps(request)),
    ):
        (folder / name).write_text(text, encoding="utf-8")


def _channel(url: str, files: _Files) -> str:
    path = _local(url)
    return url if path is None else f"file://{files.brought(path, url)}"


class _Files:
    """Local files and folders that requirements name, brought into the context."""

    def __init__(self, folder: Path, names: set[str]) -> None:
        self._folder = folder
        self._names = names
        self._known: dict[str, str] = {}

    def staged(self, line: str) -> str:
        """The line with a path in the image in place of a local one."""
        if _EDITABLE.match(line.strip()):
            raise BuildError(
                f"{line.strip()!r} means a folder of this machine, which an image does not have.",
                "Write the folder's path without -e, so that it is installed as it is now.",
                line=line,
            )
        option = _PLACE_OPTION.fullmatch(line.strip())
        if option:
            path = _local(option[2].strip())
            return f"{option[1]} {self.brought(path, line)}" if path else line
        found = _PLACE.fullmatch(line.strip())
        if found is None:
            return line
        path = self.brought(str(_local(found["path"])), line)
        return f"{found['name']}file://{path}{found['rest']}" if found["name"] else path

    def staged_links(self, link: str) -> str:
        """A find-links folder of the machine's settings: what is named here of it, and small files.

        Such folders serve many environments and hold large wheels of all kinds.
        """
        path = _local(link.strip())
        if path is None:
            return link.strip()
        if not os.path.isdir(path):
            return ""
        place = self._folder / str(len(self._known))
        for entry in sorted(Path(path).iterdir()):
            if entry.suffix in (".whl", ".gz", ".zip") and self._is_wanted(entry):
                place.mkdir(parents=True, exist_ok=True)
                _place(str(entry), str(place / entry.name))
        self._known[path] = f"{_FILES}/{place.name}"
        return self._known[path] if place.is_dir() else ""

    def _is_wanted(self, entry: Path) -> bool:
        name = requirement_name(entry.name.partition("-")[0])
        return name in self._names or entry.stat().st_size <= _SMALL

    def brought(self, path: str, line: str) -> str:
        """Where a file or folder lies in the image; ``line`` is what names it."""
        if path in self._known:
            return self._known[path]
        place = self._folder / str(len(self._known)) / os.path.basename(path.rstrip("/"))
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if os.path.isdir(path):
                ignored = shutil.ignore_patterns(".git", ".aml", "__pycache__", ".venv")
                shutil.copytree(path, place, symlinks=True, ignore=ignored, copy_function=_place)
            else:
                _place(path, str(place))
        except (OSError, shutil.Error) as error:
            raise BuildError(
                f"{path} cannot be taken into the image: {error}.",
                "Check the path in the environment.",
                line=line,
            ) from error
        self._known[path] = f"{_FILES}/{place.parent.name}/{place.name}"
        return self._known[path]


def _local(place: str) -> str | None:
    """The path that is meant by a path or a ``file://`` address; None for other addresses."""
    if place.startswith("file://"):
        return unquote(place[len("file://") :])
    return place if place.startswith("/") else None


def _place(source: str, target: str) -> None:
    """A link to the file where that can be, since nothing changes it; else a copy."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)
