"""Executes the notebook that a run is."""

from __future__ import annotations

import os
import sys

from aml_jupyter.job import layout

from .faults import NotebookFailed, failed

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
    _check_installed()
    request = layout.read_json(os.path.join(folder, layout.REQUEST)) or {}
    spec: dict[str, Any] = (request.get("job") or {}).get("notebook") or {}
    content, language = _read(notebook)
    # Before anything else here: a kernel is forked from a process without threads and sockets.
    kernel = _forked(spec, content, language)
    name = spec.get("kernel") or _kernel_name(content) or "python3"
    output = spec.get("output") or os.path.join(layout.OUTPUTS, os.path.basename(notebook))
    os.makedirs(os.path.dirname(output) or ".", exist_ok=True)
    _run(folder, content, output, name, language, spec, kernel)


def _check_installed() -> None:
    import importlib.util

    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise SystemExit(
            f"A notebook is executed by papermill, and {sys.executable} has no "
            f"{' and no '.join(missing)}.\n"
            f"Add {' '.join(_NEEDED)} to the run's environment."
        )


def _read(path: str) -> tuple[Any, str]:
    """The notebook, in the newest format, and its language."""
    from papermill.iorw import load_notebook_node

    content = load_notebook_node(path)
    metadata = content.metadata
    language = (metadata.get("language_info") or {}).get("name")
    language = language or (metadata.get("kernelspec") or {}).get("language") or "python"
    return content, str(language).lower()


def _kernel_name(content: Any) -> str | None:
    name = (content.metadata.get("kernelspec") or {}).get("name")
    return str(name) if name else None


def _forked(spec: dict[str, Any], content: Any, language: str) -> Any:
    """A kernel that is a fork of this process, if that is the one that is asked for."""
    from .kernels import ForkedKernel, can_fork

    name = spec.get("kernel") or (None if language in _PYTHON else _kernel_name(content))
    if (name and not _is_own(name)) or not can_fork():
        return None
    return ForkedKernel.fork()


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


def _run(
    folder: str,
    content: Any,
    output: str,
    name: str,
    language: str,
    spec: dict[str, Any],
    kernel: Any,
) -> None:
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import execute_notebook

    from aml_jupyter.job.run import Run

    from .engine import register
    from .report import Report

    register()
    report = Report(Run.get_context(), folder)
    try:
        execute_notebook(
            content,
            output,
            parameters=spec.get("parameters") or {},
            engine_name="aml",
            kernel_name=name,
            language=language,
            progress_bar=False,
            start_timeout=spec.get("start_timeout") or 60,
            execution_timeout=spec.get("cell_timeout") or None,
            kernel=kernel,
            report=report,
            replay=int(spec.get("replay") or 0),
        )
    except PapermillExecutionError as error:
        raise _failed(error, report) from None
    except LookupError as error:
        raise SystemExit(str(error)) from None


def _failed(error: Any, report: Any) -> NotebookFailed:
    sys.excepthook = _say_briefly  # the log has the traceback already, where the cell is
    trace = "\n".join(error.traceback)
    return failed(report.place, error.exec_count, error.ename, error.evalue, trace)


def _say_briefly(kind: Any, error: BaseException, trace: Any) -> None:
    sys.stderr.write(f"\n{error}\n")
