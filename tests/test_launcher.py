"""A script in a run behaves as under ``python script.py``: compared with just that."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter.home import home
from aml_jupyter.job import layout, metrics
from aml_jupyter.job.launch import CONTAINED, KEPT
from aml_jupyter.job.run import REQUIRED_VARIABLES
from tests.support import VERSIONS, interpreter, processes_below, script, until


@dataclass(frozen=True)
class End:
    """How a program ended and all that it wrote."""

    out: bytes
    err: bytes
    code: int | None
    signal: int | None


class Launched:
    """A folder with a script that is run by Python alone and by the launcher."""

    def __init__(self, place: Path, text: str, python: str = sys.executable) -> None:
        self.work = place / "work"
        self.work.mkdir()
        self.python = python
        self.script = self.work / "train.py"
        self.script.write_bytes(textwrap.dedent(text).encode())
        self.run = place / "run"
        for below in ("job", "metrics"):
            (self.run / below).mkdir(parents=True)

    def alone(self, *arguments: str) -> End:
        """``python train.py arguments…``"""
        end = self._end([self.python, "train.py", *arguments])
        return End(*end[1:], *((end[0], None) if end[0] >= 0 else (None, -end[0])))

    def launched(self, *arguments: str, script: str = "train.py") -> End:
        """The same, the way a backend does it."""
        _, out, err = self._end(self.command("script", script, *arguments))
        told = self.exit()
        return End(out, err, told["code"], told["signal"])

    def command(self, *what: str) -> list[str]:
        """The command line that a backend makes for this run."""
        start = home().bundle() / "aml_jupyter/job/start.py"
        return [self.python, str(start), str(self.run), *what]

    def exit(self) -> dict[str, Any]:
        """What the launcher wrote down of the end."""
        told: dict[str, Any] = json.loads((self.run / layout.EXIT).read_text())
        return told

    def outcome(self) -> dict[str, Any]:
        """What the program wrote down of its end."""
        told: dict[str, Any] = json.loads((self.run / layout.OUTCOME).read_text())
        return told

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PYTHONPATH": str(home().bundle()),
            layout.FOLDER_VARIABLE: str(self.run),
        }

    def _end(self, command: list[str]) -> tuple[int, bytes, bytes]:
        out, err = self.run / "out", self.run / "err"
        with open(out, "wb") as stdout, open(err, "wb") as stderr:
            process = subprocess.Popen(
                command,
                cwd=self.work,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
            code = process.wait(30)
        return code, _masked(out), _masked(err)


def _masked(path: Path) -> bytes:
    """Without addresses of objects, which differ each time."""
    return re.sub(rb"0x[0-9a-f]{6,}", b"0x", path.read_bytes())


ENDS = {
    "a plain end": "print('done')",
    "an exception": "def f(x):\n    return 1 / x\n\nf(0)",
    "chained exceptions": """
        try:
            try:
                {}['missing']
            except KeyError as error:
                raise ValueError('first') from error
        except ValueError:
            raise RuntimeError('second')
        """,
    "a suppressed context": """
        try:
            1 / 0
        except ZeroDivisionError:
            raise OSError('only this') from None
        """,
    "an exception with a long message": "raise Exception('x' * 100000)",
    "an exception whose text cannot be made": """
        class Sly(Exception):
            def __str__(self):
                raise ValueError
        raise Sly
        """,
    "a syntax error": "x = 1\ny = = 2\n",
    "an indentation error": "if 1:\nx = 1\n",
    "an error in an imported module": "import broken\n",
    "sys.exit()": "import sys; sys.exit()",
    "sys.exit(0)": "import sys; sys.exit(0)",
    "sys.exit(3)": "import sys; sys.exit(3)",
    "sys.exit(-1)": "import sys; sys.exit(-1)",
    "sys.exit(256)": "import sys; sys.exit(256)",
    "sys.exit(True)": "import sys; sys.exit(True)",
    "sys.exit with a text": "import sys; sys.exit('no data')",
    "sys.exit with an object": "import sys; sys.exit([1, 2])",
    "raise SystemExit in a function": "def f():\n    raise SystemExit(7)\n\nf()",
    "os._exit": "import os; print('lost?', flush=True); os._exit(9)",
    "exit in a thread": """
        import sys, threading
        thread = threading.Thread(target=sys.exit, args=(5,))
        thread.start()
        thread.join()
        """,
    "an error in a thread": """
        import threading
        thread = threading.Thread(target=lambda: 1 / 0, name='worker')
        thread.start()
        thread.join()
        """,
    "a thread that outlives the main one": """
        import threading, time
        def late():
            time.sleep(0.2)
            print('late')
        threading.Thread(target=late).start()
        """,
    "atexit": "import atexit\natexit.register(print, 'bye')\n1 / 0",
    "an error in atexit": "import atexit\natexit.register(lambda: 1 / 0)",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "a fatal signal": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "abort": "import os; os.abort()",
    "a hook of its own": """
        import sys
        sys.excepthook = lambda kind, value, trace: print('hook', kind.__name__, trace.tb_lineno)
        1 / 0
        """,
    "a broken hook": "import sys\nsys.excepthook = None\n1 / 0",
    "a warning": "import warnings\nwarnings.warn('old')",
    "an exception after stdout was closed": "import sys\nsys.stdout.close()\n1 / 0",
    "binary output": r"import sys; sys.stdout.buffer.write(bytes(range(256)))",
    "text that cannot be encoded": r"print('\udcff')",
    "output without a newline": "print('half a line', end='')",
    "a changed directory": "import os; os.chdir('/'); print(os.getcwd(), __file__)\n1 / 0",
    "no traceback limit": "import sys; sys.tracebacklimit = 0\n1 / 0",
}


@pytest.mark.parametrize("what", ENDS)
def test_the_end_of_a_script_is_what_python_alone_makes_of_it(what: str, tmp_path: Path) -> None:
    job = Launched(tmp_path, ENDS[what])
    (job.work / "broken.py").write_text("def f():\n    return missing\n\nf()\n")
    assert job.launched() == job.alone()


@pytest.mark.parametrize("text", ["x = 1\0\n", "# -*- coding: nonsense -*-\nx = 1\n"])
def test_a_file_that_is_not_python_fails_as_such(text: str, tmp_path: Path) -> None:
    job = Launched(tmp_path, text)
    assert job.launched().code == 1
    assert job.outcome()["type"] == "SyntaxError"


def test_endless_recursion_ends_as_under_python_alone(tmp_path: Path) -> None:
    job = Launched(tmp_path, "def f():\n    f()\n\nf()")
    here, there = job.launched(), job.alone()
    # The launcher's few frames come off the limit.
    times = rb"repeated \d+ more"
    assert re.sub(times, b"", here.err) == re.sub(times, b"", there.err)
    assert here.code == 1


LOOKS = {
    "its module": "print(__name__, sorted(globals()), __file__, __doc__, __spec__, __package__)",
    "its docstring": "'''What it says.'''\nprint(__doc__)",
    "its loader": "print(type(__loader__), __loader__.name, __loader__.get_source('__main__'))",
    "its builtins": "print(__builtins__)",
    "sys.modules": """
        import sys
        import __main__
        print(sys.modules['__main__'] is __main__, vars(__main__) is globals())
        """,
    "its arguments": "import sys; print(sys.argv)",
    "its flags": "import sys; print(sys.flags, sys.executable)",
    "its frames": "import sys; print(sys._getframe().f_code.co_filename, __file__)",
    "its source": "import inspect\ndef f(): pass\nprint(inspect.getsource(f), inspect.getfile(f))",
    "its threads": "import threading as t; print(t.active_count(), len(t.enumerate()))",
    "annotations": "x: int = 1\nprint(__annotations__)",
    "no future of ours": "def f(x: int): pass\nprint(f.__annotations__)",
    "its signals": """
        import signal
        names = ('SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGCHLD', 'SIGPIPE')
        print([(name, signal.getsignal(getattr(signal, name))) for name in names])
        """,
    "standard streams": "import sys; print(sys.stdin.read(), sys.stdout.isatty(), sys.stdout)",
    "a pickle of a class of its own": """
        import pickle
        class Model:
            pass
        print(type(pickle.loads(pickle.dumps(Model()))) is Model, Model.__module__)
        """,
    "a dataclass with text annotations": """
        from __future__ import annotations
        import dataclasses, typing
        @dataclasses.dataclass
        class Point:
            x: int
        print(typing.get_type_hints(Point), Point(1))
        """,
    "a fork": """
        import os, sys
        print('before', flush=True)
        pid = os.fork()
        if not pid:
            print('child')
            sys.exit(4)
        print(os.waitpid(pid, 0)[1] >> 8)
        """,
    "a forked child that fails": """
        import os
        pid = os.fork()
        if not pid:
            1 / 0
        print(os.waitpid(pid, 0)[1] >> 8)
        """,
    "many forks": """
        import os
        for _ in range(20):
            pid = os.fork()
            if not pid:
                os._exit(0)
            os.waitpid(pid, 0)
        print('all')
        """,
    "processes forked": """
        import multiprocessing
        def square(x):
            return x * x
        if __name__ == '__main__':
            with multiprocessing.get_context('fork').Pool(2) as pool:
                print(pool.map(square, range(5)))
        """,
    "processes spawned": """
        import multiprocessing
        class Task:
            def __init__(self, x):
                self.x = x
        def square(task):
            return task.x * task.x
        if __name__ == '__main__':
            with multiprocessing.get_context('spawn').Pool(1) as pool:
                print(pool.map(square, [Task(2), Task(3)]))
        """,
}


@pytest.mark.parametrize("what", LOOKS)
def test_a_script_sees_what_it_sees_under_python_alone(what: str, tmp_path: Path) -> None:
    job = Launched(tmp_path, LOOKS[what])
    here, there = job.launched("a b", "--c=d", ""), job.alone("a b", "--c=d", "")
    assert here == there
    assert here.code == 0, here.err.decode()


# Those that this machine has, the one that runs the tests among them.
PYTHONS = {version: python for version in VERSIONS if (python := interpreter(version))}

OLD_AND_NEW = """
    import os, sys, threading, warnings
    x: int = 1
    print(sys.argv, sorted(globals()), __file__)
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    def f(x):
        try:
            return 1 / x
        except ZeroDivisionError as error:
            raise ValueError('chained') from error
    f(0)
    """


@pytest.mark.parametrize("python", PYTHONS.values(), ids=PYTHONS)
def test_every_python_from_3_8_on_will_do(python: str, tmp_path: Path) -> None:
    job = Launched(tmp_path, OLD_AND_NEW, python)
    assert job.launched("x") == job.alone("x")
    assert job.outcome()["type"] == "ValueError"


LOGS = """
    from aml_jupyter import Run
    run = Run.get_context()
    run.log('loss', 0.5)
    run.log('loss', 0.25)
    run.log('n', 3)
    run.log_list('l', [1, 2])
    run.tag('python', 'any')
    run.flush()
    print(type(run).__name__)
    """


@pytest.mark.parametrize("python", PYTHONS.values(), ids=PYTHONS)
def test_a_bare_python_of_any_version_can_log(python: str, tmp_path: Path) -> None:
    job = Launched(tmp_path, LOGS, python)
    (job.run / "run.json").write_text('{"format": 1, "id": "x", "experiment": "e"}')
    lines = "".join(f"os.environ[{name!r}] = 'x'\n" for name in REQUIRED_VARIABLES)
    script(job.work, "import os\n" + lines + textwrap.dedent(LOGS))
    end = job.launched()
    assert (end.out, end.err, end.code) == (b"_SubmittedRun\n", b"", 0)
    logged = metrics.read_all(str(job.run / "metrics"))
    assert {name: metrics.v1_shape(entries) for name, entries in logged.items()} == {
        "loss": [0.5, 0.25],
        "n": 3,
        "l": [1, 2],
    }


def test_the_error_is_kept_with_its_place_and_text(tmp_path: Path) -> None:
    job = Launched(tmp_path, "def f():\n    raise ValueError('bad data')\n\nf()\n")
    end = job.launched()
    outcome = job.outcome()
    assert outcome["type"] == "ValueError"
    assert outcome["message"] == "bad data"
    assert (outcome["file"], outcome["line"]) == (str(job.script), 2)
    assert outcome["traceback"] == end.err.decode()


def test_a_syntax_error_is_kept_with_its_place(tmp_path: Path) -> None:
    job = Launched(tmp_path, "x = 1\ny = = 2\n")
    job.launched()
    assert (job.outcome()["type"], job.outcome()["line"]) == ("SyntaxError", 2)


def test_a_script_in_a_folder_imports_from_beside_it_and_from_the_working_directory(
    tmp_path: Path,
) -> None:
    job = Launched(tmp_path, "")
    (job.work / "code").mkdir()
    (job.work / "code" / "main.py").write_text("import beside, above\nprint('both')\n")
    (job.work / "code" / "beside.py").write_text("")
    (job.work / "above.py").write_text("")
    end = job.launched(script="code/main.py")
    assert (end.out, end.code) == (b"both\n", 0)


def test_a_script_sees_prints_in_its_log_before_it_ends(tmp_path: Path) -> None:
    job = Launched(tmp_path, "import time\nprint('here')\ntime.sleep(30)")
    out = tmp_path / "out"
    with open(out, "wb") as file:
        process = subprocess.Popen(
            job.command("script", "train.py"),
            cwd=job.work,
            env=job.environment(),
            stdout=file,
            start_new_session=True,
        )
    until(lambda: out.read_bytes() == b"here\n", 5)
    for pid in processes_below(tmp_path):
        os.kill(pid, signal.SIGKILL)
    process.wait(5)


def test_a_second_launcher_of_the_same_run_leaves_without_a_trace(tmp_path: Path) -> None:
    job = Launched(tmp_path, "print('once')")
    assert job.launched().out == b"once\n"
    before = job.exit()
    assert job.launched().out == b""
    assert job.exit() == before


def test_many_launchers_at_once_start_one_job(tmp_path: Path) -> None:
    job = Launched(tmp_path, "open('started', 'a').write('x')")
    launchers = [
        subprocess.Popen(job.command("script", "train.py"), cwd=job.work, env=job.environment())
        for _ in range(6)
    ]
    assert [launcher.wait(20) for launcher in launchers] == [0] * 6
    assert (job.work / "started").read_text() == "x"


def test_signals_meant_for_the_session_leave_the_launcher_to_tell(tmp_path: Path) -> None:
    job = Launched(tmp_path, "import time\nprint('up', flush=True)\ntime.sleep(30)")
    out = tmp_path / "out"
    with open(out, "wb") as file:
        process = subprocess.Popen(
            job.command("script", "train.py"),
            cwd=job.work,
            env=job.environment(),
            stdout=file,
            start_new_session=True,
        )
    until(out.read_bytes)
    for pid in processes_below(tmp_path):
        os.kill(pid, signal.SIGTERM)
    process.wait(5)
    assert (job.exit()["code"], job.exit()["signal"]) == (None, signal.SIGTERM)


def test_a_command_is_run_by_a_shell(tmp_path: Path) -> None:
    job = Launched(tmp_path, "")
    out = tmp_path / "out"
    with open(out, "wb") as file:
        command = job.command("command", "echo one && (exit 3) || exit 4")
        subprocess.run(command, cwd=job.work, env=job.environment(), stdout=file, check=True)
    assert out.read_text() == "one\n"
    assert job.exit()["code"] == 4


def test_a_daemon_of_the_script_does_not_hold_the_launcher(tmp_path: Path) -> None:
    text = """
        import os, time
        if not os.fork():
            os.setsid()
            if os.fork():
                os._exit(0)
            time.sleep(30)
        os.wait()
        print('gone on')
        """
    job = Launched(tmp_path, text)
    start = time.monotonic()
    end = job.launched()
    assert (end.out, end.code) == (b"gone on\n", 0)
    assert time.monotonic() - start < 5
    for pid in processes_below(tmp_path):
        os.kill(pid, signal.SIGKILL)


def test_a_program_that_outlives_a_killed_launcher_tells_its_own_end(tmp_path: Path) -> None:
    job = Launched(tmp_path, "import time\nprint('up', flush=True)\ntime.sleep(0.5)\n1 / 0")
    out = tmp_path / "out"
    with open(out, "wb") as file:
        process = subprocess.Popen(
            job.command("script", "train.py"),
            cwd=job.work,
            env=job.environment(),
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    until(out.read_bytes)
    process.kill()
    process.wait(5)
    until(lambda: not processes_below(tmp_path))
    assert job.outcome()["type"] == "ZeroDivisionError"
    assert (job.run / layout.EXIT).read_text().strip() == ""


# In a container -----------------------------------------------------------------------------


def launch_contained(job: Launched, *what: str, value: str = "1") -> subprocess.Popen[bytes]:
    """The launcher as a container starts it, whose own output is nobody's log."""
    return subprocess.Popen(
        job.command(*what),
        cwd=job.work,
        env={**job.environment(), CONTAINED: value, "PYTHONPATH": "/theirs"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def test_in_a_container_the_launcher_keeps_the_log_itself(tmp_path: Path) -> None:
    text = """
        import os, sys
        print("out", repr(sys.stdin.read()), os.environ.get("AML_CONTAINER"))
        print(os.environ["PYTHONPATH"], file=sys.stderr)
        """
    job = Launched(tmp_path, text)
    log = job.run / layout.DRIVER_LOG
    log.parent.mkdir()
    with launch_contained(job, "script", "train.py") as process:
        assert process.communicate(b"not for the job") == (b"", None)
    path = layout.search_path("/theirs", str(home().bundle()))
    assert log.read_text() == f"{path}\nout '' None\n"
    assert (job.exit()["code"], job.exit()["signal"]) == (0, None)


def test_in_a_container_a_second_launcher_leaves_or_is_a_shell_if_it_is_kept(
    tmp_path: Path,
) -> None:
    job = Launched(tmp_path, "print('once')")
    (job.run / layout.DRIVER_LOG).parent.mkdir()
    said = []
    for value in ("1", "1", KEPT):
        with launch_contained(job, "script", "train.py", value=value) as process:
            said.append(process.communicate(b"echo shell; exit 4")[0])
    assert said == [b"", b"", b"shell\n"]
    assert process.returncode == 4
    assert (job.run / layout.DRIVER_LOG).read_text() == "once\n"


ALL_IN_A_NAMESPACE = """
import os, signal, subprocess, sys, time
bystander = subprocess.Popen(["sleep", "60"])
launcher = subprocess.Popen({between} + sys.argv[1:])
while not os.path.exists({claim!r}) or not os.path.exists("up"):
    time.sleep(0.01)
import json
os.kill(json.load(open({claim!r}))["pid"], signal.SIGTERM)
launcher.wait({patience})
print(bystander.poll())
"""


@pytest.mark.service("root")
@pytest.mark.parametrize(
    ("between", "bystander"),
    [([], -signal.SIGTERM), (["sh", "-c", '"$@" & wait', "sh"], None)],
    ids=["below the init process", "below another"],
)
def test_a_signal_is_passed_on_to_all_only_where_all_is_the_container(
    between: list[str], bystander: int | None, tmp_path: Path
) -> None:
    text = """
        import pathlib, signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
        pathlib.Path("up").touch()
        time.sleep(0.5)
        """
    job = Launched(tmp_path, text)
    (job.run / layout.DRIVER_LOG).parent.mkdir()
    code = ALL_IN_A_NAMESPACE.format(
        between=between, claim=str(job.run / layout.CLAIM), patience=20
    )
    apart = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    ended = subprocess.run(
        [*apart, sys.executable, "-c", code, *job.command("script", "train.py")],
        cwd=job.work,
        env={**job.environment(), CONTAINED: "1"},
        capture_output=True,
        check=True,
        timeout=40,
    )
    assert ended.stdout.decode() == f"{bystander}\n"
    assert job.exit()["stopped"] == signal.SIGTERM
    assert job.exit()["code"] == (3 if bystander else 0)
