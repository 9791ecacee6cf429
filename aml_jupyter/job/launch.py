"""Runs one job and writes down how it ended, whoever else is alive.

Two processes, one start of the interpreter. The first claims the run, forks, waits, and records
the exit status: it needs neither the runner nor a free disk block to do so. The second becomes
the user's program: a script runs in this interpreter exactly as under ``python script.py``, a
command by a shell, a notebook by the room ``nbjob`` beside this one.

Where there are several processes, the second waits for those that :mod:`.ranks` starts, each of
which becomes the user's program.

``start.py RUN_FOLDER script train.py ARGUMENTS…``, ``start.py RUN_FOLDER command TEXT``  or
``start.py RUN_FOLDER notebook report.ipynb``

In a container of its own (:data:`CONTAINED`) the first process also writes the log, which nobody
else could keep when the engine ends, passes signals on to all processes, and notes what ended
them. Asked again in a container that is kept, it becomes a shell there.
"""

from __future__ import annotations

# `signal` itself would import `enum`, which costs milliseconds.
import _signal  # type: ignore[import-not-found]
import os
import sys
from time import sleep, time

from .layout import CLAIM, DRIVER_LOG, EXIT, OUTCOME, search_path
from .process import boot_id, identity, started_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

CONTAINED = "AML_CONTAINER"
"""The variable that tells the launcher it is in a container of its own; not for the job."""

KEPT = "kept"
"""Its value when the container is kept after the job."""

REMOTE = "AML_REMOTE"
"""The variable that is set where the run's folder is a copy, whose changes are fetched."""

SEVERAL = "AML_PROCESSES"
"""The variable that tells of several processes, which :mod:`.ranks` starts; not for the job."""

_ALLOCATED = 4096
_FLUSH_EVERY = 0.1
_ERROR_LIMIT = 20_000
_FOR_THE_JOB = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)
_COUNTS_OF_KILLS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


def main(arguments: list[str]) -> None:
    """Run the job described by ``arguments`` if nobody else has claimed it."""
    folder, kind, target = arguments[:3]
    contained, remote = os.environ.pop(CONTAINED, ""), os.environ.pop(REMOTE, "")
    several = os.environ.pop(SEVERAL, "")
    log = _open_log(folder) if contained else None
    if not _claim(folder):
        if contained == KEPT:
            os.execv("/bin/sh", ["/bin/sh"])
        return
    if log is not None:
        _settle(log)
    report = _allocate(os.path.join(folder, EXIT))
    # Signals meant for the job reach the whole session; this process stays to tell the end.
    signals = (*_FOR_THE_JOB, _signal.SIGCHLD) if contained else _FOR_THE_JOB
    former = _signal.pthread_sigmask(_signal.SIG_BLOCK, signals)
    job = os.fork()
    if job:
        _supervise(job, report, bool(contained))
        if remote:
            _note_changes(folder)
        os._exit(0)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, former)
    os.setpgid(0, 0)
    os.close(report)
    outcome, arguments = os.path.join(folder, OUTCOME), arguments[3:]
    if several:
        from .ranks import enter

        rank = enter(folder, several)
        outcome, arguments = os.path.join(folder, rank.outcome), rank.expanded(arguments)
    if kind == "command":
        os.execv("/bin/sh", ["/bin/sh", "-c", target])
    if kind == "notebook":
        _run_notebook(folder, target)
    else:
        _run_script(outcome, target, arguments)


# The process that waits ----------------------------------------------------------------------


def _claim(folder: str) -> bool:
    """Whether this process is the one that may start the run.

    The claim appears whole and only once, so that a runner killed between starting a launcher
    and writing it down cannot lead to a second job.
    """
    path = os.path.join(folder, CLAIM)
    aside = f"{path}.{os.getpid()}"
    with open(aside, "w") as file:
        file.write(f'{{{_who()},"t":{time()!r}}}')
    try:
        os.link(aside, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(aside)
    return True


def _who() -> str:
    """What :func:`.process.identity` says of this process, without an import of ``json``."""
    return f'"pid":{os.getpid()},"started":{started_at(os.getpid()) or 0},"boot":"{boot_id()}"'


def _allocate(path: str) -> int:
    """Take the room for a small file now, so that a full disk cannot lose it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    os.write(file, b" " * _ALLOCATED)
    return file


def _supervise(job: int, report: int, contained: bool) -> None:
    status, also = _wait_in_container(job) if contained else (_wait(job), "")
    code = str(os.WEXITSTATUS(status)) if os.WIFEXITED(status) else "null"
    number_text = str(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else "null"
    text = f'{{"code":{code},"signal":{number_text},"t":{time()!r}{also}}}'
    os.pwrite(report, text.encode().ljust(_ALLOCATED), 0)


def _wait(job: int) -> int:
    while True:
        try:
            return os.waitpid(job, 0)[1]
        except InterruptedError:
            continue


# … and in a container ------------------------------------------------------------------------


def _open_log(folder: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    return os.open(os.path.join(folder, DRIVER_LOG), flags, 0o644)


def _settle(log: int) -> None:
    """From here on all is as for a local job: no input, a file to write to, ours to import."""
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for source, stream in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, stream)
    os.close(nothing)
    os.close(log)
    # The image may have a path of its own; who started the container could not know it.
    os.environ["PYTHONPATH"] = search_path(os.environ.get("PYTHONPATH"), sys.path[0])


def _wait_in_container(job: int) -> tuple[int, str]:
    """How the job ended, and what else is to be told of it."""
    # The init process hands signals to this process alone, wherever they came from.
    alone = os.getppid() in (0, 1)
    also = ""
    while True:
        number = _signal.sigwait((*_FOR_THE_JOB, _signal.SIGCHLD))
        if number != _signal.SIGCHLD:
            also = f',"stopped":{number}'
            if alone:
                _tell_all(number)
            continue
        ended, status = os.waitpid(job, os.WNOHANG)
        if ended:
            return status, also + (',"out_of_memory":true' if status and _killed_any() else "")


def _tell_all(number: int) -> None:
    """Hand a signal to every other process here; those that are stopped shall hear it, too."""
    for each in (number, _signal.SIGCONT):
        try:
            os.kill(-1, each)
        except OSError:  # there is no other, or it is no process of ours
            continue


def _note_changes(folder: str) -> None:
    from .courier import note_changes

    note_changes(folder)


def _killed_any() -> bool:
    """Whether the kernel ended a process of this container because memory ran out."""
    for path in _COUNTS_OF_KILLS:
        try:
            with open(path, encoding="ascii") as file:
                counts = dict(line.split()[:2] for line in file)
        except (OSError, ValueError):
            continue
        return counts.get("oom_kill", "0") != "0"
    return False


# The process that is the user's --------------------------------------------------------------


def _run_script(outcome: str, script: str, arguments: list[str]) -> None:
    """Become ``python script arguments…``; how it ended is noted in the file ``outcome``."""
    path = os.path.abspath(script) if sys.version_info >= (3, 9) else script
    sys.argv = [script, *arguments]
    # v1 has the working directory on the path too; the script's own comes first, as in Python.
    bundle, here, root = sys.path[0], os.path.dirname(os.path.abspath(script)), os.getcwd()
    sys.path[:1] = [here] if here == root else [here, root]
    if bundle not in sys.path:
        sys.path.append(bundle)
    _run_program(outcome, lambda: _execute(path))


def _run_notebook(folder: str, notebook: str) -> None:
    """Execute the notebook as the run's request says."""

    def execute() -> None:
        from importlib import import_module

        import_module("aml_jupyter.nbjob.main").execute(folder, notebook)

    _run_program(os.path.join(folder, OUTCOME), execute)


def _run_program(outcome: str, program_body: Callable[[], None]) -> None:
    """Be the user's program, and note in the file ``outcome`` what ended it."""
    os.close(_allocate(outcome))
    _keep_flushing()
    _answer_to_azureml()
    code, program, told = 0, os.getpid(), False
    try:
        program_body()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    except BaseException as error:  # whatever ends the program ends here
        code, told = 1, True
        _report(outcome if os.getpid() == program else "", error)
        if type(error) is KeyboardInterrupt:
            # Python then ends by the signal itself; it has been printed, though.
            sys.excepthook = lambda *_: None
            raise
    finally:
        # A child that the program forked may come out here too; only one process tells.
        if os.getpid() == program and not told:
            _write_outcome(outcome, lambda _: f'{{"code":{code},{_who()}}}')
    if code:
        sys.exit(code)


def _answer_to_azureml() -> None:
    """Let ``import azureml.core`` find ours in this process; others see to it at their start."""
    __import__("aml_jupyter.compat")  # by name: `job` imports no other room
    sys.modules["aml_jupyter.compat"].install()


def _execute(path: str) -> None:
    """Run the file as ``__main__``; our own frame is the only one above the script's."""
    with open(path, "rb") as file:
        source = file.read()
    program = type(sys)("__main__")
    program.__file__ = path
    program.__builtins__ = sys.modules["builtins"]  # type: ignore[attr-defined]
    program.__dict__.update(__cached__=None, __package__=None)
    kind_of_file: Any = type(sys.modules[__name__].__loader__)
    program.__loader__ = kind_of_file("__main__", path)
    if sys.version_info < (3, 14):
        program.__annotations__ = {}
    sys.modules["__main__"] = program
    exec(compile(source, path, "exec", dont_inherit=True), program.__dict__)


def _report(outcome: str, error: BaseException) -> None:
    """Print the error as Python would, without the launcher's frames, and keep it."""
    trace = _without_launcher(error.__traceback__)
    error = error.with_traceback(trace)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        pass
    try:
        sys.excepthook(type(error), error, trace)
    except Exception as broken:  # noqa: BLE001 - a hook of the program's must not hide its error
        broken.__context__ = None
        sys.stderr.write("Error in sys.excepthook:\n")
        broken = broken.with_traceback(_without_launcher(broken.__traceback__))
        sys.__excepthook__(type(broken), broken, broken.__traceback__)
        sys.stderr.write("\nOriginal exception was:\n")
        sys.__excepthook__(type(error), error, trace)
    if outcome:
        _write_outcome(outcome, lambda limit: _describe(error, trace, limit))


def _without_launcher(trace: Any) -> Any:
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


def _describe(error: BaseException, trace: Any, limit: int) -> str:
    import json
    import traceback

    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - the class is the program's own
        message = f"<{type(error).__name__} that cannot be shown>"
    lines = traceback.format_exception(type(error), error, trace)
    frames = traceback.extract_tb(trace)
    where = frames[-1] if frames else None
    told: Any = {
        "type": type(error).__name__,
        "message": message,
        "traceback": "".join(lines),
        "file": where.filename if where else getattr(error, "filename", None),
        "line": where.lineno if where else getattr(error, "lineno", None),
    }
    # What executes a notebook tells of the cell's error, not of its own.
    told.update(getattr(error, "aml_outcome", {}))
    told.update(message=told["message"][:limit], traceback=told["traceback"][-limit:])
    return json.dumps({**identity(), "code": 1, **told})


def _write_outcome(path: str, describe: Callable[[int], str]) -> None:
    """What the program itself says of its end; the exit status counts, this explains it."""
    try:
        with open(f"{path}.tmp", "w", encoding="utf-8") as file:
            file.write(describe(_ERROR_LIMIT))
        os.replace(f"{path}.tmp", path)
    except OSError:
        _overwrite(path, describe)


def _overwrite(path: str, describe: Callable[[int], str]) -> None:
    """On a full disk there still is the room that was taken at the start."""
    for limit in (600, 60):
        text = describe(limit).encode()
        if len(text) <= _ALLOCATED:
            try:
                os.unlink(f"{path}.tmp")
                with open(path, "r+b") as file:
                    file.write(text.ljust(_ALLOCATED))
            except OSError:  # not even that: the log has the traceback, if it had room
                pass
            return


def _keep_flushing() -> None:
    """Let the log show prints within a tenth of a second without a ``write`` for each line.

    A thread below ``threading``'s notice does it. It ends when the program forks for the first
    time: a fork among threads is dangerous, and Python 3.12 warns of it. It ends before Python
    does, too, which would abort if the thread were just flushing.
    """
    from _thread import allocate_lock, get_native_id, start_new_thread

    streams = [stream for stream in (sys.stdout, sys.stderr) if stream is not None]
    alive, go_on, thread = allocate_lock(), allocate_lock(), [0]

    def keep_flushing() -> None:
        thread[0] = get_native_id()
        while streams and not go_on.acquire(True, _FLUSH_EVERY):
            streams[:] = [stream for stream in streams if _flush(stream)]
        alive.release()

    def end_thread() -> None:
        if not go_on.locked():
            return
        go_on.release()
        with alive:
            pass
        # The thread's last line of Python is not yet its end.
        for _ in range(100):
            if not os.path.exists(f"/proc/self/task/{thread[0]}"):
                return
            sleep(0.0001)

    import atexit

    atexit.register(end_thread)
    go_on.acquire()
    alive.acquire()
    start_new_thread(keep_flushing, ())
    os.register_at_fork(before=end_thread, after_in_parent=lambda: _write_lines(streams))


def _flush(stream: Any) -> bool:
    """Flush, and tell whether it is worth trying again later."""
    try:
        stream.flush()
    except ValueError:  # the program closed it
        return False
    except OSError:  # a full disk is told to the program at its own next write
        return True
    return True


def _write_lines(streams: list[Any]) -> None:
    """From here on, write each line when it is complete."""
    while streams:
        try:
            streams.pop().reconfigure(line_buffering=True)
        except (OSError, ValueError):
            continue
