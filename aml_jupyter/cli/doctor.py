"""``aml doctor``: what works here, and what would make the rest work."""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .. import __version__, runner
from ..environments import cache, shelf
from ..environments.conda_tools import find_tool
from ..errors import AmlError
from ..home import home
from ..job import layout
from ..job.metrics import NETWORK_FILE_SYSTEMS, file_system_of, is_mapping_safe
from ..runner import machine
from ..runner.leases import in_brackets
from ..spec.words import shown_size
from ..store import WorkspaceFolder, project_for
from ..workspace import compute
from ..workspace.diagnosis import Finding, about_target, disk_room
from . import OK, RUN_FAILED
from .compat import sdk_version, summary
from .parser import Command, Parser
from .present import ago, print_json, styled

_LITTLE_ROOM = 1_000_000_000
_NEEDED_BY_NOTEBOOKS = ("jupyterlab", "ipykernel", "ipywidgets", "bqplot")
_PATIENCE = 5.0


def _doctor(options: argparse.Namespace) -> int:
    findings = list(_findings())
    broken = [each for each in findings if each.essential and each.works is False]
    if options.json:
        print_json({"ok": not broken, "findings": [asdict(each) for each in findings]})
    else:
        for each in findings:
            show_finding(each)
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
    yield _azureml()
    yield _gpus()
    yield _uv()
    yield _conda()
    yield _environments()


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
    remedy = "Free some: `aml delete --older-than 30d` removes runs."
    yield disk_room("workspace disk", root, _LITTLE_ROOM, remedy)
    yield _file_system(root)
    yield from _targets(found)


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


def _targets(workspace: WorkspaceFolder | None) -> Iterator[Finding]:
    try:
        entries = compute.entries(workspace)
    except AmlError as error:
        yield Finding("targets", False, error.message, error.hint, True)
        return
    for entry in entries.values():
        yield from about_target(entry)


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


def _azureml() -> Finding:
    """Who answers to ``import azureml.core`` in this interpreter."""
    sdk = sdk_version()
    if sdk is None:
        return Finding("azureml", True, f"import azureml.core finds ours: {summary()}")
    detail = f"azureml-core {sdk} is installed in this interpreter, and wins over ours"
    return Finding("azureml", None, detail, "pip uninstall azureml-core; then ours is found.")


# What runs need besides -----------------------------------------------------------------------


def _gpus() -> Finding:
    found = machine.here()
    if found.gpus is None:
        hint = "See whether `nvidia-smi` answers; a restart of the machine may be needed."
        return Finding("GPUs", False, f"NVIDIA's driver does not answer: {found.trouble}", hint)
    if not found.gpus:
        return Finding("GPUs", None, "none that this process may use")
    sizes = [gpu.memory_total / (1 << 30) for gpu in found.gpus]
    each = ", ".join(f"{size:.0f} GiB" for size in sizes)
    busy = [
        f"{gpu.index}{in_brackets(gpu.strangers)}" for gpu in found.gpus if gpu.is_used_by_others
    ]
    in_use = f"; in use now: {', '.join(busy)}" if busy else ""
    return Finding("GPUs", True, f"{len(sizes)} ({each}){_driver()}{in_use}")


def _driver() -> str:
    """The version of NVIDIA's driver, from the kernel: asking itself may take for ever."""
    try:
        said = Path("/proc/driver/nvidia/version").read_text(errors="replace")
    except OSError:
        return ""
    found = re.search(r"\d+\.\d+(\.\d+)?", said)
    return f", driver {found[0]}" if found else ""


def _uv() -> Finding:
    from uv import find_uv_bin

    try:
        return Finding("uv", True, f"{version('uv')} at {find_uv_bin()}")
    except (FileNotFoundError, PackageNotFoundError) as error:
        hint = "pip install uv; environments of pip packages are made by it."
        return Finding("uv", False, str(error) or "not found", hint)


def _conda() -> Finding:
    found = find_tool(os.environ, {})
    if os.sep in found:
        return Finding("conda", True, found)
    try:
        return Finding("conda", True, f"py-rattler {version('py-rattler')}; no conda command")
    except PackageNotFoundError:
        hint = "pip install py-rattler, or put micromamba on PATH."
        return Finding("conda", False, "neither a conda command nor py-rattler", hint)


def _environments() -> Finding:
    try:
        built = cache.all_built()
    except OSError as error:
        return Finding("environments", False, f"cannot be listed: {error.strerror}")
    size = shown_size(sum(each.size for each in built))
    kept = f"{len(built)} built ({size}), " if built else ""
    remedy = "Free some: `aml env prune` removes what is not used."
    return disk_room("environments", shelf.root(), _LITTLE_ROOM, remedy, kept)


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


def show_finding(finding: Finding) -> None:
    """Print what was found, with a mark that says how it is."""
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
