"""What a machine has to lease: GPUs as their driver tells of them, processors, memory."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aml_jupyter import Experiment, Run, ScriptRunConfig, Workspace
from aml_jupyter.backends.visible import VISIBLE, leased, submitters, unleased
from aml_jupyter.errors import RunConfigurationException
from aml_jupyter.runner import gpus, machine
from aml_jupyter.runner.gpus import Gpu, Reading
from aml_jupyter.runner.leases import Process
from aml_jupyter.runner.machine import MachineWatch, as_leasable, here, memory, processors
from aml_jupyter.spec import Resources
from aml_jupyter.workspace.queue_view import position_of
from tests.services.gpu_driver import driver
from tests.support import experiment, finish, kill, log_of, project, script, submit, until, ws

__all__ = ["driver", "experiment", "project", "ws"]

G = 1 << 30
NOBODY = 1 << 30
OWN, OTHER = os.getpid(), os.getppid()
ROOT = str(Path(__file__).parent.parent)


@pytest.fixture(autouse=True)
def _no_real_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setenv(gpus.FAKES, "2x16G")


# Made-up GPUs -----------------------------------------------------------------------------------


def test_made_up_gpus_are_there_to_be_leased(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gpus.FAKES, "2x16G, 1x80G")
    found = here().gpus
    assert found is not None
    assert [gpu.memory_total for gpu in found] == [16 * G, 16 * G, 80 * G]
    assert [gpu.index for gpu in found] == [0, 1, 2]
    assert not any(gpu.foreign_memory for gpu in found)


@pytest.mark.parametrize("text", ["8", "x16G", "8x", "eight", "2x16G,4"])
def test_made_up_gpus_that_make_no_sense_are_trouble(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(gpus.FAKES, text)
    found = here()
    assert found.gpus is None
    assert f"{gpus.FAKES} is {text!r}" in found.trouble


@pytest.mark.parametrize(
    ("visible", "indices", "hidden"),
    [("1", [1], 1), ("1,0", [0, 1], 0), ("", [], 2), ("-1", [], 2), ("GPU-fake-1", [1], 1)],
)
def test_what_is_hidden_from_the_runner_is_not_leased(
    visible: str, indices: list[int], hidden: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VISIBLE, visible)
    found = here()
    assert [gpu.index for gpu in found.gpus or ()] == indices
    assert found.hidden == hidden


def test_a_lease_leaves_what_its_submitter_saw() -> None:
    for before in ({}, {VISIBLE: ""}, {VISIBLE: "1,2"}):
        job = {**before, **leased(before, (2,))}
        assert job[VISIBLE] == "2"
        child = {**job, **leased(job, ())}
        assert child[VISIBLE] == ""
        assert submitters(job) == submitters(child) == before.get(VISIBLE)
        assert unleased(child) == {**before, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def test_processors_and_memory_are_no_more_than_there_are() -> None:
    assert 0 < processors() <= (os.cpu_count() or 0)
    with open("/proc/meminfo", encoding="ascii") as file:
        total = int(file.readline().split()[1]) * 1024
    assert 0 < memory() <= total


# Who uses them ----------------------------------------------------------------------------------


def gpu(used: float, **processes: int | None) -> Gpu:
    """A GPU with so many bytes in use, and of whom."""
    who = {"own": OWN, "other": OTHER, "unknown": NOBODY}
    pids = {who[name]: size for name, size in processes.items()}
    return Gpu(0, "GPU-0", 5.0, used, pids, 16.0 * G)


def use(found: Gpu, is_leased: bool = True) -> tuple[int, int]:
    """What others hold, and how much of it for computing."""
    told = as_leasable(found, {OWN}, is_leased)
    return told.foreign_memory, told.foreign_compute


def test_memory_is_told_apart_by_whose_it_is() -> None:
    assert use(gpu(3 * G, own=3 * G)) == (0, 0)
    assert use(gpu(3 * G, own=1 * G, other=2 * G)) == (2 * G, 2 * G)
    assert use(gpu(3 * G, other=2 * G)) == (3 * G, 2 * G)


def test_what_no_process_computes_with_is_a_displays() -> None:
    assert use(gpu(1 * G)) == (1 * G, 0)


def test_where_the_driver_does_not_say_how_much_all_that_is_used_is_taken_for_others() -> None:
    assert use(gpu(3 * G, own=1 * G, other=None)) == (2 * G, 2 * G)
    assert use(gpu(3 * G, own=None)) == (0, 0)
    assert use(gpu(3 * G, own=None, other=1 * G)) == (1 * G, 1 * G)


def test_a_process_that_only_the_host_knows_is_the_lessees_where_there_is_one() -> None:
    assert use(gpu(2 * G, unknown=2 * G), is_leased=True) == (0, 0)
    assert use(gpu(2 * G, unknown=2 * G), is_leased=False) == (2 * G, 2 * G)


def test_strangers_are_named_by_program_and_script(tmp_path: Path) -> None:
    text = "import time; print(1, flush=True); time.sleep(99)"
    python, path = Path(sys.executable).name, tmp_path / "sleeper.py"
    path.write_text(text)
    calls = {
        f"{python} -m sleeper": ["-m", "sleeper", "--fast"],
        f"{python} sleeper.py": [str(path), "1"],
        python: ["-c", text],
    }
    for name, words in calls.items():
        command = [sys.executable, *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) as process:
            assert process.stdout is not None
            process.stdout.readline()
            used = Gpu(0, "GPU-0", 5.0, 2 * G, {OWN: G, process.pid: G})
            assert as_leasable(used, {OWN}, True).strangers == (Process(process.pid, name),)
            process.kill()
    assert str(Process(7, machine.name_of(NOBODY))) == "pid 7"


# From look to look ------------------------------------------------------------------------------


def watching(*found: Gpu) -> MachineWatch:
    """A watch that has just heard of these GPUs."""
    told = gpus.Gpus(lambda _: None)
    told.newest = Reading(time.time(), found)
    return MachineWatch(told)


def test_a_process_stays_its_lessees_as_long_as_the_driver_tells_of_it() -> None:
    watch = watching(gpu(2 * G, other=2 * G))
    looks: list[dict[int, list[int]]] = [{0: [OTHER]}, {0: []}, {}]
    for lessees in looks:
        (found,) = watch.look(lessees, wanted=True).gpus or ()
        assert found.foreign_memory == 0


def test_a_job_that_computes_where_it_has_no_lease_is_a_stranger_there() -> None:
    watch = watching(gpu(2 * G, other=2 * G), gpu(0)._replace(number=1))
    first, second = watch.look({1: [OTHER]}, wanted=True).gpus or ()
    assert (first.is_used_by_others, second.is_used_by_others) == (True, False)


def test_looking_does_not_wait_for_the_driver() -> None:
    watch = MachineWatch(gpus.Gpus(lambda _: None))
    first = watch.look({}, wanted=True)
    if first.gpus is None:  # its thread has not had a chance yet
        assert "driver" in first.trouble
        assert watch.next_look is not None
    found = until(lambda: (it := watch.look({}, wanted=True)).gpus and it)
    assert len(found.gpus) == 2
    assert found.trouble == ""
    assert watch.next_look is None


# With a driver and a runner ---------------------------------------------------------------------

TELL = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"
SLEEP = "import time; time.sleep(99)"
STRANGER = (
    "import sys, time, pynvml; pynvml.occupy(0, 8 << 30); print(1, flush=True); time.sleep(99)"
)


@pytest.fixture
def stranger(driver: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is no run and holds half of GPU 0."""
    command = [sys.executable, "-c", STRANGER]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        kill(process.pid)


SUBMIT = """
    import sys
    from aml_jupyter import Experiment, ScriptRunConfig, Workspace
    from aml_jupyter.spec import Resources

    gpus, memory = map(int, sys.argv[1:])
    config = ScriptRunConfig("source", script="train.py")
    asked = Resources(gpus, memory)
    print(Experiment(Workspace.from_config(), "test").submit(config, resources=asked).id)
    """


def asking(ws: Workspace, gpus: int, memory: int = 0, text: str = TELL) -> Run:
    """A run that asks for GPUs, submitted by a process that finds the driver."""
    script(ws.folder.project / "source", text)
    command = [sys.executable, "-c", textwrap.dedent(SUBMIT), str(gpus), str(memory)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return ws.get_run(said.stdout.strip())


def why(run: Run) -> str:
    """What the runner says that it waits for."""
    at = position_of(run.id)
    return at.why if at else ""


def test_a_gpu_that_a_stranger_uses_is_leased_when_it_has_gone(
    stranger: subprocess.Popen[bytes], ws: Workspace
) -> None:
    one, shared = asking(ws, 1), asking(ws, 1, 6 * G)
    finish(one)
    finish(shared)
    assert (log_of(one), log_of(shared)) == ("1\n", "0\n")
    both = asking(ws, 2)
    until(lambda: "no runs" in why(both))
    assert why(both) == (
        "waits for 2 GPUs: 1 of 2 free, 1 used by processes that are no runs "
        f"({Path(sys.executable).name}, pid {stranger.pid}); "
        "what is no run holds too much, so others go first"
    )
    stranger.kill()
    stranger.wait()
    finish(both)
    assert log_of(both) == "0,1\n"


@pytest.mark.parametrize(("trouble", "words"), [("broken", "GPU is lost"), ("hangs", "is being")])
def test_a_driver_in_trouble_keeps_those_waiting_who_ask_for_gpus(
    trouble: str, words: str, driver: Path, ws: Workspace, experiment: Experiment
) -> None:
    first, second = asking(ws, 2, text=SLEEP), asking(ws, 1)
    until(lambda: why(second) == "waits for 1 GPU: 0 of 2 free")
    (driver / trouble).touch()
    until(lambda: words in why(second), 20)
    first.cancel()
    finish(first)
    finish(submit(experiment, "print(1)"))
    assert second.get_status() == "Queued"
    second.cancel()
    finish(second)


LOOK = """
    import os, pathlib, time
    from aml_jupyter.runner.gpus import Gpus

    lost, told = pathlib.Path(os.environ["FAKE_NVML"]) / "lost-1", Gpus(print, lost_after={after})

    def looked() -> str:
        last, told.newest = told.newest, None
        until = time.monotonic() + {patience}
        while told.newest is None and time.monotonic() < until:
            told.ask()
            time.sleep(0.02)
        return str(told.newest and [gpu.number for gpu in told.newest.gpus])

    {steps}
    """


def looking(steps: str, after: float, patience: float = 10) -> list[str]:
    """What a process that looks at the GPUs prints."""
    code = textwrap.dedent(LOOK).format(steps=steps, after=after, patience=patience)
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_gpu_with_an_error_is_lost_when_the_error_stays(driver: Path) -> None:
    steps = "print(looked()); lost.touch(); print(looked()); time.sleep(1); print(looked())"
    steps += "; lost.unlink(); print(looked())"
    assert looking(steps, after=0.9) == ["[0, 1]", "[0, 1]", "[0]", "[0, 1]"]


def test_gpus_are_told_of_when_each_has_been_seen_or_is_lost(driver: Path) -> None:
    assert looking("lost.touch(); print(looked())", after=60, patience=1) == ["None"]
    assert looking("lost.touch(); print(looked())", after=0.5) == ["[0]"]


def test_the_doctor_names_who_computes(stranger: subprocess.Popen[bytes], ws: Workspace) -> None:
    command = [sys.executable, "-m", "aml_jupyter", "doctor"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], ROOT])}
    said = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert f"in use now: 0 ({Path(sys.executable).name}, pid {stranger.pid})" in said.stdout


def test_more_gpus_than_there_are_are_refused_at_once(
    experiment: Experiment, project: Path
) -> None:
    config = ScriptRunConfig(str(project), script=script(project, TELL))
    with pytest.raises(RunConfigurationException, match="asks for 3 GPUs, and this machine has 2"):
        experiment.submit(config, resources=Resources(3))
