"""``aml doctor``: what works here, and what would make the rest work."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .. import __version__, runner
from ..backends import backend
from ..errors import AmlError
from ..home import home
from ..job import layout
from ..job.metrics import NETWORK_FILE_SYSTEMS, file_system_of, is_mapping_safe
from ..store import WorkspaceFolder, project_for
from . import OK, RUN_FAILED
from .parser import Command, Parser
from .present import ago, print_json, shown_size, styled

_LITTLE_ROOM = 1_000_000_000
_NEEDED_BY_NOTEBOOKS = ("jupyterlab", "ipykernel", "ipywidgets", "bqplot")
_PATIENCE = 5.0


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and what would make it better.

    ``works`` is None for what is only told; nothing runs without what is ``essential``.
    """

    name: str
    works: bool | None
    detail: str
    remedy: str = ""
    essential: bool = False


def _doctor(options: argparse.Namespace) -> int:
    findings = list(_findings())
    broken = [each for each in findings if each.essential and each.works is False]
    if options.json:
        print_json({"ok": not broken, "findings": [asdict(each) for each in findings]})
    else:
        for each in findings:
            _show(each)
        print(f"\n{_verdict(findings, broken)}")
    return RUN_FAILED if broken else OK


def _findings() -> Iterator[Finding]:
    yield _python()
    yield from _workspace()
    yield _home()
    yield _runner()
    yield _git()
    yield from _packages()
    yield _extension()
    yield _kernels()
    yield _docker()


def _python() -> Finding:
    system = f"{platform.system()} {platform.release()}"
    detail = f"aml {__version__}, Python {platform.python_version()} at {sys.executable}, {system}"
    return Finding("python", True, detail, essential=True)


# The workspace --------------------------------------------------------------------------------


def _workspace() -> Iterator[Finding]:
    here = Path.cwd()
    try:
        found = WorkspaceFolder.find(here)
        root = found.root if found else project_for(here)
        detail = f"{found.record['name']} in {root}" if found else f"none yet; it will be in {root}"
        works, hint = os.access(root, os.W_OK), f"Get permission to write to {root}."
    except AmlError as error:
        yield Finding("workspace", False, error.message, error.hint, True)
        return
    yield Finding("workspace", works, detail, "" if works else hint, True)
    yield _disk("workspace disk", root)
    yield _file_system(root)
    if found:
        yield from _targets(found)


def _disk(name: str, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    detail = f"{shown_size(free)} free"
    if free >= _LITTLE_ROOM:
        return Finding(name, True, detail)
    return Finding(name, False, detail, "Free some: `aml delete --older-than 30d` removes runs.")


def _file_system(folder: Path) -> Finding:
    kind = file_system_of(str(folder))
    mapped = is_mapping_safe(str(folder))
    network = kind in NETWORK_FILE_SYSTEMS
    detail = (
        f"{kind or 'of unknown type'}; metrics are "
        f"{'mapped' if mapped else 'written one by one (slower)'}, the index keeps "
        f"{'a rollback journal' if network else 'a write-ahead log'}"
    )
    return Finding("file system", None if network else True, detail)


def _targets(workspace: WorkspaceFolder) -> Iterator[Finding]:
    try:
        targets = workspace.targets()
    except AmlError as error:
        yield Finding("targets", False, error.message, error.hint, True)
        return
    for name, facts in targets.items():
        kind = str(facts.get("type") or name)
        try:
            probe = backend(kind).probe()
        except AmlError as error:
            yield Finding(f"target {name}", False, error.message, error.hint)
            continue
        detail = _facts(probe.facts) if probe.usable else probe.reason
        remedy = "" if probe.usable else f"To use it, {probe.remedy}."
        yield Finding(f"target {name}", probe.usable, detail or kind, remedy, name == "local")


def _facts(facts: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())


# The runner -----------------------------------------------------------------------------------


def _home() -> Finding:
    try:
        place = home().make()
        with tempfile.NamedTemporaryFile(dir=place.state):
            pass
        detail = f"{place.state}, socket {place.socket}"
    except (AmlError, OSError) as error:
        hint = "Set AML_HOME to a folder of your own on a local disk."
        return Finding("home", False, str(error).partition("\n")[0], hint, True)
    kind = file_system_of(str(place.state))
    if kind in NETWORK_FILE_SYSTEMS:
        hint = "Better: set AML_HOME to a folder on a local disk."
        return Finding("home", None, f"{detail} (on {kind})", hint)
    return Finding("home", True, detail, essential=True)


def _runner() -> Finding:
    status = runner.runner_status()
    if status is None:
        return Finding("runner", None, "not running; it starts with the next submit")
    counts = f"{status.running} running, {status.waiting} waiting"
    detail = f"{status.version}, pid {status.pid}, started {ago(status.since)}; {counts}"
    if status.version != __version__:
        hint = "`aml runner stop`; the next submit starts one of this version. Jobs go on."
        return Finding("runner", None, detail, hint)
    return Finding("runner", True, detail)


# What others have installed -------------------------------------------------------------------


def _git() -> Finding:
    found = _said(["git", "--version"])
    if found is None:
        return Finding("git", None, "not found", "Install git: runs then note commit and branch.")
    return Finding("git", True, found)


def _packages() -> Iterator[Finding]:
    for name in _NEEDED_BY_NOTEBOOKS:
        try:
            yield Finding(name, True, version(name))
        except PackageNotFoundError:
            yield Finding(name, False, "not installed", f"pip install {name}")


def _extension() -> Finding:
    """Whether JupyterLab will load the extension, and the one of this version."""
    from jupyter_core.paths import jupyter_path

    name = "labextension"
    for folder in jupyter_path("labextensions"):
        facts = layout.read_json(str(Path(folder) / "aml-jupyter" / "package.json"))
        if facts is not None:
            return _matched(name, str(facts.get("version")), folder)
    hint = "Install the aml-jupyter wheel into JupyterLab's environment; it carries the extension."
    return Finding(name, False, "not found by JupyterLab", hint)


def _matched(name: str, found: str, folder: str) -> Finding:
    if found == __version__:
        return Finding(name, True, f"{found} in {folder}")
    hint = f"Install aml-jupyter {__version__} there as well, then reload the browser."
    return Finding(name, False, f"{found} in {folder}, but this is {__version__}", hint)


def _kernels() -> Finding:
    from jupyter_client.kernelspec import KernelSpecManager

    names = ", ".join(sorted(KernelSpecManager().find_kernel_specs()))
    if names:
        return Finding("kernels", True, names)
    return Finding("kernels", False, "none", "python -m ipykernel install --user")


def _docker() -> Finding:
    if shutil.which("docker") is None:
        return Finding("docker", None, "not found; only environments in containers need it")
    server = _said(["docker", "version", "--format", "{{.Server.Version}}"])
    if server is None:
        hint = "Start the Docker service, and get permission to use its socket."
        return Finding("docker", None, "installed, but its service does not answer", hint)
    return Finding("docker", True, f"server {server}")


def _said(command: list[str]) -> str | None:
    """The first line that a command prints; None when it is not there or fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_PATIENCE, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().partition("\n")[0]


# Telling --------------------------------------------------------------------------------------


def _show(finding: Finding) -> None:
    mark = {True: styled("✓", "green"), False: styled("✗", "red"), None: styled("·", "dim")}
    print(f"{mark[finding.works]} {finding.name:<15} {finding.detail}")
    if finding.remedy:
        print(f"  {'':<15} {styled(finding.remedy, 'bold')}")


def _verdict(findings: list[Finding], broken: list[Finding]) -> str:
    if broken:
        return f"Runs will not work here: {', '.join(each.name for each in broken)}."
    missing = [each.name for each in findings if each.works is False]
    return f"Runs work here; not so {', '.join(missing)}." if missing else "All works here."


def _arguments(parser: Parser) -> None:
    """It takes none."""


COMMANDS = {"doctor": Command(_arguments, _doctor, ("aml doctor", "aml doctor --json"))}
