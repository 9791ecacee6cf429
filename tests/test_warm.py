"""A job that is forked from a warm interpreter is as one that was started: compared with just that.

Scripts stand for notebooks in most tests, since they see more of what surrounds them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import psutil
import pytest

from aml_jupyter import Experiment, Run, ScriptRunConfig
from aml_jupyter.backends import Backend, Handle, Job, JobStatus
from aml_jupyter.backends.local import LocalBackend
from aml_jupyter.backends.warm import WarmInterpreters
from aml_jupyter.errors import ExperimentExecutionException
from aml_jupyter.home import Home
from aml_jupyter.job import layout
from aml_jupyter.spec import JobSpec, NotebookSpec, RunRequest
from aml_jupyter.store import WorkspaceFolder
from aml_jupyter.testing import BackendContract
from tests.support import (
    assert_no_orphans,
    experiment,
    finish,
    is_running,
    kill_runner,
    launcher_of,
    log_of,
    project,
    runner_pid,
    states_of,
    until,
    ws,
)
from tests.test_launcher import ENDS, LOOKS, OLD_AND_NEW, PYTHONS

__all__ = ["experiment", "project", "ws"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")

SLEEPS = "import time\nprint('up', flush=True)\ntime.sleep(60)"

# What changes from test to test would need a warm interpreter of its own each time.
VARIABLES = {name: value for name, value in os.environ.items() if name[:2] != "PY"}


made: list[LocalBackend] = []


class Cold(LocalBackend):
    """Nothing is started warm, not even a notebook."""

    def __init__(self, warm: WarmInterpreters | None = None) -> None:
        super().__init__(warm)
        made.append(self)

    def starts_slowly(self, job: Job) -> bool:
        return False


class Warm(Cold):
    """Every script is started warm, as notebooks are."""

    def starts_slowly(self, job: Job) -> bool:
        return job.spec.kind != "command"


@pytest.fixture(autouse=True)
def launchers() -> Iterator[None]:
    """A launcher may be about to leave when its job has ended: wait for it, as its parent."""
    yield
    while made:
        for launcher in made.pop()._started.values():
            launcher.wait(10)


@pytest.fixture(scope="module")
def bundle() -> Iterator[Path]:
    """A bundle that outlives a test, so that what has imported from it may, too."""
    with tempfile.TemporaryDirectory(prefix="aml-") as place:
        yield Home(Path(place), Path(place)).bundle()


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a job for which it does not matter what was imported; warm at once."""
    return {"PYTHONPATH": str(stand_ins(tmp_path_factory.mktemp("lib")))}


@pytest.fixture(scope="module")
def interpreters() -> WarmInterpreters:
    return WarmInterpreters()


@pytest.fixture
def backend(interpreters: WarmInterpreters) -> LocalBackend:
    """A backend that shares what is warm with other tests, which do it no harm."""
    return Warm(interpreters)


@pytest.fixture
def alone() -> LocalBackend:
    """A backend whose warm interpreters no other test sees."""
    return Warm()


def stand_ins(place: Path) -> Path:
    """Packages of the names that a warm interpreter imports, with nothing in them."""
    names = ["papermill/execute", "nbclient/client", "nbformat/v4", "jupyter_client/asynchronous"]
    names += ["zmq/eventloop/zmqstream", "tornado/platform/asyncio", "ipykernel/kernelapp"]
    for name in [*names, "IPython/core/interactiveshell"]:
        path = place / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        for folder in {path.parent, place / name.partition("/")[0]}:
            (folder / "__init__.py").touch()
    (place / "nbformat/__init__.py").write_text("def reads(*_): pass")
    return place


Make = Callable[..., Job]


@pytest.fixture
def make(tmp_path: Path, bundle: Path, launchers: None) -> Iterator[Make]:
    """Makes a job from the text of a script; what is left of them ends with the test."""
    workspace = WorkspaceFolder.create(tmp_path / "project")

    def make(text: str, variables: dict[str, str] | None = None, **spec: Any) -> Job:
        spec = {"script": "train.py", "interpreter": sys.executable, **spec}
        job_spec = JobSpec(**spec)
        request = RunRequest(id=f"warm_{os.urandom(4).hex()}", experiment="warm", job=job_spec)
        folder = workspace.new_run(request.to_json())
        job = Job(request, job_spec, folder, bundle, {**VARIABLES, **(variables or {})})
        job.work.mkdir()
        (job.work / "train.py").write_bytes(textwrap.dedent(text).encode())
        return job

    yield make
    for path in workspace.root.glob("runs/*"):
        Cold().cancel({"folder": str(path)}, force=True)


def submit(backend: Backend, job: Job) -> Handle:
    return backend.submit(backend.plan(job))


def ended(backend: Backend, handle: Handle) -> JobStatus:
    status: JobStatus = until(
        lambda: (now := backend.poll([handle])[0]).ended and now, 20, why=lambda: log(handle)
    )
    return status


def log(handle: Handle) -> str:
    return Path(handle["folder"], layout.DRIVER_LOG).read_text(errors="replace")


def is_up(handle: Handle) -> None:
    until(lambda: "up" in log(handle), 20)


def run(backend: Backend, job: Job) -> str:
    """What the job writes, which has to end well."""
    handle = submit(backend, job)
    assert ended(backend, handle).code == 0, log(handle)
    return log(handle)


def parent_of(handle: Handle) -> psutil.Process:
    """The process that started the job's launcher."""
    return psutil.Process(psutil.Process(handle["launcher"]["pid"]).ppid())


def is_warm(process: psutil.Process) -> bool:
    try:
        return any(word.endswith("nbjob/warm.py") for word in process.cmdline())
    except psutil.Error:
        return False


def warm_ones() -> set[int]:
    """The pids of what was started from here to become warm."""
    return {child.pid for child in psutil.Process().children() if is_warm(child)}


# As if it had been started --------------------------------------------------------------------


class TestWarmBackend(BackendContract):
    """All that a backend promises, of jobs that are forked."""

    @pytest.fixture(autouse=True)
    def shared(self, interpreters: WarmInterpreters, bundle: Path) -> None:
        self.interpreters, self.bundle = interpreters, bundle

    def make_backend(self) -> Backend:
        return Warm(self.interpreters)

    def make_job(self, workspace: WorkspaceFolder, text: str, **spec: Any) -> Job:
        return replace(super().make_job(workspace, text, **spec), bundle=self.bundle)

    def job_environment(self) -> dict[str, str]:
        return VARIABLES


def both(backend: LocalBackend, make: Make, text: str, **spec: Any) -> list[tuple[Any, ...]]:
    """How a script ends and what it writes, started cold and forked warm, without what differs."""
    ends = []
    for each in (Cold(), backend):
        job = make(text, **spec)
        (job.work / "broken.py").write_text("def f():\n    return missing\n\nf()\n")
        status = ended(each, handle := submit(each, job))
        said = log(handle).replace(str(job.folder), "FOLDER").replace(job.request.id, "RUN")
        ends.append((status.code, status.signal, re.sub("0x[0-9a-f]{6,}", "0x", said)))
    return ends


@pytest.mark.parametrize("what", ENDS)
def test_a_forked_script_ends_as_one_that_was_started(
    what: str, backend: LocalBackend, make: Make
) -> None:
    cold, warm = both(backend, make, ENDS[what])
    assert warm == cold


@pytest.mark.parametrize("what", LOOKS)
def test_a_forked_script_sees_what_one_sees_that_was_started(
    what: str, backend: LocalBackend, make: Make
) -> None:
    cold, warm = both(backend, make, LOOKS[what], arguments=("a b", "--c=d", ""))
    assert warm == cold
    assert warm[0] == 0, warm[2]


STREAMS = """
    import sys
    for each in (sys.stdin, sys.stdout, sys.stderr, sys.__stdout__):
        print(each.name, each.mode, each.encoding, each.errors, each.line_buffering)
        print(each.write_through, each.seekable(), each.buffer, each.newlines)
    print(sys.stdout.tell(), sys.stdout.buffer.tell(), file=sys.stderr)
    """

SURROUNDINGS = {
    "its variables": "import os; print(sorted(os.environ.items()), os.environb[b'PATH'])",
    "those of its children": "import os; os.system('env | grep -v ^_= | sort')",
    "what /proc shows of them": """
        text = open('/proc/self/environ').read()
        print(sorted(line for line in text.split('\\0') if line))
        """,
    "its folder": "import os; print(os.getcwd(), os.listdir(), os.path.realpath('.'))",
    "its path": "import sys; print(sys.path, sys.executable, sys.prefix)",
    "its own command line": "import sys; print(sys.argv, getattr(sys, 'orig_argv', None))",
    "its files": """
        import os
        for number in sorted(map(int, os.listdir('/proc/self/fd'))):
            try:
                print(number, os.readlink(f'/proc/self/fd/{number}'), os.get_inheritable(number))
            except OSError:  # that of the listing itself
                pass
        """,
    "its streams": STREAMS,
    "its place in its session": """
        import os
        parent = os.getppid()
        print(os.getsid(0) == parent, os.getpgid(0) == os.getpid(), os.getpgid(parent) == parent)
        """,
    "its signal mask": """
        import signal
        print(signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.set_wakeup_fd(-1))
        """,
    "its limits": "import os, resource; print(resource.getrlimit(7), os.umask(0), os.nice(0))",
    "its garbage collector": "import gc; print(gc.isenabled(), gc.get_threshold())",
    "its terminal": """
        import os
        try:
            os.open('/dev/tty', 0)
        except OSError as error:
            print(error)
        """,
    "its recursion limit": """
        import sys
        def depth(n):
            try:
                return depth(n + 1)
            except RecursionError:
                return n
        print(sys.getrecursionlimit(), depth(0))
        """,
}


@pytest.mark.parametrize("what", SURROUNDINGS)
def test_a_forked_script_has_the_surroundings_of_one_that_was_started(
    what: str, backend: LocalBackend, make: Make
) -> None:
    cold, warm = both(backend, make, SURROUNDINGS[what], arguments=("a", "b"))
    assert warm == cold
    assert warm[0] == 0, warm[2]


@pytest.mark.parametrize(
    "variables",
    [{"PYTHONUNBUFFERED": "1"}, {"PYTHONIOENCODING": "latin-1:replace"}, {"LC_ALL": "POSIX"}],
    ids=str,
)
def test_a_forked_script_has_streams_as_its_variables_say(
    variables: dict[str, str], light: dict[str, str], make: Make
) -> None:
    cold, warm = both(Warm(), make, STREAMS, variables={**light, **variables})
    assert warm == cold
    assert warm[0] == 0, warm[2]


def test_what_was_written_to_a_file_that_was_never_closed_is_there(
    backend: LocalBackend, make: Make
) -> None:
    job = make("file = open('left', 'w')\nfile.write('all of it')")
    run(backend, job)
    assert (job.work / "left").read_text() == "all of it"


def test_two_jobs_share_no_state(backend: LocalBackend, make: Make) -> None:
    text = """
        import papermill, random, tempfile, uuid
        print(getattr(papermill, 'left_here', 'nothing'))
        papermill.left_here = 'something'
        print(random.random(), next(tempfile._get_candidate_names()), uuid.uuid4())
        """
    first, second = (run(backend, make(text)).split() for _ in range(2))
    assert first[0] == second[0] == "nothing"
    assert all(one != other for one, other in zip(first[1:], second[1:], strict=True))


def test_a_daemon_that_only_forked_is_found_wherever_it_went(
    backend: LocalBackend, make: Make
) -> None:
    text = """
        import os, time
        if not os.fork():
            os.setsid()
            print('up', os.getpid(), flush=True)
        time.sleep(60)
        """
    handle = submit(backend, make(text))
    daemon = int(until(lambda: re.search(r"up (\d+)\n", log(handle)))[1])
    assert daemon in backend.processes([handle])[0]
    backend.cancel(handle, force=True)
    until(lambda: not is_running(daemon))


def test_what_was_imported_is_there_and_nothing_runs_beside(
    backend: LocalBackend, make: Make
) -> None:
    text = """
        import os, sys
        there = {'papermill', 'nbclient', 'nbformat', 'zmq', 'ipykernel', 'IPython', 'tornado'}
        print(sorted(there - set(sys.modules)), 'matplotlib' in sys.modules)
        import asyncio, zmq
        print(zmq.Context._instance, asyncio._get_running_loop())
        """
    assert run(backend, make(text)) == "[] False\nNone None\n"


@pytest.mark.parametrize("python", PYTHONS.values(), ids=PYTHONS)
def test_every_python_from_3_8_on_will_do(python: str, light: dict[str, str], make: Make) -> None:
    """With stand-ins for the packages, which these Pythons need not have."""
    cold, warm = both(Warm(), make, OLD_AND_NEW, interpreter=python, variables=light)
    assert warm == cold
    assert warm[0] == 1
    handle = submit(backend := Warm(), make(SLEEPS, light, interpreter=python))
    assert is_warm(parent_of(handle))
    backend.cancel(handle, force=True)


# Many, and what differs between them ----------------------------------------------------------


def test_jobs_that_start_together_come_from_one_process(
    alone: LocalBackend, light: dict[str, str], make: Make
) -> None:
    handles: list[Handle] = []
    jobs = [make(SLEEPS, {**light, "CUDA_VISIBLE_DEVICES": str(n)}) for n in range(6)]
    threads = [
        threading.Thread(target=lambda job=job: handles.append(submit(alone, job))) for job in jobs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({handle["launcher"]["pid"] for handle in handles}) == len(jobs)
    parents = {parent_of(handle) for handle in handles}
    assert len(parents) == 1
    assert is_warm(parents.pop())


def test_what_matters_to_an_import_has_a_process_of_its_own(
    alone: LocalBackend, light: dict[str, str], make: Make
) -> None:
    one, other = (
        submit(alone, make(SLEEPS, {**light, "TQDM_NCOLS": columns})) for columns in ("1", "2")
    )
    assert parent_of(one) != parent_of(other)


def test_at_most_a_few_are_kept(alone: LocalBackend, light: dict[str, str], make: Make) -> None:
    parents = []
    for number in range(5):
        job = make(SLEEPS, {**light, "NUMBER": str(number)})
        parents.append(parent_of(submit(alone, job)))
    until(lambda: [parent.is_running() for parent in parents] == [False, False, True, True, True])


def test_a_path_that_is_meant_from_the_jobs_folder_is_kept_so(
    backend: LocalBackend, make: Make
) -> None:
    job = make("import sys; print(sys.path)", variables={"PYTHONPATH": "lib:"})
    assert repr(str(job.work / "lib")) in run(backend, job)
    assert WarmInterpreters().launch(backend.plan(job)) is None


# Whoever is killed ----------------------------------------------------------------------------


def test_jobs_go_on_when_the_process_is_killed_that_they_come_from(
    alone: LocalBackend, light: dict[str, str], make: Make
) -> None:
    text = "import os, time\nprint('up', flush=True)\nwhile not os.path.exists('go'):"
    text += "\n    time.sleep(0.01)\nraise SystemExit(5)"
    job = make(text, light)
    handle = submit(alone, job)
    is_up(handle)
    parent = parent_of(handle)
    parent.kill()
    until(lambda: not parent.is_running())
    assert alone.poll([handle])[0].phase == JobStatus.RUNNING
    later = submit(alone, make("print('up')", light))
    (job.work / "go").touch()
    assert ended(alone, handle).code == 5
    assert ended(alone, later).code == 0


def test_a_job_whose_request_is_never_answered_is_started_the_usual_way_and_once(
    light: dict[str, str], make: Make
) -> None:
    backend = Warm(WarmInterpreters(answers_within=0.5))
    parent = parent_of(submit(backend, make(SLEEPS, light)))
    parent.suspend()
    job = make("open('started', 'a').write('x')\nprint('done')", light)
    assert run(backend, job) == "done\n"
    assert (job.work / "started").read_text() == "x"
    until(lambda: not parent.is_running())


def test_what_does_not_become_warm_in_time_is_not_used(tmp_path: Path, make: Make) -> None:
    hang = "import sys, time\nif 'warm.py' in ''.join(sys.orig_argv): time.sleep(60)"
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/sitecustomize.py").write_text(hang)
    variables = {"PYTHONPATH": str(tmp_path / "lib")}
    backend, before = Warm(WarmInterpreters(ready_within=0.5)), warm_ones()
    for _ in range(2):
        assert run(backend, make("print('done')", variables)) == "done\n"
    until(lambda: not warm_ones() - before)


RUNNER_SIDE = """
    import json, sys, time
    from pathlib import Path
    from aml_jupyter.backends import Job
    from aml_jupyter.backends.local import LocalBackend
    from aml_jupyter.spec import RunRequest

    class Warm(LocalBackend):
        def starts_slowly(self, job):
            return True

    facts = json.loads(sys.argv[1])
    request = RunRequest.from_json(facts["request"])
    folder, bundle = Path(facts["folder"]), Path(facts["bundle"])
    job = Job(request, request.job, folder, bundle, facts["environment"])
    backend = Warm()
    print(json.dumps(dict(backend.submit(backend.plan(job)))), flush=True)
    time.sleep(60)
    """


def test_a_job_goes_on_when_who_started_it_is_killed_and_what_was_warm_ends(
    light: dict[str, str], make: Make
) -> None:
    job = make("import time\nprint('up', flush=True)\ntime.sleep(1.5)\nraise SystemExit(3)", light)
    facts = {
        "request": job.request.to_json(),
        "folder": str(job.folder),
        "bundle": str(job.bundle),
        "environment": dict(job.environment),
    }
    command = [sys.executable, "-c", textwrap.dedent(RUNNER_SIDE), json.dumps(facts)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as runner:
        assert runner.stdout is not None
        handle = json.loads(runner.stdout.readline())
        is_up(handle)
        parent = parent_of(handle)
        runner.kill()
    until(lambda: not is_running(parent.pid))
    other = Cold()
    assert other.poll([handle])[0].phase == JobStatus.RUNNING
    assert ended(other, handle).code == 3


def test_whoever_waits_for_children_hears_of_the_end_of_a_job(
    backend: LocalBackend, make: Make
) -> None:
    heard = []
    before = signal.signal(signal.SIGCHLD, lambda *_: heard.append(time.monotonic()))
    try:
        handle = submit(backend, make("print('done')"))
        ended(backend, handle)
        until(lambda: heard, 2)
    finally:
        signal.signal(signal.SIGCHLD, before)


# Ends of what is warm -------------------------------------------------------------------------


def test_it_ends_when_it_has_had_nothing_to_do_for_long_and_the_next_job_has_another(
    alone: LocalBackend, light: dict[str, str], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_WARM_IDLE_SECONDS", "0.5")
    handle = submit(alone, make(SLEEPS, light))
    is_up(handle)
    parent = parent_of(handle)
    time.sleep(1)
    assert parent.is_running()  # its memory is in use: this is not idleness
    alone.cancel(handle, force=True)
    assert ended(alone, handle).signal == 9
    until(lambda: not psutil.pid_exists(parent.pid))  # and nothing is left of it to be reaped
    again = submit(alone, make(SLEEPS, light))
    assert is_warm(parent_of(again))


def test_no_zombie_is_left_of_a_job(alone: LocalBackend, light: dict[str, str], make: Make) -> None:
    handle = submit(alone, make(SLEEPS, light))
    parent = parent_of(handle)
    for _ in range(5):
        run(alone, make("print('done')", light))
    until(lambda: [child.pid for child in parent.children()] == [handle["launcher"]["pid"]])


def test_packages_that_changed_are_imported_anew(
    tmp_path: Path, alone: LocalBackend, make: Make
) -> None:
    library = tmp_path / "lib"
    shutil.copytree(Path(nbclient.__file__).parent, library / "nbclient")
    variables = {"PYTHONPATH": str(library)}
    first, same = (submit(alone, make(SLEEPS, variables)) for _ in range(2))
    assert parent_of(first) == parent_of(same)
    (library / "another.py").touch()
    later = submit(alone, make(SLEEPS, variables))
    until(lambda: not is_warm(parent_of(first)))
    assert is_warm(parent_of(later))


# What cannot be warm --------------------------------------------------------------------------


def test_without_papermill_a_job_is_started_the_usual_way(tmp_path: Path, make: Make) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    backend, before = Warm(), warm_ones()
    for _ in range(2):
        job = make("print('done')", interpreter=str(tmp_path / "venv/bin/python"))
        assert run(backend, job) == "done\n"
    until(lambda: not warm_ones() - before)


def test_an_interpreter_that_is_not_there_is_said_as_ever(
    backend: LocalBackend, make: Make
) -> None:
    with pytest.raises(ExperimentExecutionException, match="/no/such/python"):
        submit(backend, make("print(1)", interpreter="/no/such/python"))


def test_a_folder_that_is_gone_is_said_as_ever(backend: LocalBackend, make: Make) -> None:
    job = make("print(1)")
    shutil.rmtree(job.work)
    with pytest.raises(ExperimentExecutionException, match="could not be started"):
        submit(backend, job)


def test_only_a_notebook_is_worth_it(make: Make) -> None:
    backend = LocalBackend()
    assert not backend.starts_slowly(make("print(1)"))
    assert not backend.starts_slowly(make("", script=None, command="true"))
    assert backend.starts_slowly(make("{}", notebook=NotebookSpec()))


# Notebooks ------------------------------------------------------------------------------------


def notebook(*cells: str) -> str:
    """A notebook with these cells."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.metadata.kernelspec = {"name": "python3", "display_name": "", "language": "python"}
    return str(nbformat.writes(made))


def submit_notebook(to: Experiment, *cells: str) -> Run:
    source = to.workspace.folder.project.parent / f"source-{os.urandom(3).hex()}"
    source.mkdir()
    (source / "report.ipynb").write_text(notebook(*cells))
    return to.submit(ScriptRunConfig(str(source), script="report.ipynb"))


def count_and_wait(place: Path) -> tuple[str, str]:
    """Cells that tell how often they are executed, and wait for a file ``go``."""
    wait = f"import os, time\nwhile not os.path.exists({str(place / 'go')!r}): time.sleep(0.01)"
    return f"open({str(place / 'started')!r}, 'a').write('x')", wait


def test_a_notebook_is_forked_by_its_runner_and_ends_as_it_should(
    experiment: Experiment,
) -> None:
    good = submit_notebook(experiment, "x = 20", "print('sum', x + 1)")
    bad = submit_notebook(experiment, "import os; print(os.getsid(0), flush=True)", "1 / 0")
    assert finish(good, 60)["status"] == "Completed"
    assert finish(bad, 60)["status"] == "Failed"
    executed = nbformat.read(good.folder / "outputs/report.ipynb", 4)
    assert executed.cells[1].outputs[0].text == "sum 21\n"
    going_on = submit_notebook(experiment, "print('up')\nimport time; time.sleep(60)")
    until(lambda: "up" in log_of(going_on), 30)
    parent = psutil.Process(psutil.Process(launcher_of(going_on)).ppid())
    assert is_warm(parent)
    assert parent.ppid() == runner_pid()
    going_on.cancel()
    assert finish(going_on)["status"] == "Canceled"
    assert_no_orphans(experiment.workspace.folder.project)


def test_a_notebook_goes_on_when_its_runner_is_killed(
    experiment: Experiment, tmp_path: Path
) -> None:
    run = submit_notebook(experiment, *count_and_wait(tmp_path))
    until((tmp_path / "started").exists, 60)
    kill_runner()
    later = submit_notebook(experiment, "print('later')")  # which takes another runner
    assert finish(later, 60)["status"] == "Completed"
    (tmp_path / "go").touch()
    assert finish(run)["status"] == "Completed"
    assert (tmp_path / "started").read_text() == "x"


def test_a_runner_killed_while_an_interpreter_becomes_warm_loses_and_doubles_nothing(
    experiment: Experiment, tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    run = submit_notebook(experiment, *count_and_wait(tmp_path))
    until(lambda: "Starting" in states_of(run), 30)
    kill_runner()
    other = submit_notebook(experiment, "print('other')")
    assert finish(run, 60)["status"] == "Completed"
    assert finish(other, 60)["status"] == "Completed"
    assert (tmp_path / "started").read_text() == "x"
