"""TensorBoard on runs, while they go on and after: v1's helper."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from ..errors import UserErrorException
from ..job import layout
from .run import Run

__all__ = ["Tensorboard"]

_HOST = "127.0.0.1"
_PATIENCE = 60.0
_MOST_TRIES = 3
_TAIL = 2000


class Tensorboard:
    """Shows in TensorBoard what runs write below ``logs/``.

    Nothing is copied: TensorBoard reads the runs' own files, so it is live while they go on.
    ``local_root`` is a folder to show; with runs links to their logs are put there until
    :meth:`stop`. Each run goes by its id, or with ``use_display_name`` by its name.
    """

    LOGS_ARTIFACT_PREFIX = "logs/"

    def __init__(
        self,
        runs: Run | Iterable[Run],
        local_root: str | os.PathLike[str] | None = None,
        port: int = 6006,
        use_display_name: bool = False,
    ) -> None:
        self._runs = [runs] if isinstance(runs, Run) else list(runs)
        for run in self._runs:
            if not isinstance(run, Run):
                raise UserErrorException(
                    f"Tensorboard takes runs, not {type(run).__name__}.",
                    "For example Tensorboard([run]).start().",
                )
        if not self._runs and local_root is None:
            raise UserErrorException(
                "Tensorboard has neither runs nor a folder to show.",
                "Give runs, Tensorboard([run]), or a folder: Tensorboard([], local_root='logs').",
            )
        self._root = None if local_root is None else Path(local_root).absolute()
        self._port = port
        self._use_display_name = use_display_name
        self._links: list[Path] = []
        self._made: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._url = ""

    def start(self, start_browser: bool = False) -> str:
        """Start TensorBoard, and print and return its address.

        It is reached from this machine only, and ends with :meth:`stop` or with this process,
        whatever ends that. Of a port that is taken another one is used.
        """
        if not self.is_running:
            _check_that_it_is_installed()
            self.stop()
            try:
                self._link_logs()
                self._launch()
            except BaseException:
                self.stop()
                raise
        print(self._url)
        if start_browser:
            webbrowser.open(self._url)
        return self._url

    def stop(self) -> None:
        """End TensorBoard, and remove the links that were made for it."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        for link in self._links:
            link.unlink(missing_ok=True)
        self._links = []
        made, self._made = self._made, None
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)

    @property
    def is_running(self) -> bool:
        """Whether TensorBoard is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def _place(self) -> Path:
        place = self._root or self._made
        assert place is not None
        return place

    def _link_logs(self) -> None:
        """Make a folder that has the logs of each run under its name."""
        if self._root is None:
            self._made = Path(tempfile.mkdtemp(prefix="aml-tensorboard-"))
        else:
            self._root.mkdir(parents=True, exist_ok=True)
        for run in self._runs:
            name = run.display_name if self._use_display_name else run.id
            for logs in _places_of_logs(run):
                self._link(name.replace("/", "_").lstrip("."), run.id, logs)

    def _link(self, name: str, run_id: str, logs: Path) -> None:
        for each in (name or run_id, f"{name} {run_id}", *(f"{run_id}-{n}" for n in range(2, 99))):
            try:
                (self._place / each).symlink_to(logs)
            except FileExistsError:
                continue
            self._links.append(self._place / each)
            return

    def _launch(self) -> None:
        port = self._port
        for _ in range(_MOST_TRIES):
            if port and not _is_free(port):
                print(f"Port {port} is taken; TensorBoard is on another one.")
                port = 0
            port = port or _free_port()
            with tempfile.TemporaryFile() as said:
                self._start_process(port, said.fileno())
                if self._answers(port):
                    self._url = f"http://{_HOST}:{port}/"
                    return
                said.seek(0)
                words = said.read().decode(errors="replace")
            if "in use" not in words:
                break
        raise UserErrorException(
            f"TensorBoard did not start. It said: …{words[-_TAIL:].strip()}",
            f"Try it alone: {sys.executable} -m tensorboard.main --logdir {self._place}",
        )

    def _start_process(self, port: int, output: int) -> None:
        made = str(self._made or "")
        arguments = ["--logdir", str(self._place), "--host", _HOST, "--port", str(port)]
        guard = f"{__package__}.tensorboard_process"
        self._process = subprocess.Popen(
            [sys.executable, "-m", guard, made, *arguments, "--reload_interval", "2"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,  # an interrupt of a cell is not meant for it
        )

    def _answers(self, port: int) -> bool:
        """Wait until TensorBoard is there, or has ended."""
        assert self._process is not None
        until = time.monotonic() + _PATIENCE
        while self._process.poll() is None and time.monotonic() < until:
            try:
                socket.create_connection((_HOST, port), 1).close()
                return True
            except OSError:
                time.sleep(0.05)
        return False


def _check_that_it_is_installed() -> None:
    if find_spec("tensorboard") is None:
        raise UserErrorException(
            f"The package tensorboard is not installed in {sys.executable}.",
            f"Install it: {sys.executable} -m pip install tensorboard. The charts of "
            "RunDetails(run) have what jobs write for TensorBoard without it.",
        )


def _places_of_logs(run: Run) -> list[Path]:
    """Where the run's ``logs/`` are: its own folder, and what was uploaded under that name."""
    uploaded = run.folder / layout.ARTIFACTS / layout.LOGS
    return [run.folder / layout.LOGS, *([uploaded] if uploaded.is_dir() else [])]


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((_HOST, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind((_HOST, 0))
        return int(trial.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()  # which ends it, and it removes what it must
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
