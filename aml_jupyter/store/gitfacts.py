"""Which commit a source folder was at, as the properties SDK v1 wrote.

The commands run beside the snapshot: begin, take the snapshot, then ask for the result. What is
not committed may be written down later still, by a thread, when the run has been queued.
Git is asked to take no locks, so that a ``git commit`` in another window is not disturbed.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import threading
import time
import weakref
from pathlib import Path
from typing import IO

from ..spec.credentials import without_credentials

TIMEOUT = 5.0
"""Seconds after which git is given up on (a work tree on a slow network, say)."""

DIFF_LIMIT = 1024 * 1024
"""How many bytes of a diff are kept."""

_GIT = ("git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.quotePath=true")

# Bounded, and never longer than a line: a diff may be a megabyte without any space in it.
_AUTHORITY = re.compile(
    r"(?<!\w)([A-Za-z][\w+.-]{0,20})://([^\s/?#@]{1,500}(?:@[^\s/?#@]{1,500})*@)"
)

# Property, the variable that overrides it, and the name MLflow knows it by.
_PROPERTIES = (
    ("repository_uri", "AZUREML_GIT_REPOSITORY_URI", "mlflow.source.git.repoURL"),
    ("branch", "AZUREML_GIT_BRANCH", "mlflow.source.git.branch"),
    ("commit", "AZUREML_GIT_COMMIT", "mlflow.source.git.commit"),
    ("dirty", "AZUREML_GIT_DIRTY", ""),
    ("build_id", "AZUREML_GIT_BUILD_ID", ""),
    ("build_uri", "AZUREML_GIT_BUILD_URI", ""),
)


class GitFacts:
    """The git properties of a folder, being found out; see :meth:`begin`."""

    def __init__(
        self, directory: str | Path, status: _Command | None, url: _Command | None
    ) -> None:
        self._directory = directory
        self._status = status
        self._url = url
        self._answers: dict[str, str] | None = None
        self._has_changes = False

    @classmethod
    def begin(cls, directory: str | Path) -> GitFacts:
        """Start asking git; returns at once. Outside a work tree git is not even started."""
        if not is_in_work_tree(directory):
            return cls(directory, None, None)
        return cls(
            directory,
            _Command.start(directory, "status", "--porcelain=v2", "--branch", "--", "."),
            _Command.start(directory, "ls-remote", "--get-url"),
        )

    def result(self, timeout: float = TIMEOUT) -> dict[str, str]:
        """The properties: what ``AZUREML_GIT_*`` variables say, else what git answered in time."""
        if self._answers is None:
            self._answers = self._ask(time.monotonic() + timeout)
        return _properties(self._answers)

    def begin_diff(self) -> PendingDiff | None:
        """Start asking for the diff; None if git knows of no change, or has not answered."""
        self.result()
        return PendingDiff.begin(self._directory) if self._has_changes else None

    def _ask(self, deadline: float) -> dict[str, str]:
        status = self._status.output(deadline) if self._status else None
        url = self._url.output(deadline) if self._url else None
        answers = _read_status(status) if status is not None else {}
        self._has_changes = status is not None and _has_changes(status)
        if url and _is_location(url.strip()):
            answers["repository_uri"] = url.strip()
        return answers


def is_in_work_tree(directory: str | Path) -> bool:
    """True if the folder or one above it holds ``.git``."""
    folder = Path(os.path.realpath(directory))
    return any((above / ".git").exists() for above in (folder, *folder.parents))


def without_credentials_inside(text: str) -> str:
    """The text with user and password taken out of every address in it."""
    return _AUTHORITY.sub(_without_user, text)


def _without_user(found: re.Match[str]) -> str:
    scheme, authority = found.groups()
    return without_credentials(f"{scheme}://{authority}")


class PendingDiff:
    """What differs from the last commit below a folder, being found out; see :meth:`begin`.

    New files that git does not know are not part of it; credentials in addresses are left out.
    """

    def __init__(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        self._process = process
        self._output = output
        self._stop = weakref.finalize(self, _stop, process, output)

    @classmethod
    def begin(cls, directory: str | Path) -> PendingDiff | None:
        """Start asking git; returns at once. None if there is no git."""
        arguments = ("diff", "--no-color", "--no-ext-diff", "--no-textconv", "HEAD", "--", ".")
        try:
            process = _start(directory, arguments, subprocess.PIPE)
        except OSError:
            return None
        assert process.stdout is not None
        return cls(process, process.stdout)

    def text(self, limit: int = DIFF_LIMIT) -> str:
        """The patch; "" if git cannot say, or does not in time. Asked once.

        A longer diff is cut, and its last line says so.
        """
        timer = threading.Timer(TIMEOUT, self._process.kill)
        timer.start()
        try:
            data = self._output.read(limit + 1)
            if len(data) <= limit and self._process.wait():
                return ""
        finally:
            timer.cancel()
            self._stop()
        text = without_credentials_inside(data[:limit].decode("utf-8", "replace"))
        return f"{text}\n(cut after {limit:,} bytes)\n" if len(data) > limit else text

    def keep(self, path: Path) -> None:
        """Write the patch to a file, if there is one, once it is known; returns at once.

        The process stays until it is written, for ``TIMEOUT`` seconds at most.
        """
        threading.Thread(target=self._write, args=(path,), name="aml-git-diff").start()

    def _write(self, path: Path) -> None:
        text = self.text()
        # The run may have been deleted, or the disk be full: a run is whole without its diff.
        with contextlib.suppress(OSError):
            if text:
                aside = path.with_name(f"{path.name}.tmp")
                aside.write_text(text, encoding="utf-8")
                os.replace(aside, path)


def uncommitted_diff(directory: str | Path, limit: int = DIFF_LIMIT) -> str:
    """What differs from the last commit below this folder, as a patch; "" if git cannot say."""
    pending = PendingDiff.begin(directory) if is_in_work_tree(directory) else None
    return pending.text(limit) if pending else ""


def _properties(answers: dict[str, str]) -> dict[str, str]:
    properties = {}
    for name, variable, mlflow_name in _PROPERTIES:
        value = os.environ.get(variable) or answers.get(name)
        if not value:
            continue
        if name in ("repository_uri", "build_uri"):
            value = without_credentials(value)
        properties[f"azureml.git.{name}"] = value
        if mlflow_name:
            properties[mlflow_name] = value
    return properties


def _read_status(status: str) -> dict[str, str]:
    """Branch, commit and dirtiness, from ``git status --porcelain=v2 --branch``."""
    answers = {"dirty": "False"}
    for line in status.splitlines():
        if not line.startswith("# "):
            answers["dirty"] = "True"
            break
        _, key, value = line.split(" ", 2)
        if key == "branch.oid" and value != "(initial)":
            answers["commit"] = value
        elif key == "branch.head" and value != "(detached)":
            answers["branch"] = value
    return answers


def _has_changes(status: str) -> bool:
    """Whether a file that git knows differs; new files come after those."""
    lines = (line for line in status.splitlines() if not line.startswith("#"))
    return not next(lines, "?").startswith("?")


def _is_location(url: str) -> bool:
    """False for a bare word: without any remote, git echoes the name the remote would have."""
    return "/" in url or ":" in url


class _Command:
    """A git command under way, its output going to a file (a pipe could fill up and stop it)."""

    def __init__(self, process: subprocess.Popen[bytes], file: IO[bytes]) -> None:
        self._process = process
        self._file = file
        # Nobody may ever ask, because the snapshot failed.
        self._stop = weakref.finalize(self, _stop, process, file)

    @classmethod
    def start(cls, directory: str | Path, *arguments: str) -> _Command | None:
        """Start it; None if there is no git, or nowhere to put its answer."""
        try:
            file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by _stop
        except OSError:
            return None
        try:
            return cls(_start(directory, arguments, file), file)
        except OSError:
            file.close()
            return None

    def output(self, deadline: float) -> str | None:
        """What it printed; None if it failed, did not end in time, or was asked before."""
        try:
            if self._file.closed or self._process.wait(max(0.0, deadline - time.monotonic())):
                return None
            self._file.seek(0)
            return self._file.read().decode("utf-8", "replace")
        except subprocess.TimeoutExpired:
            return None
        finally:
            self._stop()


def _stop(process: subprocess.Popen[bytes], file: IO[bytes]) -> None:
    file.close()
    if process.poll() is None:
        process.kill()
        # Stuck in a dead network file system it does not even die; do not wait for that.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)


def _start(
    directory: str | Path, arguments: tuple[str, ...], stdout: int | IO[bytes]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*_GIT, *arguments],
        cwd=directory,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
    )
