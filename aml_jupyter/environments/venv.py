"""Virtual environments made by uv, which comes with this package."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from aml_jupyter.spec.frameworks import TORCH_FOR_CPU

from . import interpreter, lock, uv_settings
from .making import BuildError, Made, Site
from .recipe import Recipe

NO_DEPS = "--no-deps"
"""Among the options of a recipe: install nothing but what is named."""

REQUIRE_HASHES = "--require-hashes"
"""Among the flags for uv: install nothing that is not what its hash says."""
_HASH = re.compile(r"\s--hash[=\s]")

# Options that pip takes from a requirements file, or people put there, and uv only elsewhere.
_FOR_COMMAND_LINE: Mapping[str, Sequence[str]] = {
    NO_DEPS: [NO_DEPS],
    REQUIRE_HASHES: [REQUIRE_HASHES],
    "--pre": ["--prerelease", "allow"],
    "--trusted-host": ["--allow-insecure-host"],
    "--no-build-isolation": ["--no-build-isolation"],
    "--no-cache-dir": ["--no-cache"],
}
_MEANINGLESS = re.compile(
    r"(-U|--upgrade|-q|--quiet|-v|--verbose|--user|--no-input|--prefer-binary"
    r"|--disable-pip-version-check|--no-warn-\S+"
    r"|--(progress-bar|use-feature|use-deprecated|timeout|default-timeout|retries)[\s=].*)"
)
_REQUIREMENTS = "requirements.txt"
_NO_NETWORK = re.compile(
    r"dns error|client error \(Connect\)|[Cc]onnection refused|[Nn]etwork is unreachable"
    r"|timed out|Failed to fetch|tunnel error|No route to host"
)
_TORCH_HOST = "download.pytorch.org"
TORCH_NOTE = (
    "PyTorch's own index cannot be reached, so its packages for the CPU are taken from where the "
    "others come from; they may bring CUDA."
)
_QUOTED = 1500
_UNTRUSTED = "invalid peer certificate"
_COUNTED = re.compile(r"(Resolved|Prepared|Installed) (\d+) package")
_ONE_DONE = re.compile(r"\s*(?:Downloaded|Built) (\S+)")
_TAKEN_UP = re.compile(r"\s*(?:Downloading|Building) (\S+)")


def make(recipe: Recipe, site: Site) -> Made:
    """A virtual environment with the recipe's packages, made in ``site.target``."""
    site = replace(site, variables=uv_settings.variables(site, recipe.pip))
    python = _venv(recipe.python, site)
    notes = install(recipe.pip, python, site)
    version = _version(site.target)
    note = interpreter.difference(recipe.python, version)
    if note:
        site.say(f"warning: {note}")
    packages = lock.in_prefix(site.target)
    return Made(python, packages, version, facts={"notes": [*filter(None, [note]), *notes]})


def install(lines: Sequence[str], python: str, site: Site) -> list[str]:
    """Install requirements, as pip writes them, for an interpreter; nothing when there are none.

    ``site.variables`` are those that :func:`.uv_settings.variables` gave. Returns what is to be
    noted of it.
    """
    flags, kept = split(lines)
    if not kept:
        return []
    try:
        _install(flags, kept, python, site)
    except BuildError as error:
        is_out_of_reach = _TORCH_HOST in error.said and _NO_NETWORK.search(error.said)
        if TORCH_FOR_CPU not in kept or not is_out_of_reach:
            raise
        # A company's own index may be all that there is; its wheels do, only larger.
        site.say(f"warning: {TORCH_NOTE}")
        _install(flags, [line for line in kept if line != TORCH_FOR_CPU], python, site)
        return [TORCH_NOTE]
    return []


def _install(flags: Sequence[str], kept: Sequence[str], python: str, site: Site) -> None:
    requirements = site.scratch / _REQUIREMENTS
    requirements.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    command = [uv(), "pip", "install", "--python", python, *flags, "-r", str(requirements)]
    try:
        _run_resolving(command, site)
    except BuildError as error:
        raise _explained(error, kept) from error


def forget(packages: Sequence[str], site: Site) -> None:
    """Drop downloads, given as ``name-version``, from uv's cache."""
    names = [package.rpartition("-")[0].replace("_", "-") for package in packages]
    site.run([uv(), "cache", "clean", *names], cwd=site.scratch)


def uv() -> str:
    """The uv that came with this package."""
    from uv import find_uv_bin

    return str(find_uv_bin())


def _venv(asked: str | None, site: Site) -> str:
    """The interpreter of a fresh virtual environment, of the Python that is nearest to ``asked``.

    What is here is taken at once; what has to be fetched may not be had, and then the next is.
    """
    refused: BuildError | None = None
    for choice in interpreter.choices(asked):
        try:
            command = [uv(), "venv", "--quiet", "--python", choice.request, str(site.target)]
            site.run(command, choice.variables, cwd=site.scratch)
        except BuildError as error:
            if not choice.is_fetched:
                raise BuildError("uv could not make the environment.", said=error.said) from error
            refused = refused or error
            site.say(f"Python {choice.request} cannot be fetched.")
        else:
            return str(site.target / "bin" / "python")
    raise BuildError(
        f"Python {asked} is not on this machine and cannot be fetched.",
        f"Ask for one that is here ({interpreter.shown()}), or install it.",
        line=f"python={asked}",
        said=refused.said if refused else "",
    )


def _run_resolving(command: Sequence[str], site: Site) -> None:
    """Run uv; without a network once more from its cache, and with the system's certificates."""
    progress = _Progress(site)
    try:
        site.run(command, cwd=site.scratch, on_line=progress.on_line)
    except BuildError as error:
        if _UNTRUSTED in error.said and "SSL_CERT_FILE" not in site.variables:
            site.say("The server's certificate is not trusted; trying the system's certificates.")
            otherwise = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}
        elif _UNTRUSTED not in error.said and _NO_NETWORK.search(error.said):
            site.say("The package index cannot be reached; trying what was downloaded before.")
            otherwise = {"UV_OFFLINE": "1"}
        else:
            raise
        try:
            site.run(command, otherwise, cwd=site.scratch, on_line=progress.on_line)
        except BuildError as second:
            # What went wrong at first is what can be mended.
            raise BuildError(error.message, said=error.said) from second


class _Progress:
    """Tells how far uv is, by what it says."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._done = self._total = 0
        site.progress(0, 0, "resolving packages")

    def on_line(self, line: str) -> None:
        counted = _COUNTED.match(line)
        if counted and counted[1] == "Resolved":
            self._total = int(counted[2])
            text = f"{counted[2]} package{'s' * (counted[2] != '1')}"
        elif counted:
            self._done, text = self._total, line
        elif found := _ONE_DONE.match(line):
            self._done += 1
            text = f"got {found[1]}"
        elif found := _TAKEN_UP.match(line):
            text = line.strip()
        else:
            return
        self._site.progress(self._done, self._total, text)


def split(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """The flags for uv's command line, and the lines for a requirements file."""
    flags: list[str] = []
    kept: list[str] = []
    for line in lines:
        option, _, value = line.strip().replace("=", " ", 1).partition(" ")
        if option in _FOR_COMMAND_LINE:
            flags += [*_FOR_COMMAND_LINE[option], *filter(None, [value.strip()])]
        elif not _MEANINGLESS.fullmatch(line.strip()):
            kept.append(line)
    if REQUIRE_HASHES not in flags and any(_HASH.search(line) for line in kept):
        # As pip has it, one hash asks for all; uv by itself lets one without a version pass.
        flags.append(REQUIRE_HASHES)
    return flags, kept


def _explained(error: BuildError, lines: Sequence[str]) -> BuildError:
    """``error`` with uv's own words, the line at fault, and what to do."""
    line = fault(lines, error.said)
    if _UNTRUSTED in error.said:
        hint = (
            "Name the file with your company's certificates: `ca_certificates` of the target, "
            "or SSL_CERT_FILE."
        )
    elif _NO_NETWORK.search(error.said):
        hint = (
            "Check the network and the proxy (HTTPS_PROXY), or name a mirror: "
            "UV_DEFAULT_INDEX=https://…"
        )
    else:
        hint = f"Change {line!r} in the environment." if line else "See the build's log."
    message = f"The packages cannot be installed: {_last_words(error.said)}"
    return BuildError(message, hint, line=line, said=error.said)


def _last_words(said: str) -> str:
    """What uv says is wrong, without what it says on the way there."""
    start = re.search(r"(?m)^\s*(error:|×)", said)
    words = " ".join(said[start.start() :].split() if start else said.split())
    words = words.removeprefix("error: ").replace(" cause: ", ": ")
    return words if len(words) <= _QUOTED else f"{words[:_QUOTED]} …"


def fault(lines: Sequence[str], said: str) -> str:
    """The line that uv's words are about: by position, by what it says is required, by name."""
    place = re.search(rf"{_REQUIREMENTS}:(\d+):\d+", said)
    if place and int(place[1]) <= len(lines):
        return lines[int(place[1]) - 1]
    offset = re.search(rf"{_REQUIREMENTS}\W+at position (\d+)", said)
    if offset:
        return _at("".join(f"{line}\n" for line in lines), int(offset[1]))
    flat = " ".join(said.split())
    words = _normalised(flat)
    required = set(re.findall(r"you require ([\w.-]+)", words))
    required |= set(re.findall(r"you require [^,]*? and ([\w.-]+)", words))
    return _first(lines, required.__contains__) or _first(
        lines, lambda name: re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", words) is not None
    )


def _first(lines: Sequence[str], is_meant: Callable[[str], bool]) -> str:
    for line in lines:
        name = requirement_name(line)
        if name and is_meant(name):
            return line
    return ""


def requirement_name(line: str) -> str:
    """The normalised name of the package that a requirement is for; empty for options and links."""
    found = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*(?=\s*(?:$|[\[<>=!~;@(, #]))", line.strip())
    return _normalised(found[0]) if found else ""


def _normalised(text: str) -> str:
    return re.sub(r"(?<=\w)[-_]+(?=\w)", "-", text).lower()


def _at(text: str, offset: int) -> str:
    start = text.rfind("\n", 0, offset) + 1
    return text[start:].partition("\n")[0]


def _version(target: Path) -> str:
    config = (target / "pyvenv.cfg").read_text("utf-8")
    found = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+\.\d+)", config, re.MULTILINE)
    return found[1] if found else "{}.{}.{}".format(*sys.version_info)
