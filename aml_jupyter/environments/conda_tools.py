"""What installs conda packages: a conda that is here, else py-rattler; and why they refuse."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from . import by_rattler
from .conda_names import name_of
from .conda_settings import CondaSettings
from .making import BuildError, Site

_COMMANDS = ("micromamba", "mamba", "conda")
RATTLER = "py-rattler"
"""The tool that is always here, for it comes with this package."""

CHANNEL_LOGINS = "channels"
"""Among a site's secrets: addresses of channels with what was cut out of them, by what is left."""

_ASK_SECONDS = 30
_TOKEN = re.compile(r"/t/([^/]+)(?=/)")

_STEP = re.compile(r"(Downloading|Linking) (\d+) of (\d+): (.*)")
_TOLD = re.compile(r"\s*(?:Linking|Extracting|Downloading|Installing|Solving|Preparing)\b.*")
_REFUSALS = re.compile(
    r"No candidates were found|cannot be installed|not installable|nothing provides|"
    r"does not exist|conflicts? with|^\s*- "
)
_NETWORK = re.compile(
    r"Could not resolve|Name or service not known|NameResolution|Failed to connect|"
    r"Connection (?:refused|reset|failed|timed out|error)|Timeout was reached|timed out|"
    r"CondaHTTPError|HTTP (?:000|403|407|5\d\d)|Max retries exceeded|Network is unreachable|"
    r"[Dd]ownload error|Couldn't connect",
)


class NoChannel(BuildError):
    """No channel can be reached, and what is known from earlier is not enough."""

    def __init__(self, reason: str, said: str) -> None:
        super().__init__(
            f"No conda channel can be reached: {reason}.",
            "Check the network, HTTPS_PROXY and SSL_CERT_FILE; `channel_alias` in ~/.condarc "
            "names a mirror.",
            said=said,
        )
        self.reason = reason


@dataclass(frozen=True)
class Tool:
    """Something that installs conda packages into ``site.target``.

    ``channels`` are as the specification has them, the most important first.
    """

    path: str
    site: Site
    channels: Sequence[str]
    settings: CondaSettings

    @property
    def name(self) -> str:
        """What it is called."""
        return os.path.basename(self.path)

    def install(self, specs: Sequence[str]) -> None:
        """Install what these match specs ask for; BuildError with the solver's own words."""
        shutil.rmtree(self.site.target, ignore_errors=True)
        if self.path == RATTLER:
            self._by_rattler(specs)
        else:
            self._by_command(specs)

    def _by_rattler(self, specs: Sequence[str]) -> None:
        urls, settings = self.settings.urls(self.channels), self.settings
        request = by_rattler.Request(
            str(self.site.target), specs, urls, settings.verify, settings.offline
        )
        asked, answered = (self.site.scratch / f"{word}.json" for word in ("request", "answer"))
        asked.write_text(json.dumps(asdict(request)), encoding="utf-8")
        answered.unlink(missing_ok=True)
        given = self.site.variables
        settings_first = {k: v for k, v in settings.variables().items() if k not in given}
        path = os.pathsep.join(filter(None, sys.path))
        variables = {**settings_first, **_tokens(self.site), "PYTHONPATH": path}
        command = [sys.executable, "-m", by_rattler.__name__, str(asked), str(answered)]
        try:
            self.site.run(command, variables, on_line=_progress(self.site))
        except BuildError as error:
            if not answered.exists():
                said = error.said
                raise BuildError(f"{self.name} broke off: {_last(said)}", said=said) from error
            answer = by_rattler.Answer(**json.loads(answered.read_text(encoding="utf-8")))
            raise self._failure(answer, specs) from error

    def _failure(self, answer: by_rattler.Answer, specs: Sequence[str]) -> BuildError:
        """What py-rattler's answer means to the user."""
        said, about = answer.said, self._written(answer.about)
        if answer.problem == by_rattler.UNREACHABLE:
            if set(answer.unreached) >= set(self.settings.urls(self.channels)):
                return NoChannel("; ".join(dict.fromkeys(answer.unreached.values())), said)
            reason = answer.unreached.get(answer.about) or _last(said)
            message = f"The conda channel {about} cannot be reached: {reason}."
            hint = "Check its name, the network, HTTPS_PROXY and SSL_CERT_FILE."
        elif answer.problem == by_rattler.UNSATISFIABLE:
            return _unsolved(said, specs)
        elif answer.problem == by_rattler.SPEC:
            message = f"{about!r} is not a package as conda writes it: {said}."
            hint = "Write name, name=1.2 or name>=1.2,<2."
        elif answer.problem == by_rattler.ABSENT:
            message = f"There is no conda channel {about or 'where one was asked'}."
            hint = "Check the names below `channels:`."
        elif answer.problem == by_rattler.REFUSED:
            message = f"The conda channel {about} wants a user and a password, or others."
            hint = "Put them into ~/.netrc, or into the channel's address."
        else:
            return _other(self.name, said)
        return BuildError(message, hint, line=about, said=said)

    def _written(self, url: str) -> str:
        """The channel as the specification has it; anything else as it is."""
        named = (name for name in self.channels if url in self.settings.urls([name]))
        return next(named, url)

    def _by_command(self, specs: Sequence[str]) -> None:
        offline = ["--offline"] if self.settings.offline else []
        try:
            self._run([*offline, *specs])
        except BuildError as error:
            if at_fault(specs, error.said):
                raise _unsolved(error.said, specs) from error
            if not _NETWORK.search(error.said):
                raise _other(self.name, error.said) from error
            self._from_cache(specs, error)

    def _from_cache(self, specs: Sequence[str], error: BuildError) -> None:
        self.site.say("No channel can be reached; trying with what was fetched before.")
        shutil.rmtree(self.site.target, ignore_errors=True)
        try:
            self._run(["--offline", *specs])
        except BuildError:
            line = next(line for line in error.said.splitlines() if _NETWORK.search(line))
            raise NoChannel(line.strip(), error.said) from error

    def _run(self, words: Sequence[str]) -> None:
        named = [name for name in self.channels if name != "nodefaults"]
        channels = [word for name in named for word in ("--channel", name)]
        only = ["--override-channels"] if named else []
        strict = "--strict-channel-priority"
        prefix = ["--prefix", str(self.site.target)]
        command = [self.path, "create", "--yes", *prefix, strict, *only, *channels, *words]
        certificates = self.site.variables.get("SSL_CERT_FILE")
        variables = {"REQUESTS_CA_BUNDLE": certificates} if certificates else {}
        self.site.run(command, variables, on_line=_progress(self.site))


def find_tool(variables: Mapping[str, str], options: Mapping[str, object]) -> str:
    """The path of the conda that does the work, or ``py-rattler``.

    The option ``conda_tool`` names one; else the first that starts of micromamba, mamba and conda,
    by ``PATH``, ``MAMBA_EXE`` or ``CONDA_EXE``.
    """
    wanted = options.get("conda_tool")
    if wanted == RATTLER:
        return RATTLER
    for path in _candidates(variables, str(wanted) if wanted else None):
        if _starts(path, variables):
            return path
    if wanted:
        raise BuildError(
            f"The option conda_tool names {wanted!r}, which does not start.",
            f"Name a path, one of {', '.join(_COMMANDS)} that is on PATH, or {RATTLER}.",
        )
    return RATTLER


def _candidates(variables: Mapping[str, str], wanted: str | None) -> Iterator[str]:
    by_variable = [variables.get(key, "") for key in ("MAMBA_EXE", "CONDA_EXE")]
    for name in [wanted] if wanted else _COMMANDS:
        found = shutil.which(name, path=variables.get("PATH", os.defpath))
        yield from [found] if found else []
        yield from (path for path in by_variable if os.path.basename(path) == name)


def _starts(path: str, variables: Mapping[str, str]) -> bool:
    try:
        asked = subprocess.run(
            [path, "--version"],
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ASK_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def _tokens(site: Site) -> dict[str, str]:
    """Where py-rattler finds the tokens of channels; passwords are in the netrc file."""
    channels = site.secrets.get(CHANNEL_LOGINS)
    tokens = {}
    for clean, whole in channels.items() if isinstance(channels, Mapping) else ():
        found = _TOKEN.search(str(whole))
        if found:
            tokens[urlsplit(str(clean)).hostname or ""] = {"CondaToken": found[1]}
    if not tokens:
        return {}
    return {"RATTLER_AUTH_FILE": str(site.private_file("tokens.json", json.dumps(tokens)))}


def _progress(site: Site) -> Callable[[str], None]:
    """What tells how far it is from each line that the tool says."""

    def tell(line: str) -> None:
        step = _STEP.match(line)
        if step:
            site.progress(int(step[2]), int(step[3]), f"{step[1]} {step[4]}")
        elif _TOLD.match(line):
            site.progress(0, 0, line.strip())

    return tell


def at_fault(specs: Sequence[str], said: str) -> str:
    """The match spec that a solver's words are about; empty when they name none of them."""
    for line in said.splitlines():
        if _REFUSALS.search(line):
            for spec in specs:
                if _mentions(line, name_of(spec)):
                    return spec
    return ""


def _mentions(line: str, name: str) -> bool:
    """Whether a line is about a package, also as ``name-1.0``, rather than about ``name-more``."""
    return (
        re.search(rf"(?<![\w.-]){re.escape(name)}(?!\w|-(?!\d))", line, re.IGNORECASE) is not None
    )


def _unsolved(said: str, specs: Sequence[str]) -> BuildError:
    line = at_fault(specs, said)
    words = said.strip().removeprefix("Cannot solve the request because of: ")
    return BuildError(
        f"No set of conda packages is what the specification asks for: {words}",
        f"Change {line!r}, or the channels." if line else "Change the versions asked for.",
        line=line,
        said=said,
    )


def _other(tool: str, said: str) -> BuildError:
    if "No space left on device" in said or "NoSpaceLeft" in said:
        return BuildError(
            "The disk is full.", "Make room, with `aml env prune` for example.", said=said
        )
    return BuildError(f"{tool} failed: {_last(said)}", "Its log says more.", said=said)


def _last(said: str) -> str:
    """The last line, which says what was at the bottom of it."""
    lines = said.strip().splitlines() or [""]
    return lines[-1].strip().removeprefix("Caused by: ")
