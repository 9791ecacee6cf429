"""papermill's engine ``aml``: ``papermill --engine aml in.ipynb out.ipynb`` becomes a run.

papermill imports this file whenever it is imported, and while it is: nothing is imported here
before a notebook is executed with this engine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..workspace import Run

_INTERRUPTED = "The notebook was interrupted."


class Engine:
    """Executes a notebook as papermill does, and has a run that tells of it.

    That is the run that this process is part of, if it is part of one. Else it is a new one in
    the workspace of the working directory, of an experiment named after the notebook; it has
    the parameters as tags, and the executed notebook among its outputs.
    """

    @classmethod
    def execute_notebook(
        cls, nb: Any, kernel_name: str, output_path: str | None = None, **options: Any
    ) -> Any:
        """Execute the notebook; papermill itself looks for errors in it."""
        from ..job.run import Run as JobRun

        run = JobRun.get_context()
        if hasattr(run, "_facts"):
            return _execute(nb, kernel_name, output_path, run, run._folder, **options)
        with _run_for(nb, options.get("input_path")) as (own, log):
            copy = str(_copy_in(own, nb, output_path))
            return _execute(
                nb, kernel_name, output_path, own, str(own.folder), copy=copy, log=log, **options
            )

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        """The name of the kernel, as papermill finds it."""
        from papermill.utils import nb_kernel_name

        return str(nb_kernel_name(nb, name))

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> str:
        """The language of the notebook, as papermill finds it."""
        from papermill.utils import nb_language

        return str(nb_language(nb, language))


def _execute(
    nb: Any,
    kernel_name: str,
    output_path: str | None,
    run: Any,
    folder: str,
    *,
    copy: str | None = None,
    log: Any = None,
    **options: Any,
) -> Any:
    from papermill.iorw import write_ipynb

    from ..nbjob.engine import AmlEngine
    from ..nbjob.report import Report

    # What papermill would find wrong with the place, it is to find before anything is executed.
    if output_path:
        write_ipynb(nb, output_path)
    paths = [path for path in (copy, _local(output_path)) if path]
    with open(os.devnull, "w") as nothing:
        report = Report(run, folder, log or nothing)
        return AmlEngine.execute_notebook(
            nb, kernel_name, output_path, report=report, paths=paths, **options
        )


def _local(output_path: str | None) -> str | None:
    """Where papermill writes to, if that is a file here."""
    if not output_path:
        return None
    from papermill.iorw import LocalHandler, papermill_io

    handler = papermill_io.get_handler(output_path)
    if not isinstance(handler, LocalHandler):
        return None
    return os.path.join(handler._cwd or os.getcwd(), output_path)


# The run --------------------------------------------------------------------------------------


@contextmanager
def _run_for(nb: Any, input_path: object) -> Iterator[tuple[Run, Any]]:
    """A run for the notebook, which ends as that does, and its log."""
    from ..job import layout
    from ..nbjob.engine import error_of
    from ..workspace import Experiment, Workspace
    from ..workspace.run_options import experiment_name

    name = os.path.splitext(os.path.basename(str(input_path or "notebook")))[0]
    experiment = Experiment(Workspace.from_config(), experiment_name(name))
    run = experiment.start_logging(outputs=False, snapshot_directory=None, display_name=name)
    parameters = nb.metadata.get("papermill", {}).get("parameters") or {}
    if parameters:
        run.set_tags(dict(parameters))
    log = run.folder / layout.DRIVER_LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(log, "a", encoding="utf-8") as file, _environment(run):
            yield run, file
    except BaseException as error:
        run.fail(_INTERRUPTED if isinstance(error, KeyboardInterrupt) else error)
        raise
    failure, marks = error_of(nb)
    if failure is None:
        run.complete()
        return
    _mark(run, nb, failure.cell_index, marks)
    run.fail(f"{failure.ename}: {failure.evalue}", failure.ename)


def _copy_in(run: Run, nb: Any, output_path: str | None) -> Any:
    """Where the run has the executed notebook."""
    name = os.path.basename(str(output_path or "")) or "notebook.ipynb"
    path = run.folder / "outputs" / (name if name.endswith(".ipynb") else f"{name}.ipynb")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _mark(run: Run, nb: Any, index: int, marks: list[Any]) -> None:
    """Have papermill's error cells in the run's own copy; papermill puts them in the other."""
    from nbformat import NotebookNode

    from ..nbjob.growing import GrowingNotebook

    made = NotebookNode(nb)
    made.cells = [*marks[:1], *nb.cells[:index], *marks[1:], *nb.cells[index:]]
    for path in (run.folder / "outputs").glob("*.ipynb"):
        GrowingNotebook(str(path), made).close()


@contextmanager
def _environment(run: Run) -> Iterator[None]:
    """What tells the kernel which run it is part of."""
    from ..job.layout import FOLDER_VARIABLE
    from ..job.mlflow_names import mlflow_variables
    from ..job.run import REQUIRED_VARIABLES

    place = run.experiment.workspace.folder.record
    known = {
        "AZUREML_RUN_ID": run.id,
        "AZUREML_ARM_SUBSCRIPTION": place.get("subscription_id"),
        "AZUREML_ARM_RESOURCEGROUP": place.get("resource_group"),
        "AZUREML_ARM_WORKSPACE_NAME": place.get("name"),
        "AZUREML_ARM_PROJECT_NAME": run.experiment.name,
    }
    added = {name: str(known.get(name) or "local") for name in REQUIRED_VARIABLES}
    added[FOLDER_VARIABLE] = str(run.folder)
    added.update(mlflow_variables(str(run.folder), run.id, run.experiment.name, os.environ))
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
