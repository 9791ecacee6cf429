"""The runner samples what real jobs use: every process of theirs, and nobody else's."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from aml_jupyter import Environment, Experiment, Run
from aml_jupyter.home import home
from aml_jupyter.job import layout, metrics
from aml_jupyter.runner.gpus import Gpu, Reading
from aml_jupyter.runner.sampling import Sample, SampleFile, next_turn
from aml_jupyter.runner.usage import Census, Family, Networks, Usage
from tests.support import (
    experiment,
    finish,
    kill,
    kill_runner,
    log_of,
    project,
    submit,
    until,
    ws,
)

__all__ = ["experiment", "project", "ws"]

MB = 1_000_000
FAKE = Path(__file__).parent / "services/fake_nvml"
UNTIL_TOLD = """
    import os, time
    while not os.path.exists('enough'):
        time.sleep(0.01)
    """
OF_ANY_JOB = {"cpu", "memory", "network received", "network sent", "processes"}


def tell(run: Run) -> dict[str, Any]:
    """Let a job of ``UNTIL_TOLD`` end, and return the details of the run."""
    (run.folder / layout.WORK / "enough").touch()
    return finish(run)


def sampled(run: Run) -> dict[str, list[float]]:
    """All samples so far, by name."""
    found = metrics.read_all(str(run.folder / layout.SYSTEM))
    return {name: [entry["value"] for entry in entries] for name, entries in found.items()}


def assert_sound(run: Run) -> None:
    """No sample that cannot be, of none of the names."""
    for name, values in sampled(run).items():
        assert min(values) >= 0, name
        assert max(values) < 1e15, name


def runner_said() -> str:
    return home().runner_log.read_text()


# Real runs ----------------------------------------------------------------------------------


def test_a_job_that_computes_shows_what_it_computes(experiment: Experiment) -> None:
    text = """
        import os, time
        began = time.time()
        while not os.path.exists('enough'):
            sum(range(1000))
        print(time.process_time() / (time.time() - began))
        """
    run = submit(experiment, text)
    until(lambda: len(sampled(run).get("cpu", ())) >= 4)
    assert tell(run)["status"] == "Completed"
    percent = 100 * float(log_of(run))
    cpu = sampled(run)["cpu"]
    assert 0.5 * percent < sum(cpu) / len(cpu) < 1.5 * percent
    assert max(cpu) < 200
    assert_sound(run)


def test_every_run_has_samples_and_its_own_metrics_do_not_show_them(
    experiment: Experiment,
) -> None:
    log = "from aml_jupyter import Run\nRun.get_context().log('x', 1.0)\n"
    run = submit(experiment, log + textwrap.dedent(UNTIL_TOLD))
    until(lambda: sampled(run).keys() >= OF_ANY_JOB)
    tell(run)
    assert run.get_metrics() == {"x": 1.0}
    assert sampled(run).keys() - OF_ANY_JOB <= {"disk read", "disk written"}
    assert set(sampled(run)["processes"]) == {1}


def test_the_first_sample_of_a_new_job_has_all_that_it_used(experiment: Experiment) -> None:
    text = "import time\nwhile time.process_time() < 0.2: pass" + textwrap.dedent(UNTIL_TOLD)
    run = submit(experiment, text)
    until(lambda: len(sampled(run).get("cpu", ())) >= 1)
    tell(run)
    assert sampled(run)["cpu"][0] > 10


def test_the_memory_of_children_counts(experiment: Experiment) -> None:
    text = """
        import subprocess, sys
        child = 'data = bytearray(200_000_000)\\nfor n in range(0, len(data), 4096): data[n] = 1\\n'
        child += 'import os, time\\nwhile not os.path.exists("enough"): time.sleep(0.01)'
        subprocess.run([sys.executable, '-c', child])
        """
    run = submit(experiment, text)
    until(lambda: max(sampled(run).get("memory", [0])) >= 200 * MB)
    tell(run)
    assert max(sampled(run)["memory"]) < 400 * MB
    assert max(sampled(run)["processes"]) == 2


@pytest.mark.service("disk")
def test_what_is_written_to_the_disk_shows(experiment: Experiment) -> None:
    text = """
        import os, time
        with open('file', 'wb') as file:
            while not os.path.exists('enough'):
                file.write(bytes(1_000_000))
                file.flush()
                os.fsync(file.fileno())
                time.sleep(0.05)
        """
    run = submit(experiment, text)
    until(lambda: max(sampled(run).get("disk written", [0])) > MB)
    tell(run)
    assert_sound(run)


def test_samples_go_on_after_the_runner_was_killed(experiment: Experiment) -> None:
    run = submit(experiment, UNTIL_TOLD)
    until(lambda: len(sampled(run).get("cpu", ())) >= 2)
    kill_runner()
    before = len(sampled(run)["cpu"])
    run.get_status()
    # The new runner cannot know when an older job used what, and begins with its second look.
    until(lambda: run.get_status() and len(sampled(run)["cpu"]) >= before + 1)
    assert tell(run)["status"] == "Completed"
    assert len(metrics.writers(str(run.folder / layout.SYSTEM))) == 2
    assert_sound(run)


def test_a_run_whose_folder_takes_no_samples_goes_on_without(experiment: Experiment) -> None:
    text = """
        import os, shutil, time
        while not os.path.exists('../system'):
            time.sleep(0.01)
        while not os.path.isfile('../system'):  # the runner may write there in between
            shutil.rmtree('../system', ignore_errors=True)
            try:
                open('../system', 'x').close()
            except FileExistsError:
                pass
        """
    run = submit(experiment, textwrap.dedent(text) + textwrap.dedent(UNTIL_TOLD))
    until(lambda: "what it uses is no longer sampled" in runner_said())
    assert tell(run)["status"] == "Completed"
    assert runner_said().count("no longer sampled") == 1
    assert "Traceback" not in runner_said()


# Turns --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "interval"), [(0, 1), (119, 1), (120, 2), (3599, 2), (3600, 10), (1e7, 10)]
)
def test_older_jobs_are_sampled_less_often(age: float, interval: float) -> None:
    turns = [next_turn(1000.3, age, 0.0)]
    for _ in range(3):
        turns.append(next_turn(turns[-1], age, 0.0))
    assert 0.5 * interval <= turns[0] - 1000.3 <= 1.5 * interval
    assert [later - turn for turn, later in itertools.pairwise(turns)] == [interval] * 3


def test_jobs_that_began_at_different_times_have_their_turns_together() -> None:
    turns = {next_turn(next_turn(1000 + 0.13 * n, 1.0, 0.0), 1.0, 0.0) for n in range(8)}
    assert len(turns) <= 2
    assert next_turn(min(turns), 1.0, 0.0) in {max(turns), max(turns) + 1}


def test_what_takes_long_to_look_at_is_looked_at_less_often() -> None:
    assert 3.5 <= next_turn(1000.0, 0.0, least=7.0) - 1000.0 <= 10.5


# Processes ----------------------------------------------------------------------------------


class Program:
    """A Python program in a session of its own, which goes on when it is told to."""

    def __init__(self, text: str) -> None:
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-c", "input()\n" + textwrap.dedent(text)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self.process.pid

    def go_on(self) -> None:
        """Let it come past its next ``input()``."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def numbers(self) -> list[float]:
        """The numbers in the next line that it prints."""
        assert self.process.stdout is not None
        return [float(word) for word in self.process.stdout.readline().split()]


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    """Programs that end with the test, and all that they started."""
    made: list[Program] = []
    yield made
    for program in made:
        # All that are in its session are in its process group, too.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        with program.process:
            pass


def start(programs: list[Program], text: str) -> Program:
    programs.append(Program(text))
    return programs[-1]


def test_a_family_follows_children_and_orphans_and_nobody_else(programs: list[Program]) -> None:
    text = """
        import subprocess
        child = subprocess.Popen(['sleep', '60'])
        orphan = subprocess.run(['sh', '-c', 'sleep 60 >&2 & echo $!'], stdout=-1).stdout
        print(child.pid, int(orphan), flush=True)
        input()
        """
    program, other = start(programs, text), start(programs, "input()")
    family, others, census = Family(), Family(), Census()
    census.add(family, [program.pid])
    census.add(others, [other.pid])
    census.follow([family, others])
    assert (family.members, others.members) == ({program.pid}, {other.pid})
    program.go_on()
    started = {int(number) for number in program.numbers()}
    census.follow([family, others])
    assert (family.members, others.members) == ({program.pid, *started}, {other.pid})
    kill(program.pid)
    program.process.wait()
    census.follow([family, others])
    assert (family.members, others.members) == (started, {other.pid})


WORK = """
    import os, signal, subprocess, sys, time
    signal.signal(signal.SIGCHLD, signal.{action})
    work = 'import time\\nwhile time.process_time() < 0.2: pass'
    for _ in range(4):
        child = subprocess.Popen([sys.executable, '-c', work])
        try:
            os.waitpid(child.pid, 0)
        except ChildProcessError:
            pass
    print(sum(os.times()[:2]), sum(os.times()[2:4]), flush=True)
    input()
    """


@pytest.mark.parametrize("action", ["SIG_DFL", "SIG_IGN"])
def test_what_ended_children_used_counts_once(action: str, programs: list[Program]) -> None:
    program = start(programs, WORK.format(action=action))
    census, family = Census(), Family()
    census.add(family, [program.pid])
    program.go_on()
    used, looked = 0.0, program.began
    for _ in range(200):
        time.sleep(0.07)
        census.follow([family])
        usage = family.usage(Networks(), time.monotonic() - program.began)
        now = time.monotonic()
        assert usage.cpu is not None
        assert usage.cpu >= 0
        used, looked = used + usage.cpu * (now - looked), now
        if _is_waiting(program) and usage.cpu == 0:
            break
    own, inherited = program.numbers()
    assert used < 1.25 * (own + max(inherited, 4 * 0.25))
    # Of children that nobody waits for, what they used since the last look is known to nobody.
    assert used > 0.75 * (own + inherited)


def _is_waiting(program: Program) -> bool:
    return psutil.Process(program.pid).children() == []


def test_a_family_of_nobody_uses_nothing() -> None:
    assert Family().usage(Networks(), 1.0) == Usage(0, 0, 0.0, None, None)


# Files --------------------------------------------------------------------------------------


def samples(count: int) -> list[Sample]:
    return [Sample(name, float(count), float(count)) for name in ("cpu", "memory")]


def test_a_deleted_run_does_not_come_back_as_a_folder(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(FileNotFoundError):
        SampleFile(str(run / "system")).append(samples(1))
    run.mkdir()
    file = SampleFile(str(run / "system"))
    file.append(samples(1))
    for path in (run / "system").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError):
        file.append(samples(2))
    assert list((run / "system").iterdir()) == []


@pytest.mark.service("mount")
def test_a_disk_that_fills_keeps_whole_samples_only(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=True)
    try:
        file, count = SampleFile(str(tmp_path / "system")), 0
        with pytest.raises(OSError, match="No space left"):  # noqa: PT012 - which one is not known
            for count in range(10_000):
                file.append(samples(count))
        found = metrics.read_all(str(tmp_path / "system"))
        values = {name: [entry["value"] for entry in found[name]] for name in found}
        assert values == {name: list(range(count)) for name in ("cpu", "memory")}
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


# GPUs ---------------------------------------------------------------------------------------

USE = """
    import os, pynvml
    for number in {gpus}:
        pynvml.occupy(number, (number + 1) * 1_000_000)
    """


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with two GPUs; the folder is the state of their driver."""
    state, libraries = tmp_path / "gpus", tmp_path / "libraries"
    state.mkdir()
    libraries.mkdir()
    # Any library will do to be found: the driver is only ever spoken to through pynvml.
    with open("/proc/self/maps", encoding="utf-8") as maps:
        any_library = next(line.split()[-1] for line in maps if ".so" in line)
    (libraries / "libnvidia-ml.so.1").symlink_to(any_library)
    monkeypatch.setenv("FAKE_NVML", str(state))
    monkeypatch.setenv("PYTHONPATH", str(FAKE))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(libraries))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return state


def of_gpus(run: Run) -> dict[str, float]:
    """The last sample of everything about GPUs."""
    return {name: values[-1] for name, values in sampled(run).items() if name[:3] == "gpu"}


def computing(experiment: Experiment, *numbers: int, **options: Any) -> Run:
    """A run that computes on these GPUs."""
    text = textwrap.dedent(USE.format(gpus=numbers)) + textwrap.dedent(UNTIL_TOLD)
    return submit(experiment, text, **options)


def test_a_run_shows_the_gpus_that_it_computes_on(
    gpus: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_SLOTS", "3")
    first, both, none = (computing(experiment, *numbers) for numbers in ((0,), (0, 1), ()))
    until(lambda: len(of_gpus(first)) == 2 and len(of_gpus(both)) == 4)
    until(lambda: len(sampled(none)["cpu"]) >= 3)
    for run in (first, both, none):
        assert tell(run)["status"] == "Completed"
    assert of_gpus(first) == {"gpu 0 load": 37, "gpu 0 memory": MB}
    assert of_gpus(both) == {
        **of_gpus(first),
        "gpu 1 load": 38,
        "gpu 1 memory": 2 * MB,
    }
    assert of_gpus(none) == {}
    # One runner, three runs: the driver was started once.
    assert len((gpus / "calls").read_text().splitlines()) == 1


def test_a_run_that_was_given_gpus_shows_them_before_it_computes(
    gpus: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_SLOTS", "2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    environment = Environment("second")
    environment.python.user_managed_dependencies = True
    environment.environment_variables = {"CUDA_VISIBLE_DEVICES": "1"}
    by_submitter, by_environment = (
        computing(experiment),
        computing(experiment, environment=environment),
    )
    until(lambda: of_gpus(by_submitter) and of_gpus(by_environment))
    tell(by_submitter)
    tell(by_environment)
    assert of_gpus(by_submitter) == {"gpu 0 load": 37, "gpu 0 memory": 0}
    assert of_gpus(by_environment) == {"gpu 1 load": 38, "gpu 1 memory": 0}


@pytest.mark.parametrize("trouble", ["broken", "hangs"])
def test_trouble_with_the_driver_is_no_runs(
    trouble: str, gpus: Path, experiment: Experiment
) -> None:
    run = computing(experiment, 0)
    until(lambda: of_gpus(run))
    (gpus / trouble).touch()
    before = len(sampled(run)["cpu"])
    until(lambda: len(sampled(run)["cpu"]) >= before + 2)
    assert tell(run)["status"] == "Completed"
    assert ("GPUs are not sampled: NVMLError('GPU is lost')" in runner_said()) is (
        trouble == "broken"
    )


def test_without_a_driver_nobody_asks_it(gpus: Path, experiment: Experiment) -> None:
    # In the way of a real one, should this machine have it: what is found first is no library.
    library = gpus.parent / "libraries" / "libnvidia-ml.so.1"
    library.unlink()
    library.write_text("no library")
    run = computing(experiment, 0)
    until(lambda: len(sampled(run).get("cpu", ())) >= 2)
    tell(run)
    assert of_gpus(run) == {}
    assert not (gpus / "calls").exists()


def test_the_stand_in_answers_nothing_that_the_real_one_would_not() -> None:
    names = {name for name in (FAKE / "pynvml.py").read_text().split() if name[:4] == "nvml"}
    import pynvml

    asked = {name.partition("(")[0] for name in names}
    assert len(asked) == 8
    assert [name for name in asked if not callable(getattr(pynvml, name, None))] == []


NOBODY = 1 << 30
TWO = Reading(
    0.0,
    (
        Gpu(0, "GPU-1f", 1.0, 100.0, {os.getpid(): 40}),
        Gpu(1, "GPU-2a", 2.0, 200.0, {NOBODY: 50}),
    ),
)


@pytest.mark.parametrize(
    ("visible", "numbers"),
    [
        (None, []),
        ("", []),
        ("-1", []),
        ("1", [1]),
        ("1, 0", [1, 0]),
        ("GPU-2a", [1]),
        ("0,7,1", [0]),
        ("none", []),
    ],
)
def test_gpus_are_named_as_cuda_does(visible: str | None, numbers: list[int]) -> None:
    assert [gpu.number for gpu in TWO.used_by([os.getppid()], visible)] == numbers


def test_a_gpu_that_is_computed_on_counts_more_than_one_that_is_named() -> None:
    assert [gpu.number for gpu in TWO.used_by([os.getpid()], "1")] == [0]


def test_memory_of_a_gpu_is_the_jobs_where_the_driver_knows_whose_it_is() -> None:
    first, second = TWO.gpus
    assert first.memory_of([os.getpid()]) == 40
    assert first.memory_of([os.getppid()]) == 0
    # The driver speaks of a process that this container does not see.
    assert second.memory_of([os.getpid()]) == 200
    assert first._replace(processes={os.getpid(): None}).memory_of([os.getpid()]) == 100
