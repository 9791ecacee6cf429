"""Runs one job and writes down how it ended, whoever else is alive.

Two processes, one start of the interpreter. The first claims the run, forks, waits, and records
the exit status: it needs neither the runner nor a free disk block to do so. The second becomes
the user's program: a script runs in this interpreter exactly as under ``python script.py``, a
command by a shell.

``start.py RUN_FOLDER script train.py ARGUMENTS…``  or  ``start.py RUN_FOLDER command TEXT``
"""

from __future__ import annotations

import os
import sys
from time import time

from .layout import CLAIM, EXIT, OUTCOME
from .process import boot_id, started_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_EXIT_SIZE = 256
_FLUSH_EVERY = 0.1
_ERROR_LIMIT = 20_000


def main(arguments: list[str]) -> None:
    """Run the job described by ``arguments`` if nobody else has claimed it."""
    folder, kind, target = arguments[:3]
    if not _claim(folder):
        return
    report = _allocate_exit(folder)
    job = os.fork()
    if job:
        _supervise(job, report)
    os.setpgid(0, 0)
    os.close(report)
    if kind == "command":
        os.execv("/bin/sh", ["/bin/sh", "-c", target])
    _run_script(folder, target, arguments[3:])


# The process that waits ----------------------------------------------------------------------


def _claim(folder: str) -> bool:
    """Whether this process is the one that may start the run.

    The claim appears whole and only once, so that a runner killed between starting a launcher
    and writing it down cannot lead to a second job.
    """
    path = os.path.join(folder, CLAIM)
    aside = f"{path}.{os.getpid()}"
    who = f'"pid":{os.getpid()},"started":{started_at(os.getpid()) or 0},"boot":"{boot_id()}"'
    with open(aside, "w") as file:
        file.write(f'{{{who},"t":{time()!r}}}')
    try:
        os.link(aside, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(aside)
    return True


def _allocate_exit(folder: str) -> int:
    """Take the room for the exit status now, so that a full disk cannot lose it."""
    file = os.open(os.path.join(folder, EXIT), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    os.write(file, b" " * _EXIT_SIZE)
    return file


def _supervise(job: int, report: int) -> NoReturn:
    import signal

    # Signals meant for the job reach the whole session; this process stays to tell the end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            status = os.waitpid(job, 0)[1]
            break
        except InterruptedError:
            continue
    code = str(os.WEXITSTATUS(status)) if os.WIFEXITED(status) else "null"
    number_text = str(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else "null"
    text = f'{{"code":{code},"signal":{number_text},"t":{time()!r}}}'
    os.pwrite(report, text.encode().ljust(_EXIT_SIZE), 0)
    os._exit(0)


# The process that is the user's --------------------------------------------------------------


def _run_script(folder: str, script: str, arguments: list[str]) -> None:
    """Become ``python script arguments…``, and note what ended it."""
    _keep_flushing()
    path = os.path.abspath(script) if sys.version_info >= (3, 9) else script
    sys.argv = [script, *arguments]
    # v1 has the working directory on the path too; the script's own comes first, as in Python.
    bundle, here, root = sys.path[0], os.path.dirname(os.path.abspath(script)), os.getcwd()
    sys.path[:1] = [here] if here == root else [here, root]
    if bundle not in sys.path:
        sys.path.append(bundle)
    code, program = 0, os.getpid()
    try:
        _execute(path)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    except BaseException as error:  # noqa: BLE001 - whatever ends the program ends here
        code = 1
        _report(folder if os.getpid() == program else "", error)
    finally:
        # A child that the program forked may come out here too; only one process tells.
        if os.getpid() == program and not os.path.exists(os.path.join(folder, OUTCOME)):
            _write_outcome(folder, f'{{"code":{code}}}')
    if code:
        sys.exit(code)


def _execute(path: str) -> None:
    """Run the file as ``__main__``; our own frame is the only one above the script's."""
    with open(path, "rb") as file:
        source = file.read()
    program = type(sys)("__main__")
    program.__file__ = path
    program.__builtins__ = sys.modules["builtins"]  # type: ignore[attr-defined]
    program.__dict__.update(__cached__=None, __package__=None)
    sys.modules["__main__"] = program
    exec(compile(source, path, "exec", dont_inherit=True), program.__dict__)


def _report(folder: str, error: BaseException) -> None:
    """Print the error as Python would, without the launcher's frames, and keep it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    error = error.with_traceback(trace)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        pass
    try:
        sys.excepthook(type(error), error, trace)
    except Exception:  # noqa: BLE001 - a broken hook of the program's must not hide its error
        sys.__excepthook__(type(error), error, trace)
    if folder:
        _write_outcome(folder, _describe(error, trace))


def _describe(error: BaseException, trace: Any) -> str:
    import json
    import traceback

    lines = traceback.format_exception(type(error), error, trace)
    frames = traceback.extract_tb(trace)
    where = frames[-1] if frames else None
    return json.dumps(
        {
            "code": 1,
            "type": type(error).__name__,
            "message": str(error)[:_ERROR_LIMIT],
            "traceback": "".join(lines)[-_ERROR_LIMIT:],
            "file": where.filename if where else getattr(error, "filename", None),
            "line": where.lineno if where else getattr(error, "lineno", None),
        }
    )


def _write_outcome(folder: str, text: str) -> None:
    """What the program itself says of its end; the exit status counts, this explains it."""
    path = os.path.join(folder, OUTCOME)
    try:
        with open(f"{path}.tmp", "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        os.replace(f"{path}.tmp", path)
    except OSError:  # a full disk: the exit status is safe, the log has the traceback
        pass


def _keep_flushing() -> None:
    """Let the log show prints within a tenth of a second without a ``write`` for each line.

    A thread below ``threading``'s notice does it, and steps aside while the program forks.
    """
    import _thread
    from time import sleep

    streams = [stream for stream in (sys.stdout, sys.stderr) if stream is not None]
    lock = _thread.allocate_lock()
    os.register_at_fork(
        before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
    )

    def flush(stream: Any | None) -> bool:
        try:
            with lock:
                stream.flush()  # type: ignore[union-attr]
        except ValueError:  # the program closed it
            return False
        except OSError:  # a full disk is told to the program at its own next write
            return True
        return True

    def keep_flushing() -> None:
        while streams:
            sleep(_FLUSH_EVERY)
            streams[:] = [stream for stream in streams if flush(stream)]

    _thread.start_new_thread(keep_flushing, ())
