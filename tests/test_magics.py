"""The magics in a real IPython shell, and once in a real kernel."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from jupyter_client.manager import KernelManager

from aml_jupyter.errors import UserErrorException
from aml_jupyter.notebook import load_ipython_extension, options, unload_ipython_extension
from aml_jupyter.spec.words import parse_duration
from aml_jupyter.workspace import Run, Workspace
from tests.shell import Shell, ipython, shell

__all__ = ["ipython", "shell"]


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    return Workspace.create("testing", show_output=False)


def test_a_cell_becomes_a_run_with_what_it_needs_and_its_variables_return(shell: Shell) -> None:
    shell.run("import math\nscale = 3\ndef area(r):\n    return scale * math.floor(r)")
    printed = shell.run(
        "%%aml_run --as run --out result --tag kind=test --wait -- --epochs 2\n"
        "import sys\nresult = area(4.5)\nprint('args', sys.argv[1:])"
    )
    assert "args ['--epochs', '2']" in printed
    assert re.search(r"From run notebook_\w+: result\.", printed)
    assert shell["result"] == 12
    assert shell["run"].status == "Completed"
    assert shell["run"].tags == {"kind": "test"}


def test_variables_arrive_with_the_next_cell_after_the_end(shell: Shell) -> None:
    shell.run("%%aml_run --as run --out answer\nanswer = 42")
    shell["run"].wait_for_completion()
    assert "answer" not in shell.ipython.user_ns
    assert shell.run("x = 1").startswith("From run notebook_")
    assert shell["answer"] == 42
    assert shell.run("x = 2") == ""


def test_the_variables_of_a_failed_run_are_said_not_to_come(shell: Shell) -> None:
    shell.run("%%aml_run --as run --out answer\nanswer = 1 / 0")
    shell["run"].wait_for_completion(raise_on_error=False)
    assert "answer: not brought back, run" in shell.run("pass")


def test_a_failed_cell_names_its_own_line(shell: Shell) -> None:
    printed = shell.run("%%aml_run --wait\n\nx = 1\nx / 0\n")
    assert 'cell.py", line 4, in <module>' in printed
    assert "ActivityFailedException" in printed
    assert "test_magics.py" not in printed


def test_a_cell_that_cannot_be_sent_is_two_lines_and_no_run(shell: Shell) -> None:
    shell.run("import threading\nlock = threading.Lock()")
    printed = shell.run("%%aml_run\nprint(lock)")
    assert printed.startswith("CaptureError: ")
    assert len(printed.strip().splitlines()) == 2
    assert not Workspace.from_config().runs()


def test_the_cells_code_is_never_expanded_but_its_options_are(shell: Shell) -> None:
    shell.run("lr = 0.5; who = 'me'")
    printed = shell.run(
        "%%aml_run --wait --tag user=$who -- {lr * 2} --json '{\"a\": 1}'\n"
        "import sys\nprint(f'{lr}', '$who', sys.argv[1:])"
    )
    assert "0.5 $who" in printed
    printed = shell.run("%%aml_run --wait -- {lr * 2}\nimport sys; print(sys.argv[1:])")
    assert "['1.0']" in printed


def test_a_dry_run_shows_the_plan_and_submits_nothing(shell: Shell) -> None:
    shell.run("rate = 0.1")
    printed = shell.run("%%aml_run --dry-run --timeout 2h -e demo\nprint(rate)")
    assert "rate (float, 3 B)" in shell.displayed[0]["text/plain"]
    assert "demo" in printed
    assert "7200" in printed
    assert not Workspace.from_config().runs()


def test_a_script_runs_with_its_folder(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "helper.py").write_text("word = 'helped'\n")
    (tmp_path / "src" / "train.py").write_text(
        "import helper, sys; print(helper.word, sys.argv[1])"
    )
    for line in (
        "src/train.py --wait -- 5",
        "--source src --script train.py --wait -- 5",
        "src/train.py --source src --wait -- 5",
    ):
        assert "helped 5" in shell.run(f"%aml_run {line}")
    assert [run.experiment for run in Workspace.from_config().runs()] == ["train"] * 3


def test_source_takes_a_folder_along_with_the_cell(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "mine.py").write_text("x = 'mine'\n")
    (tmp_path / "lib" / "cell.py").write_text("not the cell\n")
    printed = shell.run("%%aml_run --source lib --wait\nimport mine\nprint(mine.x)")
    assert "mine\n" in printed


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%aml_run", "no script"),
        ("%aml_run nowhere.py", "no script nowhere.py"),
        ("%aml_run --source nowhere --script a.py", "no such folder"),
        ("%aml_run --targt local x.py", "Did you mean --target"),
        ("%aml_run x.py y", "come after `--`"),
        ("%%aml_run --env nowhere/python\nx = 1", "not a Python interpreter"),
        ("%%aml_run --env unknown\nx = 1", "unknown"),
        ("%%aml_run -t moon\nx = 1", "Compute Target with name moon not found"),
        ("%%aml_run --timeout soon\nx = 1", "90s"),
        ("%%aml_run --with\nx = 1", "needs a value"),
        ("%%aml_run\n\n  \n", "no code"),
        ("%aml_logs nothing", "nothing"),
        ("%aml_attach", "no runs"),
        ("%aml_cancel", "--all"),
        ("%aml_cancel nothing", "nothing"),
        ("%aml_runs --state Sleeping", "Use one of"),
        ("%aml_runs -n many", "whole number"),
    ],
)
def test_a_mistake_is_two_lines_without_traceback(shell: Shell, line: str, said: str) -> None:
    printed = shell.run(line)
    assert said in printed
    assert len(printed.strip().splitlines()) == 2, printed
    assert "Traceback" not in printed
    assert not Workspace.from_config().runs()


def test_runs_are_listed_newest_first_and_filtered(shell: Shell) -> None:
    shell.run("%%aml_run -e one --tag model=cnn --wait\npass")
    shell.run("%%aml_run -e two --name 'the second' --wait\n1 / 0")
    table = shell.run("table = %aml_runs\nprint(table)")
    assert [row.split()[0].split("_")[0] for row in table.splitlines()[1:]] == ["two", "one"]
    assert "the second" in table
    for options_, ids in (
        ("--state failed", ["two"]),
        ("-e one", ["one"]),
        ("--tag model=cnn", ["one"]),
        ("--tag model", ["one"]),
        ("-n 1", ["two"]),
        ("state:failed", ["two"]),
        ("-state:failed since:1h", ["one"]),
        ('"the second" -tag:model', ["two"]),
        ('experiment:"one"', ["one"]),
    ):
        shell.run(f"table = %aml_runs {options_}")
        assert [run.experiment for run in shell["table"].runs] == ids
    assert "<table>" in shell["table"]._repr_html_()


def test_logs_and_attach_take_the_last_run_of_this_notebook(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/mine.ipynb")
    shell.run("%%aml_run --wait\nprint('of mine')")
    monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/other.ipynb")
    shell.run("%%aml_run --wait\nprint('line one')\nprint('of other')")
    assert shell.run("%aml_logs -n 1") == "of other\n"
    monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/mine.ipynb")
    assert shell.run("%aml_logs") == "of mine\n"
    shell.run("%aml_attach --as found")
    assert shell["found"].experiment.name == "mine"
    assert "Status: Completed" in shell.displayed[0]["text/plain"]


def test_attach_brings_the_variables_the_run_was_asked_for(shell: Shell) -> None:
    shell.run("%%aml_run --out kept --wait\nkept = [1, 2]")
    del shell.ipython.user_ns["kept"]
    shell.run("%aml_attach")
    shell.run("pass")
    assert shell["kept"] == [1, 2]


def test_cancel_ends_the_runs_named_and_those_that_go_on(shell: Shell) -> None:
    shell.run("%%aml_run --as first\nimport time; time.sleep(60)")
    shell.run("%%aml_run --as second\nimport time; time.sleep(60)")
    first, second = shell["first"], shell["second"]
    assert "cancel asked for" in shell.run(f"%aml_cancel {first.id}")
    first.wait_for_completion()
    printed = shell.run("%aml_cancel --all")
    assert second.id in printed
    assert first.id not in printed
    second.wait_for_completion()
    assert [first.status, second.status] == ["Canceled", "Canceled"]
    assert "Canceled already" in shell.run(f"%aml_cancel {first.id}")


def test_quiet_shows_one_line(shell: Shell) -> None:
    shell.run("%%aml_run --quiet --wait\npass")
    text = shell.displayed[0]["text/plain"]
    assert "\n" not in text


def test_help_is_the_table_of_options(shell: Shell) -> None:
    for line in ("%aml_run --help", "%%aml_run -h\nx = 1"):
        assert "--timeout TIME" in shell.run(line)
    assert "--with VAR" in shell.ipython.find_line_magic("aml_run").__doc__
    listed = shell.run("%aml")
    assert all(command.name in listed for command in options.COMMANDS)


def test_options_targets_experiments_and_runs_are_completed(shell: Shell) -> None:
    shell.run("%%aml_run -e mnist --as run --wait\npass")
    ip = shell.ipython

    def complete(line: str) -> list[str]:
        with provisionalcompleter():
            return [found.text for found in ip.Completer.completions(line, len(line))]

    assert complete("%aml_run --tim") == ["--timeout"]
    assert complete("%%aml_run --wi") == ["--with"]
    assert "local" in complete("%aml_run -t lo")
    assert complete("%%aml_run -e mn") == ["mnist"]
    assert complete("%aml_attach mni") == [shell["run"].id]
    assert complete("%aml_runs --state Fa") == ["Failed"]
    assert complete("%aml_runs sin") == ["since:"]
    assert complete("%aml_runs state:fai") == ["failed"]
    assert complete("%aml_runs -experiment:mn") == ["mnist"]


def test_loading_twice_and_unloading_leave_nothing_double(shell: Shell) -> None:
    ip = shell.ipython
    before = len(ip.events.callbacks["pre_run_cell"])
    load_ipython_extension(ip)
    assert len(ip.events.callbacks["pre_run_cell"]) == before
    unload_ipython_extension(ip)
    assert len(ip.events.callbacks["pre_run_cell"]) == before - 1
    assert ip.find_line_magic("aml_run") is None
    unload_ipython_extension(ip)
    load_ipython_extension(ip)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5h", 5400), ("1h30m", 5400), ("1d", 86400)]
)
def test_a_duration_is_read_as_people_write_it(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


def test_options_may_be_written_either_way_and_arguments_are_left_alone() -> None:
    said = options.RUN_CELL.parse("--with a,b --with=c -t local --tag k='v w' -- --with d 'e f'")
    assert said.many("with") == ["a", "b", "c"]
    assert said.many("tag") == [("k", "v w")]
    assert said.arguments == ["--with", "d", "e f"]


def test_an_open_quotation_mark_is_told() -> None:
    with pytest.raises(UserErrorException, match="closing quotation"):
        options.RUN_CELL.parse("--name 'abc")


class Kernel:
    """A real kernel, asked to execute cells."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel(cwd=str(folder), env={**os.environ, **variables})
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)

    def run(self, code: str) -> list[dict[str, Any]]:
        """All messages of the cell, and those of others that came meanwhile."""
        asked = self._client.execute(code)
        messages: list[dict[str, Any]] = []
        while True:
            message = self._client.get_iopub_msg(timeout=60)
            messages.append(message)
            assert message["msg_type"] != "error", message["content"]
            idle = message["content"].get("execution_state") == "idle"
            if idle and message["parent_header"].get("msg_id") == asked:
                return messages

    def restart(self) -> None:
        """Kill it in the middle of whatever it does, and start it again."""
        self._manager.restart_kernel(now=True)
        self._client.wait_for_ready(timeout=60)

    def run_until(self, kind: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """Wait for a message of that kind; what came meanwhile is added to ``messages``."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for message in messages:
                if message["msg_type"] == kind:
                    return message
            messages += self.run("import time; time.sleep(0.2)")
        raise AssertionError(f"no {kind} came")

    def stop(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    running = Kernel(tmp_path, JPY_SESSION_NAME=str(tmp_path / "live.ipynb"))
    yield running
    running.stop()


TRAINING = """%%aml_run --as run -e live
import time
from aml_jupyter import Run
run = Run.get_context()
for i in range(20):
    run.log("loss", 1 / (i + 1))
    print("line", i, flush=True)
    time.sleep(0.1)
"""


def test_in_a_kernel_a_run_is_a_widget_that_follows_it_and_the_log_is_all_there(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.run("%load_ext aml_jupyter")
    shown = kernel.run(TRAINING)
    data = next(m["content"]["data"] for m in shown if m["msg_type"] == "display_data")
    assert {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"} < data.keys()
    assert data["application/vnd.aml.run+json"]["version"] == 1
    later = kernel.run("run.wait_for_completion()")
    final = kernel.run_until("update_display_data", later)["content"]["data"]
    assert "Completed" in final["text/html"]
    assert "<svg" in final["text/html"]
    assert final["application/vnd.aml.run+json"]["metrics"][0]["count"] == 20
    states = [m["content"]["data"].get("state", {}) for m in later if m["msg_type"] == "comm_msg"]
    logs = [state["log"]["lines"] for state in states if "log" in state]
    assert "line 19" in logs[-1]
    assert not [m for m in later if m["msg_type"] == "stream"]
    monkeypatch.chdir(tmp_path)
    run = next(iter(Workspace.from_config().runs()))
    assert run.notebook == str(tmp_path / "live.ipynb")
    assert isinstance(Workspace.from_config().get_run(run.id), Run)


def test_after_a_restart_of_the_kernel_the_run_is_found_again_with_nothing_missing(
    kernel: Kernel,
) -> None:
    kernel.run("%load_ext aml_jupyter")
    kernel.run(TRAINING.replace("range(20)", "range(50)"))
    kernel.restart()
    kernel.run("%load_ext aml_jupyter")
    shown = kernel.run("%aml_attach --as found")
    shown += kernel.run("found.wait_for_completion()")
    final = kernel.run_until("update_display_data", shown)["content"]["data"]
    card = final["application/vnd.aml.run+json"]
    assert card["status"] == "Completed"
    assert card["metrics"][0]["count"] == 50
    assert card["log_tail"].splitlines() == [f"line {i}" for i in range(50)]


def test_without_a_front_end_the_saved_output_follows_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    kernel = Kernel(tmp_path)
    try:
        kernel.run("%load_ext aml_jupyter")
        shown = kernel.run(TRAINING)
        shown += kernel.run("run.wait_for_completion(); import time; time.sleep(1.5)")
    finally:
        kernel.stop()
    assert not [m for m in shown if m["msg_type"] == "comm_open"]
    updates = [m["content"]["data"] for m in shown if m["msg_type"] == "update_display_data"]
    assert "Completed" in updates[-1]["text/html"]
