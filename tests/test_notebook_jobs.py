"""Notebooks as runs: executed by papermill's rules, seen while they are, and told why they end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbformat import v4

from aml_jupyter import Environment, Experiment, Run, ScriptRunConfig
from aml_jupyter.job import events, layout
from aml_jupyter.spec import NotebookSpec
from tests.services.memory_group import little_memory
from tests.support import (
    assert_no_orphans,
    experiment,
    finish,
    interpreter,
    is_running,
    kill,
    log_of,
    message_of,
    project,
    until,
    ws,
)

__all__ = ["experiment", "project", "ws"]


def code(text: str, *tags: str) -> Any:
    cell = v4.new_code_cell(textwrap.dedent(text).strip("\n"))
    if tags:
        cell.metadata["tags"] = list(tags)
    return cell


def text(words: str) -> Any:
    return v4.new_markdown_cell(words)


def notebook(*cells: Any, **metadata: Any) -> Any:
    made = v4.new_notebook(cells=[code(cell) if isinstance(cell, str) else cell for cell in cells])
    made.metadata.update(metadata)
    return made


def start(to: Experiment, content: Any, *, environment: Any = None, **spec: Any) -> Run:
    """The run of a notebook, or of its text, just submitted from a folder of its own."""
    source = to.workspace.folder.project.parent / f"source-{os.urandom(3).hex()}"
    source.mkdir()
    words = content if isinstance(content, str) else nbformat.writes(content)
    (source / "report.ipynb").write_text(words)
    config = ScriptRunConfig(str(source), "report.ipynb", environment=environment)
    return to.submit(config, notebook=NotebookSpec(**spec))


def executed(run: Run) -> Any:
    """The executed notebook, which is one."""
    found = nbformat.reads((run.folder / "outputs" / "report.ipynb").read_text(), as_version=4)
    nbformat.validate(found)
    return found


def done(to: Experiment, *cells: Any, **spec: Any) -> tuple[Run, Any]:
    """A run of these cells that has completed, and its executed notebook."""
    run = start(to, notebook(*cells), **spec)
    details = finish(run, 60)
    assert details["status"] == "Completed", (details.get("error"), log_of(run)[-3000:])
    return run, executed(run)


def broken(to: Experiment, *cells: Any, **spec: Any) -> tuple[Run, str]:
    """A run of these cells that has failed, and what it says of that."""
    run = start(to, notebook(*cells), **spec)
    details = finish(run, 60)
    assert details["status"] == "Failed", log_of(run)[-3000:]
    return run, message_of(details)


def printed(cell: Any) -> str:
    return "".join(each.text for each in cell.outputs if each.output_type == "stream")


def status_of(cell: Any) -> Any:
    return cell.metadata.papermill["status"]


def told(run: Run, kind: str) -> list[dict[str, Any]]:
    return [event for event in events.read(str(run.folder))[0] if event["e"] == kind]


def wait_for(run: Run, words: str, seconds: float = 30) -> None:
    """Until the notebook on disk has these words in an output."""
    path = run.folder / "outputs" / "report.ipynb"

    def is_there() -> bool:
        if not path.exists():
            return False
        cells = nbformat.reads(path.read_text(), as_version=4).cells
        outputs = [each for cell in cells for each in cell.get("outputs", ())]
        return any(words in json.dumps(each) for each in outputs)

    until(is_there, seconds, why=lambda: log_of(run)[-2000:])


def pid_in(run: Run, words: str = "kernel") -> int:
    """The number that a cell printed behind this word."""
    wait_for(run, f"{words} is ")
    log = log_of(run)
    return int(log.split(f"{words} is ")[1].split()[0])


TELL_PID = "import os, time\nprint('kernel is', os.getpid(), flush=True)"


# Parameters, metrics, files ------------------------------------------------------------------


def test_parameters_reach_the_notebook_with_their_types(experiment: Experiment) -> None:
    values = {
        "ratio": 0.5,
        "count": 3,
        "name": "it's",
        "items": [1, "x", None],
        "more": {"a": {"b": [True]}},
        "flag": False,
        "nothing": None,
    }
    names = ", ".join(values)
    _run, made = done(
        experiment,
        code("\n".join(f"{name} = 'default'" for name in values), "parameters"),
        f"import json; print(json.dumps([{names}]))",
        f"print([type(x).__name__ for x in ({names})])",
        parameters=values,
    )
    assert json.loads(printed(made.cells[2])) == list(values.values())
    assert "['float', 'int', 'str', 'list', 'dict', 'bool', 'NoneType']" in printed(made.cells[3])
    assert made.cells[1].metadata.tags == ["injected-parameters"]
    assert made.metadata.papermill.parameters == values
    assert made.metadata.papermill.input_path == "report.ipynb"


def test_a_parameter_that_the_notebook_does_not_have_is_set_and_told(
    experiment: Experiment,
) -> None:
    run, made = done(experiment, code("a = 1", "parameters"), "print(b)", parameters={"b": 2})
    assert "b is set, and the notebook's cell tagged `parameters` has no such name" in log_of(run)
    assert printed(made.cells[2]) == "2\n"


def test_the_run_in_the_kernel_is_the_run_of_the_notebook(experiment: Experiment) -> None:
    run, made = done(
        experiment,
        """
        from aml_jupyter import Run
        run = Run.get_context()
        run.log("score", 0.75)
        run.log_list("losses", [3, 2, 1])
        run.tag("kind", "notebook")
        print(run.id)
        """,
        "open('outputs/model.bin', 'w').write('weights')",
    )
    assert printed(made.cells[0]).strip() == run.id
    assert run.get_metrics() == {"score": 0.75, "losses": [3, 2, 1]}
    assert run.get_tags()["kind"] == "notebook"
    assert {"outputs/model.bin", "outputs/report.ipynb"} <= set(run.get_file_names())


def test_values_that_are_glued_or_recorded_are_metrics_and_are_kept(
    experiment: Experiment,
) -> None:
    run, _made = done(
        experiment,
        """
        from IPython.display import display
        def glue(name, data):
            scrap = {"name": name, "data": data, "encoder": "json", "version": 1}
            mime = "application/scrapbook.scrap.json+json"
            about = {"scrapbook": {"name": name, "data": True, "display": False}}
            display({mime: scrap}, metadata=about, raw=True)
        glue("auc", 0.9); glue("curve", [1, 2, 3]); glue("label", "good")
        glue("table", {"a": [1]}); glue("flag", True)
        """,
        """
        display({"application/papermill.record+json": {"rmse": 1.5}}, raw=True)
        """,
    )
    assert run.get_metrics() == {"auc": 0.9, "curve": [1, 2, 3], "label": "good", "rmse": 1.5}
    kept = layout.read_json(str(run.folder / layout.ARTIFACTS / "scraps.json"))
    assert kept["table"] == {"a": [1]}
    assert kept["flag"] is True
    assert "scraps.json" in run.get_file_names()


# Progress and what grows ---------------------------------------------------------------------


def test_each_cell_is_told_of_with_its_heading_and_its_seconds(experiment: Experiment) -> None:
    run, made = done(
        experiment,
        text("# Load"),
        "1",
        "import time; time.sleep(0.3)",
        "",
        text("Words\n\n## Fit *it*\n"),
        "2",
    )
    texts = [(event["done"], event["total"], event["text"]) for event in told(run, "progress")]
    assert texts[-3:] == [
        (0, 3, "cell 1 of 3 · Load"),
        (1, 3, "cell 2 of 3 · Load"),
        (2, 3, "cell 3 of 3 · Fit it"),
    ]
    cells = told(run, "cell")
    assert [(event["number"], event["of"]) for event in cells] == [(1, 3), (2, 3), (3, 3)]
    assert cells[1]["seconds"] >= 0.3
    assert [status_of(cell) for cell in made.cells] == ["completed"] * 6
    assert made.metadata.papermill.duration > 0.3
    assert made.metadata.papermill.exception is None
    assert "── cell 3 of 3 · Fit it" in log_of(run)


def test_a_notebook_is_valid_at_every_moment_and_has_what_a_long_cell_printed(
    experiment: Experiment,
) -> None:
    slow = """
        import time
        for n in range(40):
            print("tick", time.time(), flush=True)
            time.sleep(0.1)
        """
    run = start(experiment, notebook(*(f"print({n})" for n in range(25)), slow))
    path = run.folder / "outputs" / "report.ipynb"
    until(path.exists, 30)
    late = []
    while run.get_status() not in ("Completed", "Failed"):
        now = time.time()
        content = nbformat.reads(path.read_text(), as_version=4)
        nbformat.validate(content)
        ticks = printed(content.cells[-1]).split()[1::2]
        if ticks and status_of(content.cells[-1]) == "running":
            late.append(now - float(ticks[-1]))
    assert run.get_status() == "Completed"
    assert len(late) > 5
    assert max(late) < 1.5
    assert printed(executed(run).cells[-1]).count("tick") == 40


def test_a_failed_notebook_has_papermills_error_cells(experiment: Experiment) -> None:
    run, message = broken(experiment, text("# Fit"), "1", "1/0", "print('never')")
    assert "division by zero" in message
    assert "cell 2 (In [2]), below “Fit”" in message
    made = executed(run)
    assert "papermill-error-cell" in made.cells[0].source
    assert "In [2]" in made.cells[0].source
    assert 'id="papermill-error-cell"' in made.cells[3].source
    assert made.cells[4].outputs[0].ename == "ZeroDivisionError"
    assert made.metadata.papermill.exception is True
    assert [status_of(cell) for cell in made.cells if "papermill" in cell.metadata] == [
        "completed",
        "completed",
        "failed",
        "pending",
    ]
    outcome = layout.read_json(str(run.folder / layout.OUTCOME))
    assert (outcome["type"], outcome["cell"]) == ("ZeroDivisionError", 2)
    assert log_of(run).count("Traceback (most recent call last)") == 1


def test_a_notebook_that_was_executed_before_loses_its_error_cells(
    experiment: Experiment,
) -> None:
    run, _ = broken(experiment, "1/0")
    again = executed(run)
    again.cells[-1].source = "print('mended')"
    second = start(experiment, again)
    assert finish(second, 60)["status"] == "Completed"
    made = executed(second)
    assert [printed(cell) for cell in made.cells] == ["mended\n"]
    assert made.metadata.papermill.exception is None


# Being stopped -------------------------------------------------------------------------------

UNTIL_STOPPED = """
    import time
    try:
        print("begun", flush=True)
        time.sleep(100)
    finally:
        open("outputs/tidied", "w").write("yes")
        print("tidied", flush=True)
    """


def test_a_cancelled_notebook_is_kept_and_its_cell_tidies_up(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_CANCEL_GRACE", "10")
    run = start(experiment, notebook("print('first')", UNTIL_STOPPED, "print('never')"))
    wait_for(run, "begun")
    begun = time.monotonic()
    run.cancel()
    assert finish(run)["status"] == "Canceled"
    assert time.monotonic() - begun < 5
    assert (run.folder / "outputs" / "tidied").read_text() == "yes"
    made = executed(run)
    assert [status_of(cell) for cell in made.cells] == ["completed", "canceled", "pending"]
    assert printed(made.cells[0]) == "first\n"
    assert printed(made.cells[1]) == "begun\ntidied\n"
    assert made.cells[1].outputs[-1].ename == "KeyboardInterrupt"
    assert made.metadata.papermill.exception is True
    assert made.metadata.papermill.duration > 0
    assert_no_orphans(experiment.workspace.folder.root)


def test_a_cell_that_does_not_heed_a_cancel_is_ended_and_marked(experiment: Experiment) -> None:
    run = start(
        experiment,
        notebook(
            """
            import time
            print("begun", flush=True)
            while True:
                try:
                    time.sleep(100)
                except KeyboardInterrupt:
                    print("no", flush=True)
            """
        ),
    )
    wait_for(run, "begun")
    run.cancel()
    assert finish(run)["status"] == "Canceled"
    made = executed(run)
    assert status_of(made.cells[0]) == "canceled"
    assert "begun" in printed(made.cells[0])
    assert_no_orphans(experiment.workspace.folder.root)


def test_what_was_printed_outlives_the_one_who_executes_and_the_kernel_does_not(
    experiment: Experiment,
) -> None:
    run = start(experiment, notebook(TELL_PID, UNTIL_STOPPED))
    wait_for(run, "begun")
    kernel = pid_in(run)
    executor = psutil.Process(kernel).parent()
    assert executor is not None
    assert not list(Path(tempfile.gettempdir()).glob(f"aml-kernel-{executor.pid}-*"))
    kill(executor.pid)
    until(lambda: not is_running(kernel), 2)
    assert finish(run)["status"] == "Failed"
    made = executed(run)
    assert [status_of(cell) for cell in made.cells] == ["completed", "running"]
    assert "begun" in printed(made.cells[1])
    assert_no_orphans(experiment.workspace.folder.root)


def test_what_a_start_that_was_killed_left_behind_is_tidied(experiment: Experiment) -> None:
    # There is no process of that number, nor can there be.
    left, fresh = (Path(tempfile.gettempdir()) / f"aml-kernel-{n}-x" for n in (5000000, 5000001))
    for folder in (left, fresh):
        folder.mkdir()
    try:
        os.utime(left, (0, 0))
        done(experiment, "1")
        assert not left.exists()
        assert fresh.exists()
    finally:
        for folder in (left, fresh):
            shutil.rmtree(folder, ignore_errors=True)


def test_a_cell_that_takes_too_long_is_given_up_and_says_where_it_was(
    experiment: Experiment,
) -> None:
    run, message = broken(
        experiment,
        TELL_PID,
        "def spin():\n    while True:\n        pass\nspin()",
        "print('never')",
        cell_timeout=1.0,
    )
    assert "took longer than 1 s" in message
    outcome = layout.read_json(str(run.folder / layout.OUTCOME))
    assert (outcome["type"], outcome["cell"]) == ("CellTimedOut", 2)
    assert "spin()" in outcome["traceback"]
    made = executed(run)
    assert [each.ename for each in made.cells[3].outputs] == ["CellTimedOut"]
    assert not is_running(pid_in(run))
    assert "Task was destroyed" not in log_of(run)
    assert_no_orphans(experiment.workspace.folder.root)


def test_a_cell_that_cannot_be_interrupted_is_ended_with_its_kernel(
    experiment: Experiment,
) -> None:
    run, message = broken(
        experiment,
        TELL_PID,
        """
        import signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True:
            try:
                time.sleep(0.1)
            except KeyboardInterrupt:
                pass
        """,
        cell_timeout=1.0,
    )
    assert "took longer than 1 s" in message
    assert not is_running(pid_in(run))


# How a kernel dies ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ("os._exit(3)", "ended by itself with exit code 3"),
        ("os.kill(os.getpid(), 9)", "ended by SIGKILL"),
        ("import ctypes; ctypes.string_at(0)", "ended by SIGSEGV"),
        ("os.abort()", "ended by SIGABRT"),
    ],
)
def test_a_kernel_that_dies_is_told_at_once_with_what_ended_it(
    experiment: Experiment, last: str, words: str
) -> None:
    last = f"import os, time\nopen('outputs/died', 'w').write(repr(time.time()))\n{last}"
    run, message = broken(experiment, text("# Fit"), "1", last, "print('never')")
    assert words in message
    assert "cell 2 (In [2]), below “Fit”" in message
    made = executed(run)
    cell = made.cells[4]
    assert cell.outputs[-1].ename == "KernelDied"
    assert status_of(cell) == "failed"
    died = float((run.folder / "outputs" / "died").read_text())
    assert told(run, "cell")[-1]["t"] - died < 1.5
    assert layout.read_json(str(run.folder / layout.OUTCOME))["type"] == "KernelDied"


@pytest.mark.slow
@pytest.mark.service("memory")
def test_a_kernel_that_runs_out_of_memory_is_told_as_that(experiment: Experiment) -> None:
    with little_memory(400 << 20) as put_into:
        run = start(
            experiment,
            notebook(
                TELL_PID,
                """
                while not os.path.exists("go"):
                    time.sleep(0.05)
                held = []
                while True:
                    held.append(bytearray(os.urandom(1 << 20)))
                """,
            ),
        )
        kernel = pid_in(run)
        executor = psutil.Process(kernel).parent()
        assert executor is not None
        put_into(executor.pid)
        put_into(kernel)
        (run.folder / layout.WORK / "go").touch()
        details = finish(run, 60)
    assert "memory ran out" in message_of(details)
    assert executed(run).cells[-1].outputs[-1].ename == "OutOfMemory"


# How a notebook ends -------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["sys.exit()", "sys.exit(0)", "raise SystemExit"])
def test_a_notebook_may_end_itself(experiment: Experiment, way: str) -> None:
    _run, made = done(experiment, "import sys", way, "print('never')")
    assert made.cells[-1].outputs == []
    assert made.cells[-1].execution_count is None


def test_a_notebook_may_end_itself_as_failed(experiment: Experiment) -> None:
    run, message = broken(experiment, "import sys; sys.exit(3)", "print('never')")
    assert layout.read_json(str(run.folder / layout.OUTCOME))["type"] == "SystemExit"
    assert "SystemExit: 3, in cell 1" in message


def test_a_cell_that_may_fail_or_is_to_be_skipped_does(experiment: Experiment) -> None:
    _run, made = done(
        experiment,
        code("1/0", "raises-exception"),
        code("print('skipped')", "skip-execution"),
        "print('on')",
    )
    assert made.cells[0].outputs[0].ename == "ZeroDivisionError"
    assert made.cells[1].outputs == []
    assert printed(made.cells[2]) == "on\n"


def test_a_question_is_refused_with_what_to_do_instead(experiment: Experiment) -> None:
    _run, message = broken(experiment, "name = input('Who? ')")
    assert "nobody to answer" in message
    assert "make the value a parameter" in message


def test_a_name_that_is_not_defined_is_told_with_what_to_do(experiment: Experiment) -> None:
    _run, message = broken(experiment, "print(alhpa)")
    assert "name 'alhpa' is not defined" in message
    assert "give it with -p" in message


def test_a_kernel_that_does_not_exist_is_named_with_those_that_do(
    experiment: Experiment,
) -> None:
    run, message = broken(experiment, "1", kernel="fortran")
    assert "no kernel named 'fortran'" in message
    assert "python3" in message
    assert "Traceback" not in log_of(run)


def test_a_notebook_of_a_language_without_a_kernel_says_so(experiment: Experiment) -> None:
    spec = {"name": "ir", "language": "R", "display_name": "R"}
    run = start(experiment, notebook("1", kernelspec=spec))
    assert "no kernel named 'ir'" in message_of(finish(run, 60))


def test_a_file_that_is_no_notebook_is_told_as_that(experiment: Experiment) -> None:
    run = start(experiment, "print('a script')")
    assert "report.ipynb is not a notebook" in message_of(finish(run, 60))


def test_an_interpreter_without_papermill_is_told_and_what_to_add(
    experiment: Experiment, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    environment = Environment("bare")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = str(bare / "bin" / "python")
    run = start(experiment, notebook("1"), environment=environment)
    message = message_of(finish(run, 60))
    assert str(bare / "bin" / "python") in message
    assert "has no papermill and no ipykernel" in message
    assert "Add papermill and ipykernel to the run's environment" in message


@pytest.mark.slow
@pytest.mark.service("pypi", "python3.8")
def test_the_oldest_papermill_on_the_oldest_python_does_it_too(
    experiment: Experiment, tmp_path: Path
) -> None:
    python = interpreter("3.8")
    assert python is not None
    place = tmp_path / "old"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "-p", python, place], check=True)
    packages = ["papermill==2.4.0", "ipykernel==6.29.0", "nbclient<0.9"]
    into = ["pip", "install", "-q", "-p", place / "bin" / "python"]
    subprocess.run([*uv, *into, *packages], check=True)
    environment = Environment("old")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = str(place / "bin" / "python")
    content = notebook(code("a = 1", "parameters"), "print(a)", "import sys; sys.version", "1/0")
    run = start(experiment, content, environment=environment, parameters={"a": 2.5})
    assert "division by zero" in message_of(finish(run, 60))
    made = executed(run)
    assert printed(made.cells[3]) == "2.5\n"
    assert "3.8" in made.cells[4].outputs[0].data["text/plain"]
    assert "papermill-error-cell" in made.cells[0].source


# What a cell may find ------------------------------------------------------------------------


def test_a_kernel_has_nothing_of_the_process_it_came_from(experiment: Experiment) -> None:
    run, made = done(
        experiment,
        """
        import json, os, signal, sys, threading
        # Only what a kernel has by itself: pipes, sockets, its events, and the log.
        files = {n: os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                 if os.path.exists(f"/proc/self/fd/{n}")}
        print(json.dumps({
            "blocked": [int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
            "argv": sys.argv[0],
            "name": __name__,
            "hook": sys.excepthook.__module__,
            "files": sorted({f for f in files.values() if f.startswith("/")}),
            "handlers": [n.name for n in (signal.SIGCHLD, signal.SIGHUP, signal.SIGQUIT)
                         if signal.getsignal(n) != signal.SIG_DFL],
            "threads": sorted(t.name for t in threading.enumerate()),
            "globals": sorted(n for n in dir() if not n.startswith("_")),
        }))
        """,
    )
    found = json.loads(printed(made.cells[0]))
    assert found["blocked"] == []
    assert found["argv"] == "ipykernel_launcher"
    assert found["name"] == "__main__"
    assert found["handlers"] == []
    assert set(found["globals"]) <= {
        *("In", "Out", "exit", "quit", "open", "get_ipython"),
        *("json", "os", "signal", "sys", "threading", "files"),
    }
    log = str(run.folder / layout.DRIVER_LOG)
    others = [name for name in found["files"] if name not in (log, "/dev/null", "/dev/urandom")]
    assert others == []


def test_two_kernels_draw_different_numbers(experiment: Experiment) -> None:
    draw = "import random, numpy; print(random.random(), numpy.random.rand())"
    first, second = (printed(done(experiment, draw)[1].cells[0]).split() for _ in range(2))
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_what_people_do_in_cells_works(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A kernel that finds this leaves what is written below Python where it is.
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    run, made = done(
        experiment,
        "import asyncio\nawait asyncio.sleep(0.01)\nprint('awaited')",
        """
        import multiprocessing as mp
        def double(x):
            return 2 * x
        with mp.get_context("fork").Pool(2) as pool:
            print(pool.map(double, range(3)))
        """,
        """
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(4) as threads:
            print(sum(threads.map(double, range(10))))
        """,
        """
        import subprocess, sys
        print(subprocess.run([sys.executable, "-c", "print('child')"],
                             capture_output=True, text=True).stdout)
        """,
        "!echo shell $((1 + 1))",
        "%timeit -n 2 -r 1 1 + 1",
        "%%bash\necho cell magic",
        "get_ipython().__class__.__name__",
        "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]);",
        "import atexit; atexit.register(lambda: open('outputs/at-exit', 'w').write('yes'));",
        "import os; os.system('echo from below')",
    )
    assert printed(made.cells[0]) == "awaited\n"
    assert printed(made.cells[1]) == "[0, 2, 4]\n"
    assert printed(made.cells[2]) == "90\n"
    assert "child" in printed(made.cells[3])
    assert "shell 2" in printed(made.cells[4])
    assert "per loop" in printed(made.cells[5])
    assert "cell magic" in printed(made.cells[6])
    assert "ZMQInteractiveShell" in made.cells[7].outputs[0].data["text/plain"]
    pictures = [each for each in made.cells[8].outputs if "image/png" in each.get("data", {})]
    assert len(pictures) == 1
    assert (run.folder / "outputs" / "at-exit").read_text() == "yes"
    assert "from below" in printed(made.cells[10])


def test_outputs_that_change_later_and_widgets_are_as_the_last_change_left_them(
    experiment: Experiment,
) -> None:
    run, made = done(
        experiment,
        """
        from IPython.display import Image, clear_output, display
        handle = display("old", display_id=True)
        display(Image(b"not really", format="png"))
        """,
        """
        import time
        for n in range(200):
            clear_output(wait=True)
            print("turn", n)
            print("and more")
            display(n)
            time.sleep(0.002)
        handle.update("new")
        """,
        """
        from tqdm import tqdm
        for n in tqdm(range(300), mininterval=0):
            time.sleep(0.001)
        print("after")
        """,
        """
        import ipywidgets
        slider = ipywidgets.IntSlider(value=7)
        display(slider)
        slider.value = 42
        """,
    )
    assert made.cells[0].outputs[0].data["text/plain"] == "'new'"
    assert "image/png" in made.cells[0].outputs[1].data
    assert printed(made.cells[1]) == "turn 199\nand more\n"
    assert [each.output_type for each in made.cells[1].outputs] == ["stream", "display_data"]
    bar = printed(made.cells[2])
    assert "300/300" in bar
    assert "after" in bar
    assert len(bar) < 1000
    state = made.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    assert 42 in [model["state"].get("value") for model in state.values()]
    assert (run.folder / "outputs" / "report.ipynb").stat().st_size < 50_000


# What notebooks there are --------------------------------------------------------------------


def old(minor: int) -> str:
    made = notebook("print('four')", text("words"))
    record = json.loads(nbformat.writes(made))
    record["nbformat_minor"] = minor
    for cell in record["cells"]:
        if minor < 5:
            del cell["id"]
    return json.dumps(record)


THREE = json.dumps(
    {
        "metadata": {"name": "old"},
        "nbformat": 3,
        "nbformat_minor": 0,
        "worksheets": [
            {
                "metadata": {},
                "cells": [
                    {"cell_type": "heading", "level": 1, "metadata": {}, "source": ["Old"]},
                    {
                        "cell_type": "code",
                        "collapsed": False,
                        "input": ["print('four')"],
                        "language": "python",
                        "metadata": {},
                        "outputs": [],
                    },
                ],
            }
        ],
    }
)


@pytest.mark.parametrize("content", [THREE, old(0), old(4), old(5)], ids=["3", "4.0", "4.4", "4.5"])
def test_notebooks_of_all_formats_are_executed(experiment: Experiment, content: str) -> None:
    run = start(experiment, content)
    assert finish(run, 60)["status"] == "Completed"
    made = executed(run)
    assert [printed(each) for each in made.cells if each.cell_type == "code"] == ["four\n"]
    assert (made.nbformat, made.nbformat_minor) == (4, 5)


@pytest.mark.parametrize(
    "cells", [(), (text("# Words only"),), (code(""), code("# a remark"))], ids=["0", "md", "empty"]
)
def test_notebooks_with_nothing_to_execute_complete(
    experiment: Experiment, cells: tuple[Any, ...]
) -> None:
    _run, made = done(experiment, *cells)
    assert len(made.cells) == len(cells)
    assert made.metadata.language_info.name == "python"


@pytest.fixture
def bash_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a kernel for the shell."""
    place = tmp_path / "jupyter" / "kernels" / "bash"
    place.mkdir(parents=True)
    argv = [sys.executable, "-m", "bash_kernel", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Bash", "language": "bash"}
    (place / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    return "bash"


@pytest.mark.slow
def test_a_notebook_in_another_language_has_its_own_kernel(
    experiment: Experiment, bash_kernel: str
) -> None:
    about = {"kernelspec": {"name": "bash", "language": "bash", "display_name": "Bash"}}
    content = notebook(code("name=nobody", "parameters"), "echo hello $name", **about)
    run = start(experiment, content, parameters={"name": "you"})
    details = finish(run, 60)
    assert details["status"] == "Completed", log_of(run)
    assert "hello you" in printed(executed(run).cells[2])

    content = notebook("echo before", "kill -9 $PPID; sleep 1", "echo never", **about)
    run = start(experiment, content)
    message = message_of(finish(run, 60))
    assert "The kernel was ended by SIGKILL" in message
    assert "cell 2" in message
    assert "before" in log_of(run)
    assert_no_orphans(experiment.workspace.folder.root)


# Much ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_notebook_with_200_mb_of_outputs_keeps_no_cell_waiting(experiment: Experiment) -> None:
    stream = """
        line = "y" * 99 + "\\n"
        for n in range(15):
            print(line * 10_000, end="", flush=True)
        """
    shown = """
        from IPython.display import display
        display({"text/html": "x" * 50_000_000, "text/plain": "much"}, raw=True)
        """
    small = ["import time; time.sleep(0.2)", "print('small')"] * 5
    cells = [*[stream] * 5, *small, shown, *small, *[stream] * 5, *small, "1/0"]
    run = start(experiment, notebook(TELL_PID, *cells))
    kernel = pid_in(run)
    executor = psutil.Process(kernel).parent()
    assert executor is not None
    written, memory = 0, 0
    while run.get_status() not in ("Completed", "Failed", "Canceled"):
        try:
            written = executor.io_counters().write_chars
            memory = max(memory, executor.memory_info().rss)
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.01)
    made = executed(run)
    size = (run.folder / "outputs" / "report.ipynb").stat().st_size
    assert size > 200e6
    assert made.cells[-1].outputs[0].ename == "ZeroDivisionError"
    assert "papermill-error-cell" in made.cells[0].source
    log = (run.folder / layout.DRIVER_LOG).stat().st_size
    # Twice while it grows, and once more for the error cell at its very beginning.
    assert written - log < 3.3 * size
    assert memory < 1.5e9
    waits = _waits(run, made)
    assert max(waits) < 0.1, waits
    print(f"written {(written - log) / size:.2f} times, {memory / 1e6:.0f} MB, {max(waits):.3f} s")


def _waits(run: Run, made: Any) -> list[float]:
    """Seconds from the end of each cell to the start of the next, with all saving between them."""
    cells = [cell for cell in made.cells if cell.cell_type == "code"]
    ended = [cell.metadata.papermill["end_time"] for cell in cells]
    begun = [event["t"] for event in told(run, "progress")][-len(cells) :]
    ends = [datetime.fromisoformat(each).timestamp() for each in ended]
    return [start - end for end, start in zip(ends[:-1], begun[1:], strict=True)]
