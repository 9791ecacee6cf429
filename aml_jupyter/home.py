"""Where things live that belong to the user rather than to a project.

``AML_HOME`` moves all of it, so that tests and several installations stay apart.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from . import __version__
from .errors import RunnerError

_SOCKET_PATH_LIMIT = 100
_BUNDLED = ("__init__.py", "errors.py", "lazy.py")
_BUNDLED_ROOMS = ("job", "nbjob", "assets", "compat", "tracking")
_STARTUP = "startup/sitecustomize.py"  # as in job/layout.py, which `home` does not import
_PLUG_INS = {
    "mlflow.tracking_store": "aml = aml_jupyter.tracking:tracking_store",
    "mlflow.model_registry_store": "aml = aml_jupyter.tracking:model_registry_store",
    "mlflow.artifact_repository": "aml = aml_jupyter.tracking:artifact_repository",
}
"""What MLflow finds in a job; an installed package says the same in pyproject.toml."""


class Home:
    """The paths of the runner's own files; nothing here belongs to one workspace."""

    def __init__(self, state: Path, runtime: Path) -> None:
        self.state = state
        self.runtime = runtime

    @property
    def queue(self) -> Path:
        """One small file for each run that has not ended."""
        return self.state / "queue"

    @property
    def workspaces(self) -> Path:
        """The names of the workspaces seen, and where they are."""
        return self.state / "workspaces"

    @property
    def runner_log(self) -> Path:
        """What the runner has to say."""
        return self.state / "runner.log"

    @property
    def lock(self) -> Path:
        """Held by the one runner of this user; its content is the runner's pid."""
        return self.runtime / "runner.lock"

    @property
    def socket(self) -> Path:
        """Where the runner listens."""
        path = self.runtime / "runner.sock"
        if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT:
            return path
        short = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        # Not TMPDIR: it may be long as well, and differ between those who are to meet here.
        return _private(Path("/tmp") / f"aml-{os.getuid()}") / f"{short}.sock"

    def bundle(self) -> Path:
        """The folder that jobs import ``aml_jupyter`` from; made when it is not there yet.

        Named by its content, so that a run started by one version keeps its files when
        another version is installed.
        """
        package = Path(__file__).parent
        rooms = [path for room in _BUNDLED_ROOMS for path in (package / room).glob("*.py")]
        files = [*_BUNDLED, *sorted(str(path.relative_to(package)) for path in rooms)]
        content = {f"aml_jupyter/{name}": (package / name).read_bytes() for name in files}
        # A folder of its own: it comes first on a job's search path, all else of ours last.
        content[_STARTUP] = (package / "compat" / _STARTUP).read_bytes()
        content.update(_distribution())
        digest = hashlib.sha256(repr(sorted(content.items())).encode()).hexdigest()[:16]
        bundle = self.state / "bundle" / digest
        if not bundle.is_dir():
            aside = Path(tempfile.mkdtemp(dir=_private(bundle.parent)))
            for name, data in content.items():
                target = aside / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            _compile(aside)
            aside.chmod(0o755)
            try:
                aside.rename(bundle)
            except OSError:  # another process made the same bundle first
                _remove(aside)
        return bundle

    def make(self) -> Home:
        """Make the folders, readable by nobody else."""
        for folder in (self.state, self.runtime, self.queue, self.workspaces):
            _private(folder)
        return self


def home() -> Home:
    """The user's home for runs, as the environment says now."""
    moved = os.environ.get("AML_HOME")
    if moved:
        state = Path(moved).absolute()
        return Home(state, state / "run")
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "aml"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK):
        return Home(state, Path(runtime) / "aml")
    return Home(state, Path(tempfile.gettempdir()) / f"aml-{os.getuid()}")


def _private(folder: Path) -> Path:
    """``folder``, made if need be, and certainly ours: it decides what runs as this user."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = folder.stat().st_uid
    if owner != os.getuid():
        raise RunnerError(
            f"{folder} belongs to another user (uid {owner}).",
            "Set AML_HOME to a folder of your own.",
        )
    return folder


def _distribution() -> dict[str, bytes]:
    """What makes plug-ins of the bundle known to ``importlib.metadata``.

    Its name is its own: it must not hide the package where that is installed as well.
    """
    folder = f"aml_jupyter_job-{__version__}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: aml-jupyter-job\nVersion: {__version__}\n"
    entries = "\n".join(f"[{group}]\n{entry}\n" for group, entry in _PLUG_INS.items())
    texts = {"METADATA": metadata, "entry_points.txt": entries}
    return {f"{folder}/{name}": text.encode() for name, text in texts.items()}


def _compile(bundle: Path) -> None:
    """Compile once, here: containers often forbid Python to write what it compiled."""
    import compileall
    import py_compile

    never_stale = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(bundle, quiet=2, invalidation_mode=never_stale)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
