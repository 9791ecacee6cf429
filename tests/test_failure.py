"""What is said of a run that failed: the exception, the line, the last words, what to try."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter import Experiment, Run, ScriptRunConfig, Workspace
from aml_jupyter.job import events, layout
from aml_jupyter.spec import JobSpec, NotebookSpec, RunRequest
from aml_jupyter.store import Query
from aml_jupyter.watching.failure import failure
from aml_jupyter.workspace.failure import failure_of
from aml_jupyter.workspace.remedies import MOST, Symptoms, hints_for
from tests.shell import Shell, ipython, shell
from tests.support import experiment, finish, project, script, submit, ws

__all__ = ["experiment", "ipython", "project", "shell", "ws"]


def hint(text: str, **facts: Any) -> str:
    """The first hint for what was said, with its code."""
    found = hints_for(Symptoms(text=text, **facts))
    return f"{found[0].text} {found[0].code}" if found else ""


def failed(to: Experiment, error: dict[str, Any], log: str = "", **request: Any) -> Run:
    """A run that ended with that error record and that log, without having run."""
    run = to.start_logging(snapshot_directory=None)
    path = run.folder / layout.REQUEST
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, **request}))
    driver = run.folder / layout.DRIVER_LOG
    driver.parent.mkdir(parents=True, exist_ok=True)
    driver.write_text(log)
    events.append(str(run.folder), "state", state="Failed", error={"error": error})
    return to.workspace.get_run(run.id)


# The whole of it ------------------------------------------------------------------------------


def test_a_failed_script_is_told_by_its_exception_its_line_and_its_last_words(
    experiment: Experiment,
) -> None:
    run = submit(
        experiment,
        """\
        import json

        def load(path):
            return json.loads(open(path).read())

        print("loading")
        load("there-is-none.json")
        """,
    )
    finish(run)
    found = failure_of(run)
    assert found is not None
    assert found.place is not None
    assert found.kind == "FileNotFoundError"
    assert "there-is-none.json" in found.message
    assert "User program" not in found.message
    assert (found.place.line, found.place.is_cell) == (4, False)
    assert found.place.path.endswith("/train.py")
    line = found.place.lines[found.place.line - found.place.first]
    assert line == "    return json.loads(open(path).read())"
    assert 'File "' in found.trace
    assert "launch.py" not in found.trace
    assert found.log[0] == "loading"
    assert found.log_name == layout.DRIVER_LOG
    assert found.hints[0].code == "--source .   or   --data name=./there-is-none.json"


def test_the_line_is_the_runs_own_where_the_error_came_from_a_library(
    experiment: Experiment,
) -> None:
    run = submit(experiment, 'import json\n\njson.loads("{")\n')
    finish(run)
    found = failure_of(run)
    assert found is not None
    assert found.place is not None
    assert found.kind == "JSONDecodeError"
    assert (Path(found.place.path).name, found.place.line) == ("train.py", 3)


def test_a_command_tells_its_traceback_by_the_log(experiment: Experiment, project: Path) -> None:
    source = project / "source"
    script(source, "def go():\n    raise KeyError('alpha')\n\ngo()\n")
    config = ScriptRunConfig(str(source), command=f"echo hello; {sys.executable} train.py")
    run = experiment.submit(config)
    finish(run)
    found = failure_of(run)
    assert found is not None
    assert found.place is not None
    assert (found.kind, found.message, found.place.line) == ("KeyError", "'alpha'", 2)
    assert found.trace.startswith("Traceback")
    assert found.log[0] == "hello"


def test_a_killed_run_has_no_exception_and_says_what_such_an_end_means(
    experiment: Experiment,
) -> None:
    run = submit(experiment, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    finish(run)
    found = failure_of(run)
    assert found is not None
    assert (found.kind, found.place, found.trace) == ("", None, "")
    assert "SIGKILL" in found.message
    assert "memory" in found.hints[0].text
    assert found.hints[0].code == "--mem 16G"


def test_a_traceback_that_the_program_survived_is_not_its_end(experiment: Experiment) -> None:
    log = 'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: once\ngoes on\n'
    error = {"code": "UserError", "message": "x was killed by signal 9.", "signal": 9}
    found = failure_of(failed(experiment, error, log))
    assert found is not None
    assert found.kind == ""


def test_a_build_that_failed_shows_the_log_of_the_build(experiment: Experiment) -> None:
    error = {"code": "ImageBuildFailure", "message": "No such package.", "logTail": ["no match"]}
    found = failure_of(failed(experiment, error))
    assert found is not None
    assert (found.log, found.log_name) == (("no match",), layout.BUILD_LOG)
    assert "could not be built" in found.hints[0].text


def test_a_failed_cell_is_shown_as_it_was_written(shell: Shell, ws: Workspace) -> None:
    shell.run("%%aml_run --wait --out depth\ndepth = 3\n\ndepth / 0")
    (summary,) = ws.find_runs(Query())
    found = failure_of(ws.get_run(summary.id))
    assert found is not None
    assert found.place is not None
    assert (found.place.line, found.place.is_cell) == (4, True)
    assert found.place.first == 2
    assert found.place.lines[:3] == ("depth = 3", "", "depth / 0")
    assert not any("aml" in line for line in found.place.lines)


def test_the_cell_of_a_notebook_and_its_line_are_found(experiment: Experiment) -> None:
    trace = "KeyError    Traceback\n\x1b[1;32mCell In[3]\x1b[0m\n      1 a = {}\n----> 2 a['b']\n"
    exception = {"type": "KeyError", "message": "'b'", "traceback": trace, "cell": 3}
    error = {"code": "UserError", "message": "…", "exception": exception}
    notebook = NotebookSpec(output="outputs/x.output.ipynb")
    job = JobSpec("x.ipynb", None, notebook=notebook)
    request = RunRequest("x", "test", job=job).to_json()
    found = failure_of(failed(experiment, error, job=request["job"]))
    assert found is not None
    assert found.place is not None
    assert (found.place.number, found.place.line) == (3, 2)


@pytest.mark.parametrize("error", [{}, {"message": 3, "exception": "?", "logTail": 7}])
def test_a_record_that_says_nothing_useful_is_no_trouble(
    experiment: Experiment, error: dict[str, Any]
) -> None:
    told = failure(failed(experiment, error))
    assert told["kind"] == ""
    assert told["place"] is None
    assert told["hints"] == []


def test_a_run_that_has_not_failed_has_no_failure(experiment: Experiment) -> None:
    run = experiment.start_logging(snapshot_directory=None)
    assert failure_of(run) is None
    run.complete()
    assert failure(run)["message"] == ""


def test_what_a_page_is_told_has_no_codes_and_no_hidden_letters(experiment: Experiment) -> None:
    exception = {"type": "E", "message": "a\u202eb", "traceback": "\x1b[31mred\x1b[0m \x07"}
    told = failure(failed(experiment, {"message": "m", "exception": exception}, "\x1b[2Klog\x08"))
    assert told["message"] == "a\ufffdb"
    assert told["trace"] == "red "
    assert told["log"] == ["log"]


# What to try ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate", "smaller batches"),
        ("RuntimeError: Found no NVIDIA driver on your system", "--gpus 1"),
        ("MemoryError", "--mem 16G"),
        ("OSError: [Errno 28] No space left on device: 'x'", "aml env prune"),
        ("PermissionError: [Errno 13] Permission denied: '/data/x'", "/data/x"),
        ("ImportError: libGL.so.1: cannot open shared object file", "system library"),
        ("ImportError: cannot import name 'soft' from 'scipy.x' (/a)", "version of scipy"),
        ("EOFError: EOF when reading a line", "nobody to answer"),
        ("usage: train.py [-h]\ntrain.py: error: unrecognized arguments: --lr", "-- --help"),
        ("requests.exceptions.ConnectionError: Max retries exceeded", "network"),
        ("OSError: [Errno 98] Address already in use", "port 0"),
        ("RuntimeError: DataLoader worker (pid 3) is killed by signal: Bus error", "share memory"),
    ],
)
def test_what_is_known_is_met_with_advice(text: str, words: str) -> None:
    assert words in hint(text)


def test_a_missing_module_is_told_with_the_package_that_brings_it() -> None:
    text = "ModuleNotFoundError: No module named 'sklearn.svm'"
    own = hint(text, environment_kind="submitter", interpreter="/my envs/python")
    assert own.endswith("'/my envs/python' -m pip install scikit-learn")
    assert "with a line: scikit-learn" in hint(text, environment="lean", environment_kind="venv")
    assert "The environment lean" in hint(text, environment="lean", environment_kind="venv")


def test_a_file_of_this_machine_is_not_seen_in_a_container() -> None:
    text = "FileNotFoundError: [Errno 2] No such file or directory: '/data/train.csv'"
    assert "container" in hint(text, in_container=True)
    assert "Is the path right?" in hint(text)


def test_a_name_is_missing_in_a_cell_for_another_reason_than_in_a_script() -> None:
    text = "NameError: name 'model' is not defined"
    assert hint(text, is_cell=True).endswith("--with model")
    assert "spelled" in hint(text)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"signal": 9}, "--mem 16G"),
        ({"exit_code": 137}, "--mem 16G"),
        ({"exit_code": 143}, "asked it to end"),
        ({"signal": 11}, "PYTHONFAULTHANDLER=1"),
        ({"exit_code": 127}, "not found"),
        ({"exit_code": 126}, "chmod"),
    ],
)
def test_an_end_without_words_is_explained(facts: dict[str, Any], words: str) -> None:
    assert words in hint("", **facts)


def test_what_is_not_known_is_met_with_silence_and_what_is_with_a_few_words() -> None:
    assert hints_for(Symptoms(name="ZeroDivisionError", text="division by zero")) == []
    everything = "CUDA out of memory\nMemoryError\n[Errno 28]\n[Errno 98]\nMax retries exceeded"
    assert len(hints_for(Symptoms(text=everything))) == MOST
