"""What every backend promises, as tests that start real jobs."""

# ruff: noqa: D102 - the name of a test is its sentence

from __future__ import annotations

import json
import os
import sys
import textwrap
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ..backends import Backend, Handle, Job, JobStatus
from ..errors import AmlError, UserErrorException
from ..home import home
from ..job import layout
from ..job.run import Run
from ..spec import JobSpec, RunRequest
from ..store import WorkspaceFolder, snapshots
from ..store.objects import Objects

SLEEPS = "import time\nprint('up', flush=True)\ntime.sleep(120)"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPS

Start = Callable[..., tuple[Job, Handle]]


class BackendContract(ABC):
    """Subclass it, name the subclass ``Test…``, and define :meth:`make_backend`.

    ``patience`` is how many seconds a job may take to start or to end. A backend that needs more
    of a job than its script, such as an image, is given it by :meth:`job_defaults`.
    """

    patience = 20.0

    @abstractmethod
    def make_backend(self) -> Backend:
        """A backend as the runner would make it; called several times in a test.

        Two of them share nothing but what is on disk and in the system behind them.
        """

    def job_defaults(self) -> dict[str, Any]:
        """The fields that the suite's jobs have in common, as :class:`JobSpec` names them.

        ``options`` are those of a target, which :meth:`Backend.probe` is asked about, too.
        """
        return {"interpreter": sys.executable}

    def job_environment(self) -> dict[str, str]:
        """The variables of who submits the suite's jobs."""
        return dict(os.environ)

    @pytest.fixture
    def backend(self) -> Backend:
        backend = self.make_backend()
        probe = backend.probe(self.job_defaults().get("options"))
        if not probe.usable:
            pytest.skip(f"{backend.name}: {probe.reason}; {probe.remedy}")
        return backend

    @pytest.fixture
    def workspace(self, tmp_path: Path) -> WorkspaceFolder:
        return WorkspaceFolder.create(tmp_path / "project")

    @pytest.fixture
    def start(self, backend: Backend, workspace: WorkspaceFolder) -> Iterator[Start]:
        """Starts a job from the text of a script, or with ``command=…``; ended by the test."""
        started: list[Handle] = []

        def begin(text: str = "", **spec: Any) -> tuple[Job, Handle]:
            job = self.make_job(workspace, text, **spec)
            handle = backend.submit(backend.plan(job))
            started.append(handle)
            return job, handle

        yield begin
        for handle in started:
            self.once(partial(self._is_stopped, backend, handle))
            backend.release(handle)

    def _is_stopped(self, backend: Backend, handle: Handle) -> bool:
        backend.cancel(handle, force=True)
        return backend.poll([handle])[0].ended

    def make_job(self, workspace: WorkspaceFolder, text: str, **spec: Any) -> Job:
        """A job as the runner makes it, its working directory laid out, not yet started."""
        files = {"train.py": textwrap.dedent(text).encode(), "data/input.txt": b"21"}
        snapshot = snapshots.take(None, Objects(workspace.objects), files=files)
        spec = {**self.job_defaults(), **spec}
        if "command" not in spec:
            spec.setdefault("script", "train.py")
        job_spec = JobSpec(snapshot=snapshot.id, **spec)
        request = RunRequest(
            id=f"contract_{os.urandom(6).hex()}", experiment="contract", job=job_spec
        )
        folder = workspace.new_run(request.to_json())
        job = Job(request, job_spec, folder, home().bundle(), self.job_environment())
        job.work.mkdir()
        for name in (layout.OUTPUTS, layout.LOGS):
            (job.work / name).symlink_to(Path("..") / name)
        snapshots.lay_out(snapshot.id, Objects(workspace.objects), job.work)
        return job

    def ended(self, backend: Backend, handle: Handle) -> JobStatus:
        """The status of a job once it is over."""
        status: JobStatus = self.once(lambda: backend.poll([handle])[0], lambda now: now.ended)
        return status

    def once(self, look: Callable[[], Any], is_so: Callable[[Any], Any] = bool) -> Any:
        """What ``look`` returns as soon as it ``is_so``; the test fails if that takes too long."""
        until = time.monotonic() + self.patience
        while not is_so(found := look()):
            assert time.monotonic() < until, f"still {found!r} after {self.patience} s"
            time.sleep(0.02)
        return found

    def log(self, backend: Backend, handle: Handle) -> bytes:
        """All of the driver log, read piece by piece as a reader does."""
        text = b""
        while piece := backend.read(handle, layout.DRIVER_LOG, len(text), 7):
            text += piece
        return text

    def is_up(self, backend: Backend, handle: Handle) -> None:
        """Return when the script has said ``up``."""
        self.once(lambda: b"up" in self.log(backend, handle))

    # Being there

    def test_a_probe_says_what_is_missing(self) -> None:
        probe = self.make_backend().probe(self.job_defaults().get("options"))
        assert probe.usable or (probe.reason and probe.remedy)

    def test_it_has_a_name_and_capabilities(self, backend: Backend) -> None:
        assert backend.name
        assert backend.name == backend.name.lower()
        assert backend.capabilities is not None

    # Plans

    def test_a_plan_touches_nothing(self, backend: Backend, workspace: WorkspaceFolder) -> None:
        job = self.make_job(workspace, "print(1)")
        before = sorted(workspace.root.rglob("*"))
        plan = backend.plan(job)
        assert sorted(workspace.root.rglob("*")) == before
        assert plan.backend == backend.name

    def test_a_plan_can_be_shown(self, backend: Backend, workspace: WorkspaceFolder) -> None:
        job = self.make_job(workspace, "print(1)", arguments=("--lr", "a b"))
        shown = str(backend.plan(job))
        assert backend.name in shown
        assert "train.py" in shown
        assert "'a b'" in shown

    def test_the_same_job_gives_the_same_plan(
        self, backend: Backend, workspace: WorkspaceFolder
    ) -> None:
        job = self.make_job(workspace, "print(1)")
        assert backend.plan(job) == self.make_backend().plan(job)

    # Ends

    def test_a_script_runs_to_its_end(self, backend: Backend, start: Start) -> None:
        job, handle = start("print('hello')\nopen('outputs/model', 'w').write('m')")
        status = self.ended(backend, handle)
        assert (status.code, status.signal) == (0, None)
        assert status.since is not None
        assert self.log(backend, handle) == b"hello\n"
        assert backend.read(handle, "outputs/model") == b"m"
        assert (job.folder / "outputs/model").read_bytes() == b"m"

    def test_a_command_runs_to_its_end(self, backend: Backend, start: Start) -> None:
        _, handle = start(command="echo $(( $(cat data/input.txt) * 2 )) && exit 5")
        assert self.ended(backend, handle).code == 5
        assert self.log(backend, handle) == b"42\n"

    def test_an_exit_code_is_kept(self, backend: Backend, start: Start) -> None:
        _, handle = start("import sys; sys.exit(3)")
        status = self.ended(backend, handle)
        assert (status.code, status.signal) == (3, None)

    def test_an_exception_is_an_exit_code_and_in_the_log(
        self, backend: Backend, start: Start
    ) -> None:
        _, handle = start("1 / 0")
        assert self.ended(backend, handle).code == 1
        assert self.log(backend, handle).endswith(b"ZeroDivisionError: division by zero\n")

    def test_a_signal_is_told_from_an_exit_code(self, backend: Backend, start: Start) -> None:
        _, handle = start("import os; os.kill(os.getpid(), 9)")
        status = self.ended(backend, handle)
        assert (status.code, status.signal) == (None, 9)

    def test_a_job_that_cannot_start_is_an_error_or_an_end_and_never_silence(
        self, backend: Backend, workspace: WorkspaceFolder
    ) -> None:
        job = self.make_job(workspace, "print(1)", interpreter="/no/such/python")
        try:
            handle = backend.submit(backend.plan(job))
        except AmlError as error:
            refused = error
        else:
            assert self.ended(backend, handle).code != 0
            backend.release(handle)
            return
        assert "/no/such/python" in refused.message
        assert refused.hint

    # What a job is given

    def test_arguments_arrive_as_they_are(self, backend: Backend, start: Start) -> None:
        arguments = ("a b", "", "'", '"', "*", "ü", "new\nline", "--x=;", "`no`")
        _, handle = start("import json, sys; print(json.dumps(sys.argv))", arguments=arguments)
        self.ended(backend, handle)
        assert json.loads(self.log(backend, handle)) == ["train.py", *arguments]

    def test_variables_arrive_and_are_expanded_in_arguments(
        self, backend: Backend, start: Start
    ) -> None:
        text = "import os, sys; print(os.environ['COLOUR'], os.environ['AZUREML_RUN_ID'], sys.argv)"
        job, handle = start(
            text, arguments=("$COLOUR",), environment_variables={"COLOUR": "dark red"}
        )
        self.ended(backend, handle)
        expected = f"dark red {job.request.id} ['train.py', 'dark red']\n"
        assert self.log(backend, handle).decode() == expected

    def test_a_job_works_in_a_copy_of_its_source(self, backend: Backend, start: Start) -> None:
        _, handle = start("import os; print(sorted(os.listdir()), open('data/input.txt').read())")
        self.ended(backend, handle)
        assert self.log(backend, handle) == b"['data', 'logs', 'outputs', 'train.py'] 21\n"

    def test_a_job_can_log(self, backend: Backend, start: Start) -> None:
        text = """
            from aml_jupyter import Run
            run = Run.get_context()
            for n in range(3):
                run.log('x', float(n))
            run.tag('done', 'yes')
            """
        job, handle = start(text)
        assert self.ended(backend, handle).code == 0, self.log(backend, handle).decode()
        run = Run(str(job.folder))
        assert run.get_metrics() == {"x": [0.0, 1.0, 2.0]}
        assert run.tags == {"done": "yes"}

    # Once, and found again

    def test_submitting_again_finds_the_job_that_is_there(
        self, backend: Backend, workspace: WorkspaceFolder
    ) -> None:
        job = self.make_job(workspace, "import time\nprint('once', flush=True)\ntime.sleep(0.5)")
        handle = backend.submit(backend.plan(job))
        again = self.make_backend()
        second = again.submit(again.plan(job))
        assert self.ended(backend, handle).code == 0
        assert self.ended(again, second).code == 0
        assert self.log(backend, handle) == b"once\n"
        again.release(second)

    def test_the_folder_is_enough_to_find_a_job_that_has_begun(
        self, backend: Backend, start: Start
    ) -> None:
        """As for a runner that was killed between starting a job and noting its handle."""
        job, handle = start(SLEEPS)
        self.is_up(backend, handle)
        other, same = self.make_backend(), {"folder": str(job.folder)}
        assert other.poll([same])[0].phase == JobStatus.RUNNING
        assert other.cancel(same, force=True) is True
        assert self.ended(other, same).signal == 9

    # Letting go

    def test_a_job_that_was_let_go_of_has_the_same_end_and_the_same_log(
        self, backend: Backend, start: Start
    ) -> None:
        _, handle = start("print('done')\nraise SystemExit(6)")
        status = self.ended(backend, handle)
        for _ in range(2):
            backend.release(handle)
        assert backend.poll([handle]) == self.make_backend().poll([handle]) == [status]
        assert self.log(backend, handle) == b"done\n"
        assert backend.cancel(handle, force=True) is False

    def test_a_handle_is_json_and_enough_for_another_backend(
        self, backend: Backend, start: Start
    ) -> None:
        _, handle = start(
            "import time\nprint('up', flush=True)\ntime.sleep(0.5)\nraise SystemExit(4)"
        )
        self.is_up(backend, handle)
        other, same = self.make_backend(), json.loads(json.dumps(dict(handle)))
        assert other.poll([same])[0].phase == JobStatus.RUNNING
        assert self.ended(other, same).code == 4
        assert self.log(other, same) == b"up\n"

    # Polling

    def test_many_are_polled_at_once_and_in_order(self, backend: Backend, start: Start) -> None:
        handles = [start(f"raise SystemExit({code})")[1] for code in (1, 0, 2)]
        handles.insert(1, start(SLEEPS)[1])
        self.is_up(backend, handles[1])
        codes = self.once(
            lambda: [status.code for status in backend.poll(handles)],
            lambda codes: codes == [1, None, 0, 2],
        )
        assert codes == [1, None, 0, 2]
        phases = [status.phase for status in backend.poll(handles)]
        ended = JobStatus.ENDED
        assert phases == [ended, JobStatus.RUNNING, ended, ended]
        assert backend.poll([]) == []

    def test_the_end_of_a_job_does_not_change(self, backend: Backend, start: Start) -> None:
        _, handle = start("raise SystemExit(6)")
        status = self.ended(backend, handle)
        assert backend.poll([handle]) == [status]
        assert self.make_backend().poll([handle]) == [status]

    # Cancelling

    def test_cancel_lets_a_job_clean_up(self, backend: Backend, start: Start) -> None:
        text = """
            import signal, sys, time
            def leave(*_):
                print('leaving', flush=True)
                sys.exit(0)
            signal.signal(signal.SIGTERM, leave)
            print('up', flush=True)
            time.sleep(120)
            """
        _, handle = start(text)
        self.is_up(backend, handle)
        assert backend.cancel(handle) is True
        assert self.ended(backend, handle).code == 0
        assert self.log(backend, handle) == b"up\nleaving\n"

    def test_force_ends_what_ignores_a_polite_request(self, backend: Backend, start: Start) -> None:
        _, handle = start(STUBBORN)
        self.is_up(backend, handle)
        backend.cancel(handle)
        time.sleep(0.3)
        assert not backend.poll([handle])[0].ended
        backend.cancel(handle, force=True)
        assert self.ended(backend, handle).signal == 9

    def test_force_ends_every_process_of_the_job(self, backend: Backend, start: Start) -> None:
        text = """
            import subprocess, sys, time
            child = "import time; print('up', flush=True); time.sleep(120)"
            subprocess.Popen([sys.executable, '-c', child], start_new_session=True)
            time.sleep(120)
            """
        _, handle = start(text)
        self.is_up(backend, handle)
        backend.cancel(handle, force=True)
        self.ended(backend, handle)
        assert self.once(lambda: not backend.cancel(handle, force=True))

    def test_cancel_of_a_job_that_is_over_changes_nothing(
        self, backend: Backend, start: Start
    ) -> None:
        _, handle = start("raise SystemExit(6)")
        status = self.ended(backend, handle)
        assert backend.cancel(handle) is False
        assert backend.cancel(handle, force=True) is False
        assert backend.poll([handle]) == [status]

    # Processes

    def test_the_processes_of_each_job_are_told_in_order(
        self, backend: Backend, start: Start
    ) -> None:
        self.needs_processes(backend)
        text = "import os, time\nprint('up', os.getpid(), flush=True)\ntime.sleep(120)"
        handles = [start(text)[1] for _ in range(2)]
        pids = [self.numbers(backend, handle) for handle in handles]
        told = self.make_backend().processes(handles[::-1])
        assert [self.as_the_job_counts(each) for each in told] == pids[::-1]

    def test_what_a_job_started_is_of_it_wherever_it_went(
        self, backend: Backend, start: Start
    ) -> None:
        self.needs_processes(backend)
        text = """
            import os, subprocess, sys, time
            child = "import os, time; print('up', os.getppid(), os.getpid(), flush=True); "
            child += "time.sleep(120)"
            subprocess.Popen([sys.executable, '-c', child], start_new_session=True)
            time.sleep(120)
            """
        _, handle = start(text)
        pids = self.numbers(backend, handle)
        assert len(pids) == 2
        told = self.as_the_job_counts(backend.processes([handle])[0])
        assert sorted(told) == sorted(pids)

    def test_a_job_that_is_over_has_no_processes(self, backend: Backend, start: Start) -> None:
        _, handle = start("print(1)")
        self.ended(backend, handle)
        assert backend.processes([handle]) == [[]]

    def needs_processes(self, backend: Backend) -> None:
        """Skip what is only about backends whose jobs are processes of this machine."""
        if type(backend).processes is Backend.processes:
            pytest.skip("jobs of this backend are not processes of this machine")

    def as_the_job_counts(self, pids: list[int]) -> list[int]:
        """The same processes as the job knows them, which may live in a container."""
        counted = []
        for pid in pids:
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                return pids  # not Linux
            numbers = [line for line in status.splitlines() if line.startswith("NSpid:")]
            counted.append(int(numbers[0].split()[-1]) if numbers else pid)
        return counted

    def numbers(self, backend: Backend, handle: Handle) -> list[int]:
        """The numbers that the job said when it was up."""
        said: bytes = self.once(lambda: self.log(backend, handle), lambda log: log.endswith(b"\n"))
        return [int(word) for word in said.split()[1:]]

    # Reading

    def test_a_file_is_read_from_an_offset_and_no_further_than_asked(
        self, backend: Backend, start: Start
    ) -> None:
        _, handle = start("print('0123456789', end='')")
        self.ended(backend, handle)
        assert backend.read(handle, layout.DRIVER_LOG, 3, 4) == b"3456"
        assert backend.read(handle, layout.DRIVER_LOG, 8) == b"89"
        assert backend.read(handle, layout.DRIVER_LOG, 10) == b""
        assert backend.read(handle, layout.DRIVER_LOG, 1000) == b""

    def test_a_file_that_is_not_there_yet_is_empty(self, backend: Backend, start: Start) -> None:
        _, handle = start(SLEEPS)
        assert backend.read(handle, "outputs/later") == b""
        assert backend.read(handle, "outputs") == b""

    def test_a_log_is_read_while_it_is_written(self, backend: Backend, start: Start) -> None:
        if not backend.capabilities.live_logs:
            pytest.skip("logs of this backend are there at the end")
        _, handle = start(SLEEPS)
        self.is_up(backend, handle)
        assert not backend.poll([handle])[0].ended

    @pytest.mark.parametrize("path", ["../run.json", "outputs/../../x", ""])
    def test_nothing_outside_the_run_is_read(
        self, path: str, backend: Backend, start: Start
    ) -> None:
        _, handle = start("print(1)")
        with pytest.raises(UserErrorException):
            backend.read(handle, path)

    def test_binary_output_is_kept_byte_for_byte(self, backend: Backend, start: Start) -> None:
        _, handle = start("import sys; sys.stdout.buffer.write(bytes(range(256)) * 10)")
        self.ended(backend, handle)
        assert self.log(backend, handle) == bytes(range(256)) * 10
