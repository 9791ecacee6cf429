"""The Jupyter server while many pages watch many runs: it stays quick, and costs little."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.loop_probe import VARIABLE
from benchmarks.report import Row, median_of
from benchmarks.setting import JOBS, Effort, experiment

_RUNS, _PAGES = 50, 20
_SECONDS = 20.0
_WARM_UP = 5.0
_QUIET = 5.0
_KINDS = ("late", "kept by the server")
_REPOSITORY = Path(__file__).resolve().parents[1]
_TOKEN = "bench"


def rows(effort: Effort) -> Iterator[Row]:
    """50 runs of a process that lives log ten times a second each, and 20 pages watch them over
    websockets. The event loop's delays are measured inside it, every 5 ms, and how much of each
    the server itself computed, in any thread: the rest it waited for a processor that others had.
    Beside them the worst of the same server before anybody watched. Of each number that was logged
    the time is taken until a page has it or a later one; the peer is the answer to `api/status`,
    asked meanwhile.
    """
    count, pages = max(5, effort.of(_RUNS)), max(2, effort.of(_PAGES))
    seconds = max(6.0, _SECONDS * effort.share)
    name = f"{pages} pages watch {count} live runs: "
    with experiment() as place, tempfile.TemporaryDirectory() as folder:
        found = _measured(Path(folder), place.workspace.folder.project, count, pages, seconds)
    for what, before, lags in zip(_KINDS, found.quiet, found.lags, strict=True):
        worst, quiet = max(lags) * 1e3, ("before anybody watched", max(before) * 1e3)
        title = f"{name}event loop {what}, worst"
        yield Row(title, worst, "ms", "≤ 50 ms", *quiet, worst <= 50, [lag * 1e3 for lag in lags])
    idle = ("before anybody watched", found.idle_share * 100)
    share = found.share * 100
    yield Row(f"{name}server", share, "% of a core", "≤ 20 %", *idle, share <= 20, [share])
    status = ("api/status of the same server", median_of(found.status) * 1e3)
    late = [each * 1e3 for each in found.late]
    value = median_of(late)
    yield Row(f"{name}logged to page", value, "ms", "≤ 500 ms", *status, value <= 500, late)


@dataclass(frozen=True)
class _Found:
    """Delays and the server's own part in them, and times, in seconds; shares of one core."""

    quiet: tuple[list[float], list[float]]
    lags: tuple[list[float], list[float]]
    idle_share: float
    share: float
    status: Sequence[float]
    late: Sequence[float]


def _measured(folder: Path, project: Path, count: int, pages: int, seconds: float) -> _Found:
    logged, told, lags = folder / "logged.json", folder / "told.json", folder / "lags.json"
    with _server(folder, project, lags) as (server, port):
        time.sleep(1.0)
        quiet, idle_share = _window(server, _QUIET)
        place = _ask(port, "aml/api/hello")["places"][0]["key"]
        whole = _WARM_UP + seconds + 3.0
        writer = _started(JOBS / "log_many.py", project, count, whole + 2.0, logged)
        address = f"ws://127.0.0.1:{port}/aml/api/live?api=1"
        watcher = _started(JOBS / "watch_live.py", address, _TOKEN, place, pages, whole, told)
        time.sleep(_WARM_UP)
        status: list[float] = []
        busy, share = _window(server, seconds, lambda: status.append(_status(port)))
        assert watcher.wait(60) == 0
        assert writer.wait(60) == 0
        time.sleep(1.5)
        delays = json.loads(lags.read_text())
    seen = json.loads(told.read_text())
    assert not seen["lost"], f"{seen['lost']} pages lost their connection"
    late = _late(json.loads(logged.read_text()), seen["received"], busy)
    return _Found(_of(delays, quiet), _of(delays, busy), idle_share, share, status, late)


def _window(
    server: psutil.Process, seconds: float, now_and_then: Callable[[], None] = lambda: None
) -> tuple[tuple[float, float], float]:
    """A stretch of time as (from, to), and the share of a core that the server had in it."""
    begun, before = time.time(), sum(server.cpu_times()[:2])
    while time.time() < begun + seconds:
        now_and_then()
        time.sleep(0.2)
    ended = time.time()
    return (begun, ended), (sum(server.cpu_times()[:2]) - before) / (ended - begun)


def _of(
    delays: Sequence[tuple[float, float, float]], window: tuple[float, float]
) -> tuple[list[float], list[float]]:
    within = [each for each in delays if window[0] <= each[0] <= window[1]]
    return [lag for _, lag, _ in within], [own for _, _, own in within]


def _late(
    logged: Mapping[str, Sequence[float]],
    received: Sequence[tuple[str, float | None, float]],
    window: tuple[float, float],
) -> list[float]:
    """Of each number logged in the window, the seconds until the page had it or a later one."""
    by_run: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for run, sent, at in received:
        if sent is not None:
            by_run[run].append((sent, at))
    found = []
    for run, times in logged.items():
        told = sorted(by_run[run])
        for sent in times:
            place = bisect_left(told, (sent, 0.0))
            if window[0] <= sent <= window[1] and place < len(told):
                found.append(told[place][1] - sent)
    return found


# Processes ------------------------------------------------------------------------------------


@contextlib.contextmanager
def _server(folder: Path, root: Path, lags: Path) -> Iterator[tuple[psutil.Process, int]]:
    """A Jupyter server with our extension and the probe."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    extensions = "{'aml_jupyter': True, 'benchmarks.loop_probe': True}"
    command = [
        *(sys.executable, "-m", "jupyter", "server", f"--port={port}", "--port-retries=0"),
        *("--ip=127.0.0.1", "--no-browser", "--allow-root", f"--ServerApp.root_dir={root}"),
        *(f"--IdentityProvider.token={_TOKEN}", f"--ServerApp.jpserver_extensions={extensions}"),
    ]
    own = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data"}
    own |= {"JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython"}
    variables = {name: str(folder / below) for name, below in own.items()}
    variables |= {"JUPYTER_NO_CONFIG": "1", "PYTHONPATH": str(_REPOSITORY), VARIABLE: str(lags)}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **variables}, stdout=log, stderr=log, cwd=root
        )
    try:
        end = time.monotonic() + 60
        while not _answers(port):
            assert process.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < end
            time.sleep(0.1)
        yield psutil.Process(process.pid), port
    finally:
        process.terminate()
        process.wait(15)


def _started(script: Path, *words: object) -> subprocess.Popen[str]:
    """One of the scripts here, once it says that it is up."""
    command = [sys.executable, str(script), *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        _ask(port, "api/status")
        return True
    return False


def _status(port: int) -> float:
    begun = time.perf_counter()
    _ask(port, "api/status")
    return time.perf_counter() - begun


def _ask(port: int, path: str) -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}")
    request.add_header("Authorization", f"token {_TOKEN}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())
