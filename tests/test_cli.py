"""The `aml` command, as a user has it: real commands, real runs."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from aml_jupyter.cli import parser_for

ROOT = Path(__file__).parents[1]
AML = [sys.executable, "-m", "aml_jupyter.cli"]

TRAIN = """\
import sys
from aml_jupyter import Run
run = Run.get_context()
for epoch in range(int(sys.argv[1])):
    run.log("loss", 1 / (epoch + 1), step=10 * epoch)
    print("epoch", epoch)
run.log("note", "done")
if "--fail" in sys.argv:
    raise ValueError("no luck")
open("outputs/model.txt", "w").write("x" * 1000)
"""


@dataclass(frozen=True)
class Project:
    """A folder that `aml` is used in."""

    folder: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "AML_HOME": str(self.home), "PYTHONPATH": str(ROOT)}

    def aml(self, *words: str, code: int = 0, **more: Any) -> str:
        """What a command prints on stdout."""
        return self.both(*words, code=code, **more)[0]

    def both(self, *words: str, code: int = 0, **more: Any) -> tuple[str, str]:
        """What a command prints on stdout and on stderr."""
        options = {"stdin": subprocess.DEVNULL, "cwd": self.folder, "env": self.environment, **more}
        done = subprocess.run([*AML, *words], capture_output=True, timeout=60, **options)
        out, error = done.stdout.decode(errors="surrogateescape"), done.stderr.decode()
        assert done.returncode == code, f"{words} ended with {done.returncode}:\n{out}\n{error}"
        return out, error

    def json(self, *words: str, code: int = 0) -> Any:
        """What a command says with --json."""
        return json.loads(self.aml(*words, "--json", code=code))

    def start(self, *words: str, **more: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*AML, *words], cwd=self.folder, env=self.environment, **more)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One home for all tests here: a runner of its own for each would take seconds."""
    # Not tmp_path: a unix socket's path is limited to about a hundred bytes.
    with tempfile.TemporaryDirectory(prefix="aml-") as folder:
        yield Path(folder)
        Project(Path(folder), Path(folder)).aml("runner", "stop")


@pytest.fixture
def project(tmp_path: Path, home: Path) -> Project:
    return Project(tmp_path, home)


@pytest.fixture(scope="module")
def trained(home: Path) -> Iterator[Project]:
    """A project in which three runs have ended; for tests that only look."""
    with tempfile.TemporaryDirectory() as folder:
        found = Project(Path(folder), home)
        found.write("train.py", TRAIN)
        found.aml("run", "--wait", "--id", "first", "train.py", "2")
        found.aml("run", "--wait", "--id", "second", "--tag", "model=cnn", "--tag", "gpu=no",
                  "--name", "my best", "train.py", "4")  # fmt: skip
        found.aml("run", "--wait", "--id", "third", "-e", "luck", "--tag", "model=rnn",
                  "train.py", "3", "--fail", code=1)  # fmt: skip
        yield found


def ids(answer: Mapping[str, Any]) -> list[str]:
    return [run["id"] for run in answer["runs"]]


def wait_for_line(process: subprocess.Popen[bytes], wanted: bytes) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if wanted in line:
            return
    raise AssertionError(f"{wanted!r} never came")


# Saying what is wrong -------------------------------------------------------------------------


def test_an_unknown_command_is_two_lines_naming_the_nearest(project: Project) -> None:
    _, error = project.both("rnus", code=2)
    assert error.splitlines() == ["aml has no command 'rnus'.", "Did you mean runs?"]


def test_an_unknown_option_is_two_lines_naming_the_nearest(project: Project) -> None:
    _, error = project.both("run", "--tme-out", "3h", "train.py", code=2)
    assert error.splitlines() == ["aml run has no option --tme-out.", "Did you mean --timeout?"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["runs", "--state", "runing"], ["'runing'", "Running"]),
        (["runs", "--since", "soon"], ["--since", "'soon'", "30m", "--help"]),
        (["run", "--tag", "colour", "x.py"], ["--tag", "key=value"]),
        (["run"], ["neither a script nor --command"]),
        (["run", "--command", "ls", "x.py"], ["both a script and --command"]),
        (["run", "trian.py"], ["trian.py", "train.py"]),
        (["run", "-t", "moon", "train.py"], ["moon", "aml target add"]),
        (["run", "--gpus", "some", "train.py"], ["--gpus", "'some'", "all"]),
        (["run", "--mem", "much", "train.py"], ["--mem", "8G"]),
        (["run", "--gpu-mem", "8G", "--gpus", "0", "train.py"], ["--gpu-mem", "--gpus 0"]),
        (["run", "--docker-arg", "--keep", "train.py"], ["--docker-arg"]),
        (["run", "--env", "nothing.yml", "train.py"], ["nothing.yml", "no file"]),
        (["run", "--env", "image:", "train.py"], ["image:"]),
        (["run", "--env", "image:.", "train.py"], ["image:. names no image"]),
        (["run", "--env", "", "train.py"], ["--env names no environment"]),
        (["run", "--env", "Dockerfile", "train.py"], ["no file Dockerfile"]),
        (["env", "bild"], ["'bild'", "build"]),
        (["env", "create"], ["NAME", "--pip"]),
        (["env", "show", "AzureML-Minmal-CPU"], ["AzureML-Minmal-CPU", "AzureML-Minimal-CPU"]),
        (["run", "--env", "no-such-python", "train.py"], ["no-such-python"]),
        (["run", "--source", "nowhere", "train.py"], ["nowhere"]),
        (["show", "nothing"], ["'nothing'", "aml runs"]),
        (["logs", "first", "--file", "outputs/modl.txt"], ["modl", "outputs/model.txt"]),
        (["metrics", "first", "--name", "lost"], ["'lost'", "loss"]),
        (["cancel"], ["no run", "--all"]),
        (["delete"], ["--older-than"]),
        (["delete", "first"], ["1 run", "-y"]),
    ],
)
def test_a_mistake_is_told_in_two_lines_with_the_remedy(
    trained: Project, words: list[str], named: list[str]
) -> None:
    out, error = trained.both(*words, code=2)
    assert out == ""
    assert "Traceback" not in error
    assert len(error.splitlines()) == 2
    for word in named:
        assert word in error


def test_a_mistake_is_json_when_json_was_asked_for(trained: Project) -> None:
    answer = trained.json("show", "nothing", code=2)
    assert set(answer["error"]) == {"message", "hint"}
    assert "nothing" in answer["error"]["message"]
    out, error = trained.both("run", "trian.py", "--json", code=2)  # asked of the script
    assert (out, len(error.splitlines())) == ("", 2)


def test_looking_where_there_is_no_workspace_makes_none(project: Project) -> None:
    _, error = project.both("runs", code=2)
    assert "no workspace" in error
    assert list(project.folder.iterdir()) == []


# Starting quickly -----------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["runs"], ["runs", "--help"]])
def test_a_quick_command_imports_nothing_slow(trained: Project, words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "aml_jupyter.cli", *words],
        cwd=trained.folder, env=trained.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    imported = set(re.findall(r"\| +(\w+)$", done.stderr, re.M))
    assert not imported & {"rich", "numpy", "yaml", "psutil", "pathspec", "docker", "IPython"}


def test_help_lists_every_command_and_each_explains_itself(project: Project) -> None:
    overview = project.aml("--help")
    for name in re.findall(r"^  (\w+) ", overview, re.M):
        text = parser_for(name).format_help()
        assert "examples:" in text
        assert "--json" in text
    assert project.aml("help", "runs") == project.aml("runs", "-h")


def test_the_documentation_says_what_json_every_command_prints(project: Project) -> None:
    table = (Path(__file__).parents[1] / "docs" / "cli.md").read_text().partition("## JSON")[2]
    told = {
        name
        for row in re.findall(r"^\| (`.*?) \|", table, re.M)
        for name in re.findall(r"`(\w+)", row)
    }
    listed = set(re.findall(r"^  (\w+) ", project.aml("--help"), re.M))
    assert listed - told == set()


def test_the_package_itself_is_the_command(project: Project) -> None:
    command = [sys.executable, "-m", "aml_jupyter", "--version"]
    assert subprocess.check_output(command, env=project.environment).startswith(b"aml ")


# run ------------------------------------------------------------------------------------------


def test_run_prints_the_id_and_leaves_the_run_to_itself(project: Project) -> None:
    project.write("hello.py", "print('hello')")
    run_id = project.aml("run", "hello.py").strip()
    assert project.aml("logs", run_id, "-f") == "hello\n"
    assert project.json("show", "last")["status"] == "Completed"


def test_run_and_wait_prints_the_log_byte_for_byte(project: Project) -> None:
    project.write("odd.py", r"import os; os.write(1, b'\x00\xff\r\n\xe9 no end')")
    done = subprocess.run(
        [*AML, "run", "--wait", "odd.py"],
        cwd=project.folder, env=project.environment, capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout == b"\x00\xff\r\n\xe9 no end"


def test_waiting_for_a_run_that_fails_ends_with_1_and_says_why(project: Project) -> None:
    _, error = project.both("run", "--wait", "--command", "exit 7", code=1)
    assert "exit code 7" in error
    answer = project.json("attach", code=1)
    assert answer["status"] == "Failed"
    assert answer["error"]["error"]["exitCode"] == 7


def test_all_that_follows_the_script_is_the_scripts(project: Project) -> None:
    project.write("echo.py", "import sys; print(sys.argv[1:])")
    out = project.aml("run", "--wait", "echo.py", "-e", "x y", "--json", "--wait", "--")
    assert out == "['-e', 'x y', '--json', '--wait', '--']\n"
    assert project.aml("run", "--wait", "echo.py", "--", "--json") == "['--json']\n"


def test_a_script_below_the_project_takes_the_project_along(project: Project) -> None:
    project.write("src/where.py", "import os; print(sorted(os.listdir()))")
    project.write("data.csv", "")
    assert "data.csv" in project.aml("run", "--wait", "src/where.py")
    here = project.aml("run", "--wait", "where.py", cwd=project.folder / "src")
    assert "data.csv" not in here
    assert "where.py" in here
    assert "data.csv" not in project.aml("run", "--wait", "--source", "src", "src/where.py")
    assert "data.csv" not in project.aml("run", "--wait", "--source", "src", "where.py")


def test_the_options_of_a_run_reach_it(trained: Project) -> None:
    run = trained.json("show", "second")
    assert run["experiment"] == "train"
    assert run["display_name"] == "my best"
    assert run["tags"] == {"model": "cnn", "gpu": "no"}


def test_a_dry_run_shows_the_plan_and_submits_nothing(project: Project) -> None:
    project.write("train.py", TRAIN)
    out = project.aml("run", "--dry-run", "--json", "--timeout", "2h", "train.py", "5")
    plan = json.loads(out)["plan"]
    assert (plan["script"], plan["arguments"], plan["max_seconds"]) == ("train.py", ["5"], 7200)
    assert "train.py 5" in project.aml("run", "--dry-run", "train.py", "5")
    assert project.json("runs") == {"runs": []}


def test_rerun_does_a_run_once_more_from_its_snapshot(project: Project) -> None:
    project.write("train.py", "import sys; print('given', sys.argv[1:])")
    project.aml("run", "--wait", "--id", "one", "--tag", "model=cnn", "train.py", "--lr", "0.1")
    project.write("train.py", "print('changed since')")
    assert project.aml("rerun", "one", "--wait") == "given ['--lr', '0.1']\n"
    again = project.json("show")
    assert again["properties"]["aml.rerun_of"] == "one"
    assert again["tags"] == {"model": "cnn"}
    third = project.json("rerun", "last", "--tag", "try=3", "--name", "third", "--wait")
    assert (third["display_name"], third["tags"]) == ("third", {"try": "3"})
    assert third["status"] == "Completed"
    assert project.aml("rerun", "one").strip() == project.json("show")["id"]


def test_interrupting_the_wait_leaves_the_run_running(project: Project) -> None:
    project.write("slow.py", "import time\nprint('begun', flush=True)\ntime.sleep(60)")
    waiting = project.start("run", "--wait", "slow.py", stdout=-1, stderr=-1)
    wait_for_line(waiting, b"begun")
    waiting.send_signal(signal.SIGINT)
    _, error = waiting.communicate(timeout=10)
    assert waiting.returncode == 130
    assert b"goes on" in error
    assert project.json("show")["status"] == "Running"
    _, refused = project.both("delete", "last", "-y", code=2)
    assert "aml cancel" in refused
    assert project.json("cancel", "--all")["runs"][0]["status"] == "Canceled"
    assert project.aml("cancel", "last").endswith("Canceled\n")


# Looking --------------------------------------------------------------------------------------


def test_runs_are_filtered_and_ranked(trained: Project) -> None:
    assert ids(trained.json("runs")) == ["third", "second", "first"]
    assert ids(trained.json("runs", "-n", "1")) == ["third"]
    assert ids(trained.json("runs", "--state", "failed")) == ["third"]
    assert ids(trained.json("runs", "-e", "train", "--since", "1h")) == ["second", "first"]
    assert ids(trained.json("runs", "--tag", "model")) == ["third", "second"]
    assert ids(trained.json("runs", "--tag", "model=cnn", "--tag", "gpu=no")) == ["second"]
    assert ids(trained.json("runs", "--tag", "model", "--tag", "gpu=yes")) == []
    assert ids(trained.json("runs", "--by", "loss")) == ["first", "third", "second"]
    assert ids(trained.json("runs", "--by", "loss", "--asc", "-n", "2")) == ["second", "third"]


def test_runs_are_found_by_a_filter(trained: Project) -> None:
    assert ids(trained.json("runs", "state:failed")) == ["third"]
    assert ids(trained.json("runs", "metric.loss<1", "tag:model=cnn")) == ["second"]
    assert ids(trained.json("runs", "-state:failed", "-n2")) == ["second", "first"]
    assert ids(trained.json("runs", "my best")) == ["second"]
    assert ids(trained.json("runs", "-best", "since:1h", "--tag", "model")) == ["third"]
    assert "Did you mean state" in trained.both("runs", "stat:failed", code=2)[1]
    assert "metric.NAME<NUMBER" in trained.aml("runs", "--help")


def test_the_list_for_people_has_what_they_look_for(trained: Project) -> None:
    heads, *lines = trained.aml("runs").splitlines()
    assert heads.split()[:4] == ["run", "name", "state", "experiment"]
    assert re.search(r"^second +my best +Completed +train +2 .*loss 0\.25", lines[1])


def test_the_list_fits_a_terminal(trained: Project) -> None:
    main, beside = pty.openpty()
    environment = {**trained.environment, "COLUMNS": "60", "TERM": "xterm"}
    subprocess.run(
        [*AML, "runs"], cwd=trained.folder, env=environment, stdout=beside, check=True
    )  # fmt: skip
    os.close(beside)
    shown = os.read(main, 65536).decode()
    os.close(main)
    assert "\033[31mFailed" in shown
    assert all(len(re.sub(r"\033\[\d*m", "", line)) <= 60 for line in shown.splitlines())


def test_show_tells_everything_of_a_run(trained: Project) -> None:
    run = trained.json("show", "second")
    assert run["metrics"] == {"loss": 0.25}
    assert run["metric_counts"] == {"loss": 4, "note": 1}
    assert {"name": "outputs/model.txt", "bytes": 1000} in run["files"]
    assert [stage["state"] for stage in run["stages"]][-1] == "Completed"
    text = trained.aml("show", "second")
    for word in ("my best", "Completed", "train.py 4", "outputs/model.txt", "1 kB", "model  cnn"):
        assert word in text


def test_facts_are_shown_without_secrets(project: Project) -> None:
    project.write("train.py", "print('hello')")
    project.aml("run", "--wait", "train.py", "--lr", "0.1", "--hf-token", "hush")
    text = project.aml("show", "--facts")
    assert re.search(r"^Parameters\n  lr        0\.1\n  hf-token  •••$", text, re.MULTILINE)
    assert "print('hello')" in text
    facts = project.json("show", "--facts")
    assert facts["sections"][0]["title"] == "Parameters"
    assert "hush" not in text + json.dumps(facts)


def test_runs_are_compared_side_by_side(trained: Project) -> None:
    text = trained.aml("compare", "first", "sec")
    assert re.search(r"^ +first +second$", text, re.MULTILINE)
    assert re.search(r"^  arg 1 +2 +4$", text, re.MULTILINE)
    assert re.search(r"^  loss +0\.5 \(0\.5 … 1\) +0\.25 \(0\.25 … 1\)$", text, re.MULTILINE)
    found = trained.json("compare", "first", "second", "third")
    assert found["ids"] == ["first", "second", "third"]
    assert found["parameters"] == {"arg 1": ["2", "4", "3"], "fail": [None, None, "yes"]}
    assert found["facts"]["state"] == ["Completed", "Completed", "Failed"]
    assert found["metrics"]["loss"][1] == {"last": 0.25, "min": 0.25, "max": 1.0}
    assert "source_diffs" not in found


def test_a_comparison_shows_what_changed_in_the_source_if_asked(project: Project) -> None:
    project.write("train.py", "print(1)\n")
    project.aml("run", "--wait", "--id", "one", "train.py")
    project.write("train.py", "print(2)  # \x1b[2J\n")
    project.aml("run", "--wait", "--id", "two", "train.py")
    text = project.aml("compare", "one", "two", "--diff")
    assert "source: one → two\nchanged: train.py\n" in text
    assert "-print(1)\n+print(2)  # �[2J\n" in text
    ((file,),) = project.json("compare", "one", "two", "--diff")["source_diffs"]
    assert (file["path"], file["change"]) == ("train.py", "changed")
    _, error = project.both("compare", "one", code=2)
    assert "Name 2 to 20 runs" in error


def test_show_tells_why_a_run_failed(trained: Project) -> None:
    text = trained.aml("show", "third")
    assert "ValueError: no luck" in text
    assert "train.py" in text
    assert trained.json("show", "third")["error"]["error"]["exception"]["type"] == "ValueError"


def test_an_id_may_be_shortened_unless_several_runs_begin_so(trained: Project) -> None:
    assert trained.json("show", "sec")["id"] == "second"
    assert "'" in trained.json("show", "", code=2)["error"]["message"]


def test_a_run_whose_process_was_killed_is_not_running_for_ever(project: Project) -> None:
    project.write("start.py", (
        "import os\nfrom aml_jupyter import Workspace, Experiment\n"
        "experiment = Experiment(Workspace.from_config(), 'here')\n"
        "experiment.start_logging(run_id='lost', snapshot_directory=None, outputs=False)\n"
        "os.kill(os.getpid(), 9)\n"
    ))  # fmt: skip
    subprocess.run([sys.executable, "start.py"], cwd=project.folder, env=project.environment)
    assert project.json("show", "lost")["status"] == "Failed"
    assert project.json("attach", "lost", code=1)["status"] == "Failed"


@pytest.mark.parametrize("text", [b"", b"\n", b"one", b"a\n\nb", b"a\n\nb\n"])
def test_the_last_lines_are_those_of_tail(trained: Project, text: bytes) -> None:
    log = trained.folder / ".aml/runs/first/azureml-logs/70_driver_log.txt"
    kept = log.read_bytes()
    try:
        log.write_bytes(text)
        for lines in ("0", "2", "3"):
            wanted = subprocess.check_output(["tail", "-n", lines, log])
            assert trained.aml("logs", "first", "-n", lines).encode() == wanted
    finally:
        log.write_bytes(kept)


def test_a_million_lines_are_printed_whole_and_in_little_memory(trained: Project) -> None:
    log = trained.folder / ".aml/runs/first/azureml-logs/70_driver_log.txt"
    kept = log.read_bytes()
    measure = (
        "import sys, tracemalloc; from aml_jupyter.cli import main; tracemalloc.start(); "
        "main(sys.argv[1:]); print(tracemalloc.get_traced_memory()[1], file=sys.stderr)"
    )
    copy = trained.folder / "copy"
    try:
        log.write_bytes(b"".join(b"%099d\n" % number for number in range(1_000_000)))
        with open(copy, "wb") as out:
            done = subprocess.run(
                [sys.executable, "-c", measure, "logs", "first"],
                cwd=trained.folder, env=trained.environment, stdout=out, stderr=-1, check=True,
            )  # fmt: skip
        assert subprocess.run(["cmp", log, copy], check=False).returncode == 0
        assert int(done.stderr) < 20_000_000
        end = subprocess.check_output(["tail", "-n", "30000", log])
        assert trained.aml("logs", "first", "-n", "30000").encode() == end
    finally:
        log.write_bytes(kept)
        copy.unlink()


def test_another_file_is_printed_by_its_name(trained: Project) -> None:
    assert trained.aml("logs", "first", "--file", "outputs/model.txt") == "x" * 1000


def test_a_reader_that_leaves_early_is_no_error(trained: Project) -> None:
    command = f"'{sys.executable}' -m aml_jupyter.cli metrics first --csv | head -n 1"
    done = subprocess.run(
        ["sh", "-c", command], cwd=trained.folder, env=trained.environment, capture_output=True
    )
    assert done.stdout == b"metric,step,time,value\n"
    assert done.stderr == b""


def test_metrics_are_summed_up_or_given_point_by_point(trained: Project) -> None:
    found = trained.json("metrics", "second")["metrics"]
    assert found["loss"] == {"last": 0.25, "min": 0.25, "max": 1.0, "count": 4}
    assert found["note"] == {"last": "done", "min": None, "max": None, "count": 1}
    points = trained.json("metrics", "second", "--name", "loss")["points"]["loss"]
    assert [(step, value) for step, _, value in points][:2] == [(0, 1.0), (10, 0.5)]
    rows = trained.aml("metrics", "second", "--csv").splitlines()
    assert rows[0] == "metric,step,time,value"
    assert len(rows) == 6
    assert re.fullmatch(r"loss,10,\d{4}-\S+Z,0.5", rows[2])


def test_what_json_cannot_hold_is_text_in_it(project: Project) -> None:
    project.write("odd.py", (
        "from aml_jupyter import Run\nrun = Run.get_context()\n"
        "for value in (1.0, float('nan'), float('-inf')): run.log('odd', value)\n"
    ))  # fmt: skip
    project.aml("run", "--wait", "odd.py")
    text = project.aml("metrics", "--json")
    found = json.loads(text, parse_constant=lambda word: pytest.fail(word))["metrics"]["odd"]
    assert found == {"last": "-Infinity", "min": "-Infinity", "max": 1.0, "count": 3}


# Keeping the house ----------------------------------------------------------------------------


def test_runs_are_deleted_when_that_is_confirmed(project: Project) -> None:
    for name in ("one", "two", "three"):
        project.aml("run", "--wait", "--id", name, "--command", "true")
    main, beside = pty.openpty()
    os.write(main, b"n\n")
    _, asked = project.both("delete", "one", stdin=beside)
    os.close(main)
    os.close(beside)
    assert "Delete 1 run (" in asked
    assert project.json("delete", "--older-than", "1d", "-y")["deleted"] == []
    answer = project.json("delete", "on", "one", "-y")
    assert answer["deleted"] == ["one"]
    assert answer["freed_bytes"] > 0
    assert ids(project.json("runs")) == ["three", "two"]
    assert "Deleted 2 runs" in project.aml("delete", "--all-ended", "-y")
    assert list((project.folder / ".aml/runs").iterdir()) == []


def test_reindex_finds_all_runs_again(trained: Project) -> None:
    (trained.folder / ".aml/index.db").write_bytes(b"noise" * 1000)
    assert trained.json("reindex")["runs"] == 3
    assert ids(trained.json("runs")) == ["third", "second", "first"]


def test_the_runner_tells_its_state_and_stops(project: Project) -> None:
    project.aml("run", "--wait", "--command", "true")
    status = project.json("runner", "status")
    assert status["running"] is True
    assert status["home"] == str(project.home)
    runner = psutil.Process(status["pid"])
    assert project.json("runner", "stop")["running"] is False
    until = time.monotonic() + 5
    while is_alive(runner) and time.monotonic() < until:
        time.sleep(0.02)
    assert not is_alive(runner)


def is_alive(process: psutil.Process) -> bool:
    """Whether the process is there, and not only waiting for its parent to notice its end."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_attaching_starts_the_runner_that_was_stopped(project: Project) -> None:
    project.write("wait.py", "import time\nprint('begun', flush=True)\ntime.sleep(1)\nprint('end')")
    project.aml("run", "wait.py")
    following = project.start("logs", "-f", stdout=-1)
    wait_for_line(following, b"begun")
    project.aml("runner", "stop")
    following.kill()
    following.communicate()
    out, _ = project.both("attach")
    assert out == "begun\nend\n"


def test_doctor_finds_that_runs_work_here(trained: Project) -> None:
    answer = trained.json("doctor")
    assert answer["ok"] is True
    found = {each["name"]: each for each in answer["findings"]}
    assert {"python", "workspace", "home", "runner", "target local", "git"} <= set(found)
    assert "Runs work" in (text := trained.aml("doctor")) or "All works here" in text


def test_doctor_tells_what_keeps_runs_from_working(project: Project) -> None:
    project.write("taken", "")
    blocked = {**project.environment, "AML_HOME": str(project.folder / "taken")}
    out = project.aml("doctor", code=1, env=blocked)
    assert "Set AML_HOME" in out
    assert "will not work" in out


# Completion -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ru"], ["run", "runs", "runner"]),
        (["show", ""], ["last", "third", "second", "first"]),
        (["show", "se"], ["second"]),
        (["compare", "first", "se"], ["second"]),
        (["rerun", "th"], ["third"]),
        (["runs", "--state", "Comp"], ["Completed"]),
        (["runs", "-e", ""], ["luck", "train"]),
        (["runs", "--by", ""], ["loss"]),
        (["run", "-t", ""], ["docker", "local"]),
        (["run", "--env", "AzureML-Mini"], ["AzureML-Minimal-CPU", "AzureML-Minimal-GPU"]),
        (["run", "--gpu"], ["--gpu-mem", "--gpus"]),
        (["env", "cr"], ["create"]),
        (["env", "why", "AzureML-Minimal-C"], ["AzureML-Minimal-CPU"]),
        (["env", "prune", "--o"], ["--older-than"]),
        (["env", "clone", "AzureML-Minimal-CPU", "A"], []),
        (["target", "te"], ["test"]),
        (["target", "show", "lo"], ["local"]),
        (["rerun", "--lo"], ["--locked"]),
        (["runner", "st"], ["status", "stop"]),
        (["logs", "--f"], ["--file", "--follow"]),
        (["run", "--source", ""], []),
        (["run", ""], []),
        (["nonsense", ""], []),
    ],
)
def test_completion_offers_what_may_stand_there(
    trained: Project, words: list[str], offered: list[str]
) -> None:
    assert trained.aml("completion", "words", *words).split() == offered


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_with_the_script(trained: Project, tmp_path: Path) -> None:
    aml = tmp_path / "aml"
    aml.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m aml_jupyter.cli "$@"\n')
    aml.chmod(0o755)
    script = (
        'eval "$(aml completion bash)"; COMP_WORDS=(aml show th); COMP_CWORD=2; _aml; '
        'echo "${COMPREPLY[@]}"'
    )
    environment = {**trained.environment, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    out = subprocess.check_output(["bash", "-c", script], cwd=trained.folder, env=environment)
    assert out == b"third\n"
