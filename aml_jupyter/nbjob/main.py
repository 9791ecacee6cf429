"""Executes the notebook that a run is."""

from __future__ import annotations

import os
import re
import signal
import sys

from aml_jupyter.job import layout

from .faults import Canceled, KernelDied, NotebookFailed, Unable, failed
from .late import late_grammar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PYTHON = ("python", "python2", "python3", "ipython")
_NEEDED = ("papermill", "ipykernel")


def execute(folder: str, notebook: str) -> None:
    """Execute ``notebook`` as the request of the run in ``folder`` says.

    Raises :class:`NotebookFailed` when a cell failed. What was executed is in the notebook that
    the request calls ``output``, whatever happens.
    """
    try:
        _check_installed()
        request = layout.read_json(os.path.join(folder, layout.REQUEST)) or {}
        _Execution(folder, notebook, (request.get("job") or {}).get("notebook") or {}).run()
    except (Unable, KernelDied, NotebookFailed):
        # Whatever there is to read about it is in the log already.
        sys.excepthook = _say_briefly
        raise
    except Canceled:
        _end_by_signal()


def _check_installed() -> None:
    import importlib.util

    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise Unable(
            f"A notebook is executed by papermill, and {sys.executable} has no "
            f"{' and no '.join(missing)}.\n"
            f"Add {' and '.join(missing)} to the run's environment."
        )


class _Execution:
    """One notebook, and what is asked of it."""

    def __init__(self, folder: str, path: str, spec: dict[str, Any]) -> None:
        self._folder = folder
        self._path = path
        self._spec = spec
        self._content = _read(path)
        self._language = _language(self._content)
        self._output = spec.get("output") or os.path.join(layout.OUTPUTS, os.path.basename(path))

    def run(self) -> None:
        """Execute it."""
        # Before anything else here: a kernel is forked from a process without threads and sockets.
        kernel = self._forked()
        os.makedirs(os.path.dirname(self._output) or ".", exist_ok=True)
        from papermill.exceptions import PapermillExecutionError

        from aml_jupyter.job.run import Run

        from .engine import AmlEngine
        from .report import Report

        report = Report(Run.get_context(), self._folder)
        try:
            AmlEngine.execute_notebook(
                self._prepared(),
                self._kernel_name(),
                self._output,
                progress_bar=False,
                start_timeout=self._spec.get("start_timeout") or 60,
                execution_timeout=self._spec.get("cell_timeout") or None,
                kernel=kernel,
                report=report,
                replay=int(self._spec.get("replay") or 0),
                is_last=True,
            )
        except PapermillExecutionError as error:
            trace = "\n".join(error.traceback)
            count = error.exec_count
            raise failed(report.place, count, error.ename, error.evalue, trace) from None

    def _named_kernel(self) -> str | None:
        """The kernelspec that is asked for; a Python notebook asks for none by itself."""
        its = (self._content.metadata.get("kernelspec") or {}).get("name")
        name = self._spec.get("kernel") or (None if self._language in _PYTHON else its)
        return str(name) if name else None

    def _kernel_name(self) -> str:
        return self._named_kernel() or "python3"

    def _forked(self) -> Any:
        """A kernel that is a fork of this process, if that is the one that is asked for."""
        from .kernels import ForkedKernel, can_fork

        name = self._named_kernel()
        if (name and not _is_own(name)) or not can_fork():
            return None
        return ForkedKernel.fork()

    def _prepared(self) -> Any:
        """The notebook with its parameters, as papermill's ``execute_notebook`` makes it.

        That would write the executed notebook once more at the end, in seconds if it is large.
        """
        from papermill.execute import prepare_notebook_metadata, remove_error_markers

        content = self._content
        if self._spec.get("parameters"):
            content = self._with_parameters(content, self._spec["parameters"])
        content = prepare_notebook_metadata(content, self._path, self._output, False)
        return remove_error_markers(content)

    def _with_parameters(self, content: Any, parameters: dict[str, Any]) -> Any:
        from papermill.exceptions import PapermillException
        from papermill.parameterize import parameterize_notebook

        words = set(re.findall(r"\w+", _parameters_cell(content)))
        try:
            content = parameterize_notebook(
                content, parameters, kernel_name=self._kernel_name(), language=self._language
            )
        except PapermillException as error:
            raise Unable(
                f"The parameters cannot be written in {self._language}: {error}"
            ) from error
        for name in sorted(set(parameters) - words):
            print(f"{name} is set, and the notebook's cell tagged `parameters` has no such name.")
        return content


def _read(path: str) -> Any:
    """The notebook, in the newest format."""
    with late_grammar():
        from papermill.iorw import load_notebook_node

    try:
        return load_notebook_node(path)
    except ValueError as error:
        raise Unable(f"{path} is not a notebook: {error}") from error


def _parameters_cell(content: Any) -> str:
    tagged = (cell for cell in content.cells if "parameters" in cell.metadata.get("tags", ()))
    return str(next((cell.source for cell in tagged), ""))


def _language(content: Any) -> str:
    metadata = content.metadata
    name = (metadata.get("language_info") or {}).get("name")
    return str(name or (metadata.get("kernelspec") or {}).get("language") or "python").lower()


def _is_own(name: str) -> bool:
    """Whether the kernelspec of that name starts this very interpreter, and no more than that."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec(name)
    except NoSuchKernel:
        return False
    usual = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
    arguments = [each for each in spec.argv[1:] if each != "-Xfrozen_modules=off"]
    own = os.path.realpath(spec.argv[0]) == os.path.realpath(sys.executable)
    is_own = spec.argv[0] in ("python", "python3") or (own and spec.argv[0].startswith(sys.prefix))
    return is_own and arguments == usual and not spec.env


def _end_by_signal() -> None:
    """End as a program that was asked to and did nothing about it."""
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _say_briefly(kind: Any, error: BaseException, trace: Any) -> None:
    sys.stderr.write(f"\n{error}\n")
