"""The runner takes real jobs to their end: order, ends, limits, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter import Environment, Experiment, Run, ScriptRunConfig, Workspace, runner
from aml_jupyter.errors import AmlError
from aml_jupyter.home import Home, home
from aml_jupyter.job import events, layout
from aml_jupyter.runner import queue
from tests.support import (
    LINKS,
    Elsewhere,
    assert_no_orphans,
    experiment,
    finish,
    is_running,
    kill,
    launcher_of,
    log_bytes,
    log_of,
    message_of,
    processes_below,
    project,
    runner_pid,
    script,
    states_of,
    submit,
    until,
    ws,
)

__all__ = ["experiment", "project", "ws"]

SLEEP = "import time\nprint('up', flush=True)\ntime.sleep(60)"
STUBBORN = """
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print('up', flush=True)
    time.sleep(60)
    """


def up(run: Run) -> Run:
    """The run once its script says so."""
    until(lambda: "up" in log_of(run))
    return run


# Ends ---------------------------------------------------------------------------------------


def test_a_script_that_ends_well_is_completed(experiment: Experiment) -> None:
    run = submit(experiment, "print('hello')")
    details = finish(run)
    assert details["status"] == "Completed"
    assert "error" not in details
    assert log_of(run) == "hello\n"
    assert details["startTimeUtc"] <= details["endTimeUtc"]
    states = ["Queued", "Preparing", "Starting", "Running", "Finalizing", "Completed"]
    assert [state for state in states_of(run) if state != "Queued"] == states[1:]


ENDS: list[tuple[str, str, int | None, int | None]] = [
    ("1 / 0", "User program failed with ZeroDivisionError: division by zero", 1, None),
    ("import sys; sys.exit(3)", "User program ended with exit code 3.", 3, None),
    ("import sys; sys.exit('no data')", "User program ended with exit code 1.", 1, None),
    ("import os; os._exit(7)", "User program ended with exit code 7.", 7, None),
    ("x = = 1", "User program failed with SyntaxError: invalid syntax", 1, None),
    ("import nothing_like_it", "ModuleNotFoundError: No module named 'nothing_like_it'", 1, None),
    (
        "import os; os.kill(os.getpid(), 9)",
        "killed by signal 9 (SIGKILL), perhaps because memory ran out.",
        None,
        9,
    ),
    (
        "import os; os.kill(os.getpid(), 11)",
        "User program was killed by signal 11 (SIGSEGV).",
        None,
        11,
    ),
    ("import os; os.abort()", "User program was killed by signal 6 (SIGABRT).", None, 6),
    ("raise KeyboardInterrupt", "User program was killed by signal 2 (SIGINT).", None, 2),
]


@pytest.mark.parametrize(("text", "message", "code", "number"), ENDS, ids=[e[0] for e in ENDS])
def test_ends_are_told_apart(
    text: str, message: str, code: int | None, number: int | None, experiment: Experiment
) -> None:
    run = submit(experiment, text)
    details = finish(run)
    assert details["status"] == "Failed"
    assert message in message_of(details)
    error = details["error"]["error"]
    assert error["code"] == "UserError"
    assert (error["exitCode"], error["signal"]) == (code, number)
    assert error["logTail"] == log_of(run).splitlines()


def test_the_users_exception_is_in_the_error(experiment: Experiment) -> None:
    run = submit(experiment, "def f():\n    raise ValueError('bad data')\n\nf()\n")
    exception = finish(run)["error"]["error"]["exception"]
    assert exception["type"] == "ValueError"
    assert exception["line"] == 2
    assert "in f\n" in exception["traceback"]
    assert exception["file"].endswith("train.py")


def test_the_tail_of_a_long_log_is_bounded(experiment: Experiment) -> None:
    run = submit(experiment, "for n in range(100000): print('line', n)\n1 / 0")
    tail = finish(run)["error"]["error"]["logTail"]
    assert len(tail) == 30
    assert tail[-1] == "ZeroDivisionError: division by zero"


def test_an_interpreter_that_is_not_there_is_said_at_submit(experiment: Experiment) -> None:
    environment = Environment("mine")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = "/no/such/python"
    with pytest.raises(AmlError, match="/no/such/python"):
        submit(experiment, "print(1)", environment=environment)


def test_an_interpreter_that_vanishes_fails_the_run(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    environment = Environment("mine")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = str(python)
    monkeypatch.setenv("AML_SLOTS", "1")
    first = up(submit(experiment, SLEEP))
    second = submit(experiment, "print(1)", environment=environment)
    until(lambda: second.get_status() == "Queued")
    python.unlink()
    first.cancel()
    details = finish(second)
    assert details["status"] == "Failed"
    assert str(python) in message_of(details)


def test_a_command_runs_in_a_shell(ws: Workspace, project: Path) -> None:
    (project / "code").mkdir()
    (project / "code" / "data.txt").write_text("21")
    config = ScriptRunConfig("code", command="echo $(( $(cat data.txt) * 2 )) && exit 5")
    run = Experiment(ws, "shell").submit(config)
    details = finish(run)
    assert log_of(run) == "42\n"
    assert details["error"]["error"]["exitCode"] == 5


# Where a job finds itself -------------------------------------------------------------------


def test_outputs_and_logs_are_there_and_part_of_the_run(experiment: Experiment) -> None:
    text = """
        import os
        open('outputs/model.txt', 'w').write('m')
        open('logs/own.txt', 'w').write('l')
        os.chdir('/')
        from aml_jupyter import Run
        Run.get_context().log('x', 1)
        """
    run = submit(experiment, text)
    assert finish(run)["status"] == "Completed"
    assert run.get_file_names() == [layout.DRIVER_LOG, "logs/own.txt", "outputs/model.txt"]
    assert run.get_metrics() == {"x": 1}


def test_a_job_sees_the_submitters_environment_and_v1s_variables(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "täxt\nwith lines")
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    text = """
        import json, os
        print(json.dumps(dict(os.environ)))
        """
    run = submit(experiment, text)
    finish(run)
    seen = json.loads(log_bytes(run))
    assert seen["SECRET"] == "täxt\nwith lines"
    assert "JPY_PARENT_PID" not in seen
    assert seen["AZUREML_RUN_ID"] == run.id
    assert seen["AZUREML_ARM_PROJECT_NAME"] == "test"
    assert seen["AZUREML_OUTPUT_DIRECTORY"] == "./outputs"


def test_the_environment_is_kept_private_and_not_kept_at_all_afterwards(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "hush-hush")
    run = up(submit(experiment, SLEEP))
    (entry,) = home().queue.glob("*.json")
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    assert stat.S_IMODE(home().queue.stat().st_mode) == 0o700
    run.cancel()
    finish(run)
    until(lambda: not list(home().queue.iterdir()))
    for path in (*home().state.rglob("*"), *run.folder.rglob("*")):
        if path.is_file():
            assert b"hush-hush" not in path.read_bytes(), path


def test_the_working_directory_is_what_was_submitted(ws: Workspace, project: Path) -> None:
    source = project / "code"
    script(source, "import os\nprint(sorted(os.listdir()))\nimport helper\n")
    (source / "helper.py").write_text("print('helped')")
    run = Experiment(ws, "e").submit(ScriptRunConfig("code", script="train.py"))
    (source / "helper.py").write_text("print('changed afterwards')")
    finish(run)
    assert log_of(run) == "['helper.py', 'logs', 'outputs', 'train.py']\nhelped\n"


def test_odd_file_names_arrive_as_they_are(ws: Workspace, project: Path) -> None:
    names = [b"qu'o\"tes", b"new\nline", b"\xff\xfe not utf8", "größe".encode(), b" lead", b"*?[x]"]
    source = project / "code"
    script(
        source, "import os\nfor n in sorted(os.listdir(b'data')): print(n, open(b'data/'+n).read())"
    )
    (source / "data").mkdir()
    for name in names:
        Path(os.fsdecode(os.fsencode(source / "data") + b"/" + name)).write_text("content")
    run = Experiment(ws, "e").submit(ScriptRunConfig("code", script="train.py"))
    assert finish(run)["status"] == "Completed", log_of(run)
    assert log_of(run) == "".join(f"{name!r} content\n" for name in sorted(names))


def test_an_odd_script_name_and_odd_arguments_arrive_too(ws: Workspace, project: Path) -> None:
    name = 'tr\'ain "x"\n.py'
    script(project / "code", "import sys\nprint(sys.argv)", name)
    arguments = ["a b", "'", '"', "\n", "*", "", "ü", "$(echo no)", "`no`", "--x=;"]
    config = ScriptRunConfig("code", script=name, arguments=arguments)
    run = Experiment(ws, "e").submit(config)
    assert finish(run)["status"] == "Completed", log_of(run)
    assert log_of(run) == f"{[name, *arguments]}\n"


# Cancel and time ----------------------------------------------------------------------------


def test_cancel_ends_the_job(experiment: Experiment) -> None:
    run = up(submit(experiment, SLEEP))
    run.cancel()
    assert run.get_status() in ("CancelRequested", "Canceled")
    details = finish(run)
    assert details["status"] == "Canceled"
    assert "error" not in details
    assert_no_orphans(run.folder)


def test_cancel_right_after_submit_is_quick_wherever_it_finds_the_run(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_CANCEL_GRACE", "30")
    runner.ensure_runner()
    for number in range(12):
        run = submit(experiment, SLEEP)
        time.sleep(number / 500)
        run.cancel()
        assert finish(run, 5)["status"] == "Canceled"
        assert_no_orphans(run.folder)


def test_cancel_lets_a_job_clean_up(experiment: Experiment) -> None:
    text = """
        import signal, sys, time
        def leave(*_):
            open('outputs/saved', 'w').write('x')
            sys.exit(0)
        signal.signal(signal.SIGTERM, leave)
        print('up', flush=True)
        time.sleep(60)
        """
    run = up(submit(experiment, text))
    run.cancel()
    assert finish(run)["status"] == "Canceled"
    assert "outputs/saved" in run.get_file_names()


def test_cancel_ends_what_ignores_it(experiment: Experiment) -> None:
    run = up(submit(experiment, STUBBORN))
    run.cancel()
    assert finish(run)["status"] == "Canceled"
    assert_no_orphans(run.folder)


def test_cancel_ends_children_that_ignore_it_and_have_left_the_session(
    experiment: Experiment,
) -> None:
    text = """
        import os, signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sleep = [sys.executable, '-c', 'import time; time.sleep(60)']
        for _ in range(3):
            subprocess.Popen(sleep, start_new_session=True)
        subprocess.Popen(['sh', '-c', 'sleep 60 & sleep 60'])
        print('up', flush=True)
        time.sleep(60)
        """
    run = up(submit(experiment, text))
    assert len(processes_below(run.folder.parent)) >= 6
    run.cancel()
    assert finish(run)["status"] == "Canceled"
    assert_no_orphans(run.folder)


def test_cancel_reaches_a_stopped_job(experiment: Experiment) -> None:
    run = up(submit(experiment, SLEEP))
    for pid in processes_below(run.folder.parent):
        kill(pid, signal.SIGSTOP)
    run.cancel()
    assert finish(run)["status"] == "Canceled"
    assert_no_orphans(run.folder)


def test_cancel_of_a_waiting_run_never_starts_it(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_SLOTS", "1")
    first = up(submit(experiment, SLEEP))
    second = submit(experiment, "print('never')")
    second.cancel()
    assert finish(second)["status"] == "Canceled"
    assert log_of(second) == ""
    assert "Starting" not in states_of(second)
    first.cancel()
    finish(first)


def test_cancel_of_a_finished_run_changes_nothing(experiment: Experiment) -> None:
    run = submit(experiment, "print(1)")
    details = finish(run)
    run.cancel()
    assert run.get_details() == details


def test_a_run_that_is_over_its_time_is_ended_and_says_so(experiment: Experiment) -> None:
    run = submit(experiment, STUBBORN, max_run_duration_seconds=1)
    details = finish(run)
    assert details["status"] == "Canceled"
    assert details["error"]["error"]["code"] == "Timeout"
    assert "max_run_duration_seconds = 1" in message_of(details)
    assert_no_orphans(run.folder)


def test_a_run_within_its_time_is_left_alone(experiment: Experiment) -> None:
    run = submit(experiment, "print(1)", max_run_duration_seconds=30)
    assert finish(run)["status"] == "Completed"


def test_fail_from_outside_ends_the_job(experiment: Experiment) -> None:
    run = up(submit(experiment, SLEEP))
    run.fail("seen enough")
    runner.wake()
    until(lambda: not processes_below(run.folder.parent))
    assert run.get_status() == "Failed"
    assert message_of(run.get_details()) == "seen enough"


def test_processes_of_a_run_that_has_no_session_yet_are_those_with_its_variable(
    tmp_path: Path,
) -> None:
    from aml_jupyter.backends.processes import processes_of

    zombie = subprocess.Popen(["true"])
    until(lambda: not is_running(zombie.pid))
    assert processes_of(str(tmp_path), None) == []
    own = subprocess.Popen(["sleep", "60"], env={layout.FOLDER_VARIABLE: str(tmp_path)})
    until(lambda: processes_of(str(tmp_path), None) == [own.pid])
    own.kill()
    for process in (zombie, own):
        process.wait()


# What a job leaves behind -------------------------------------------------------------------


def test_daemons_of_a_job_end_with_it(experiment: Experiment) -> None:
    text = """
        import os, signal, time
        for stubborn in (False, True):
            if not os.fork():
                os.setsid()
                if os.fork():
                    os._exit(0)
                if stubborn:
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                for fd in (0, 1, 2):
                    os.close(fd)
                time.sleep(60)
        os.wait(); os.wait()
        time.sleep(0.2)
        print('main is done')
        """
    run = submit(experiment, text)
    details = finish(run)
    assert details["status"] == "Completed"
    assert_no_orphans(run.folder)
    assert "left behind" in details["warnings"][0]["message"]


def test_a_job_that_closes_its_streams_completes(experiment: Experiment) -> None:
    text = """
        import os, sys
        print('said')
        sys.stdout.close()
        sys.stderr.close()
        os.close(1)
        os.close(2)
        """
    run = submit(experiment, text)
    assert finish(run)["status"] == "Completed"
    assert log_of(run) == "said\n"


def test_binary_output_is_kept_byte_for_byte(experiment: Experiment) -> None:
    text = r"""
        import sys
        sys.stdout.buffer.write(bytes(range(256)) * 100)
        sys.stdout.buffer.write(b'\r\n\x00\xff')
        """
    run = submit(experiment, text)
    assert finish(run)["status"] == "Completed"
    assert log_bytes(run) == bytes(range(256)) * 100 + b"\r\n\x00\xff"


def test_output_of_children_and_stderr_is_in_the_log(experiment: Experiment) -> None:
    text = """
        import subprocess, sys
        print('one', flush=True)
        subprocess.run(['sh', '-c', 'echo two; echo three >&2'])
        print('four', file=sys.stderr)
        """
    run = submit(experiment, text)
    finish(run)
    assert log_of(run) == "one\ntwo\nthree\nfour\n"


def test_a_job_that_deletes_its_working_directory_completes(experiment: Experiment) -> None:
    text = """
        import os, shutil
        here = os.getcwd()
        os.chdir('/')
        shutil.rmtree(here)
        """
    run = submit(experiment, text)
    assert finish(run)["status"] == "Completed"


def test_a_job_that_makes_its_folders_unreadable_completes(experiment: Experiment) -> None:
    text = """
        import os
        os.makedirs('outputs/locked')
        open('outputs/locked/x', 'w').close()
        os.chmod('outputs/locked', 0)
        """
    run = submit(experiment, text)
    assert finish(run)["status"] == "Completed"


def test_nothing_is_written_through_links_that_a_job_leaves_in_its_run(
    experiment: Experiment, tmp_path: Path
) -> None:
    elsewhere = Elsewhere(tmp_path / "elsewhere")
    run = submit(experiment, LINKS.format(away=str(elsewhere.folder)))
    assert finish(run)["status"] == "Completed"
    run.tag("after", "it")
    assert elsewhere.is_untouched()
    assert not (run.folder / layout.EVENTS).is_symlink()
    assert run.get_tags() == {"after": "it"}


@pytest.mark.parametrize("is_pipe", [False, True])
def test_what_a_job_puts_in_the_place_of_its_log_is_not_read(
    is_pipe: bool, experiment: Experiment, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    text = f"""
        import os
        log = os.environ["AML_RUN_FOLDER"] + "/azureml-logs/70_driver_log.txt"
        os.unlink(log)
        os.mkfifo(log) if {is_pipe} else os.symlink({str(tmp_path / "secret")!r}, log)
        os._exit(5)
        """
    details = finish(submit(experiment, text))
    assert "exit code 5" in message_of(details)
    assert details["error"]["error"]["logTail"] == []


def test_a_completed_run_keeps_only_what_it_changed(ws: Workspace, project: Path) -> None:
    source = project / "code"
    script(source, "open('made.txt', 'w').write('x')\nopen('data.txt', 'a').write('more')")
    (source / "data.txt").write_text("data")
    (source / "same.txt").write_text("same")
    run = Experiment(ws, "e").submit(ScriptRunConfig("code", script="train.py"))
    finish(run)
    until(lambda: not (run.folder / "work" / "same.txt").exists())
    assert (run.folder / "work" / "made.txt").exists()
    assert (run.folder / "work" / "data.txt").read_text() == "datamore"


# Order --------------------------------------------------------------------------------------


def test_runs_go_first_come_first_served(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_SLOTS", "1")
    runs = [submit(experiment, "print(1)") for _ in range(4)]
    started = [finish(run)["startTimeUtc"] for run in runs]
    assert started == sorted(started)


def test_no_more_runs_go_at_once_than_there_are_slots(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_SLOTS", "2")
    runs = [submit(experiment, "import time; time.sleep(0.4)") for _ in range(4)]
    spans = [(d["startTimeUtc"], d["endTimeUtc"]) for d in map(finish, runs)]
    for start, _ in spans:
        assert sum(other <= start < end for other, end in spans) <= 2


def test_a_higher_priority_goes_first(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_SLOTS", "1")
    first = up(submit(experiment, SLEEP))
    low = submit(experiment, "print(1)")
    source = experiment.workspace.folder.project / "high"
    config = ScriptRunConfig(str(source), script=script(source, "print(2)"))
    config.run_config.priority = 5
    high = experiment.submit(config)
    first.cancel()
    assert finish(high)["startTimeUtc"] < finish(low)["startTimeUtc"]


def test_a_parent_that_waits_for_its_child_does_not_starve_it(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_SLOTS", "1")
    root = Path(__file__).parent.parent
    monkeypatch.setenv("PYTHONPATH", str(root))
    text = """
        from aml_jupyter import Run, ScriptRunConfig
        run = Run.get_context()
        open('child.py', 'w').write("print('child')")
        child = run.submit_child(ScriptRunConfig('.', script='child.py'))
        child.wait_for_completion()
        print(child.get_status())
        """
    run = submit(experiment, text)
    assert finish(run)["status"] == "Completed", log_of(run)
    assert log_of(run) == "Completed\n"
    (child,) = run.get_children()
    assert child.parent is not None
    assert child.parent.id == run.id


# The runner itself --------------------------------------------------------------------------


def test_there_is_one_runner_however_many_ask_for_it(project: Path) -> None:
    text = "from aml_jupyter import runner; print(runner.ensure_runner().pid)"
    root = str(Path(__file__).parent.parent)
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", text],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": root},
        )
        for _ in range(5)
    ]
    pids = {process.communicate(timeout=30)[0] for process in asking}
    assert len(pids) == 1
    assert int(pids.pop()) == runner_pid()


def test_an_idle_runner_goes_and_the_next_submit_starts_another(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_RUNNER_IDLE_SECONDS", "0.3")
    finish(submit(experiment, "print(1)"))
    first = runner_pid()
    until(lambda: not runner_pid())
    assert not home().socket.exists()
    assert finish(submit(experiment, "print(2)"))["status"] == "Completed"
    assert runner_pid() != first


def test_a_runner_that_is_stopped_leaves_its_jobs_to_the_next(experiment: Experiment) -> None:
    run = up(submit(experiment, "import time\nprint('up', flush=True)\ntime.sleep(1)\n1 / 0"))
    first = runner_pid()
    assert runner.stop_runner()
    until(lambda: not is_running(first))
    assert processes_below(run.folder.parent)
    assert runner.runner_status() is None
    runner.ensure_runner()
    details = finish(run)
    assert "ZeroDivisionError" in message_of(details)


def test_a_status_counts_what_runs_and_what_waits(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_SLOTS", "1")
    runs = [up(submit(experiment, SLEEP)), submit(experiment, SLEEP), submit(experiment, SLEEP)]
    status = until(runner.runner_status)
    until(lambda: runner.runner_status().waiting == 2)  # type: ignore[union-attr]
    assert (status.pid, status.running) == (runner_pid(), 1)
    for run in reversed(runs):
        run.cancel()
    for run in runs:
        finish(run)


def test_noise_on_its_socket_does_not_disturb_it(experiment: Experiment) -> None:
    status = runner.ensure_runner()
    for noise in (b"", b"\n", b"\xff" * 5000, b"status" * 2000, b"nonsense\n", b"{}\n"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(home().socket))
            connection.sendall(noise)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(home().socket))
        assert finish(submit(experiment, "print(1)"))["status"] == "Completed"
    assert runner_pid() == status.pid


@pytest.mark.parametrize("noise", [b"", b"\xff\xfe", b"{}", b"[1]", b'{"folder": "/no/such"}'])
def test_noise_in_the_queue_does_not_disturb_it(noise: bytes, experiment: Experiment) -> None:
    home().make()
    (home().queue / "000000000000.odd.json").write_bytes(noise)
    (home().queue / "not a number.json").write_bytes(noise)
    assert finish(submit(experiment, "print(1)"))["status"] == "Completed"


def test_a_request_that_cannot_be_understood_fails_and_the_others_go_on(
    experiment: Experiment, tmp_path: Path
) -> None:
    folder = tmp_path / "project/.aml/runs/odd"
    folder.mkdir(parents=True)
    request = {"format": 1, "id": "odd", "experiment": "e", "source": {"backend": "teleport"}}
    request["job"] = {"script": "x.py", "interpreter": sys.executable}
    (folder / layout.REQUEST).write_text(json.dumps(request))
    queue.add(home(), folder, "odd", {}, queue.Ask())
    run = submit(experiment, "print(1)")
    assert finish(run)["status"] == "Completed"
    found, _ = until(lambda: [e for e in [events.read(str(folder))] if e[0]])[0]
    assert found[-1]["state"] == "Failed"
    assert "teleport" in found[-1]["error"]["error"]["message"]


def test_a_run_deleted_under_the_runner_is_forgotten(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setenv("AML_SLOTS", "1")
    first = up(submit(experiment, SLEEP))
    second = submit(experiment, "print('never')")
    until(lambda: second.get_status() == "Queued")
    shutil.rmtree(second.folder)
    first.cancel()
    finish(first)
    third = submit(experiment, "print(3)")
    assert finish(third)["status"] == "Completed"
    until(lambda: not list(home().queue.iterdir()))


def test_a_home_with_a_long_path_still_has_a_socket(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_HOME", str(tmp_path / ("long" * 40)))
    temporary = tmp_path / ("also" * 40)
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("AML_RUNNER_IDLE_SECONDS", "0.2")
    assert finish(submit(experiment, "print(1)"))["status"] == "Completed"
    until(lambda: not runner_pid())


def test_homes_do_not_meet(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    first = runner.ensure_runner()
    elsewhere = Home(home().state / "other", home().state / "other/run")
    monkeypatch.setenv("AML_HOME", str(elsewhere.state))
    monkeypatch.setenv("AML_RUNNER_IDLE_SECONDS", "2")
    second = runner.ensure_runner()
    assert first.pid != second.pid
    until(lambda: not is_running(second.pid))


def test_a_launcher_that_dies_before_the_claim_is_the_end_of_the_run(
    experiment: Experiment, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    run = up(submit(experiment, SLEEP))
    assert launcher_of(run)
    run.cancel()
    finish(run)
    request = json.loads((run.folder / layout.REQUEST).read_text())
    request["id"], request["job"]["interpreter"] = "second", str(broken)
    folder = experiment.workspace.folder.new_run(request)
    runner.enqueue(folder, "second", dict(os.environ), runner.Ask(2))
    second = experiment.workspace.get_run("second")
    details: dict[str, Any] = finish(second)
    assert "exit code 3, before the script began" in message_of(details)


def test_the_clock_of_a_run_is_not_the_wall_clock() -> None:
    from aml_jupyter.job.process import identity
    from aml_jupyter.runner.lifecycle import _age

    # A claim whose wall clock says 1970: the age still is that of this process.
    claim = {**identity(), "t": 0.0}
    assert 0 <= _age(claim) < time.clock_gettime(time.CLOCK_BOOTTIME)
    assert _age(claim) < 3600
