"""Batches of notebooks, beside papermill doing the same."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
import nbformat.v4 as v4

from aml_jupyter import Batch, Experiment, runner
from aml_jupyter.home import home
from aml_jupyter.job import events, states
from aml_jupyter.workspace.batch_run import BatchRun, resume
from benchmarks.report import Row, median_of
from benchmarks.setting import Effort, Memory, experiment, stop_runner

_NOTEBOOKS, _PROCESSES = 32, 2
_QUEUED = 1000
_OUTPUT = 200 << 20
_PAPERMILL = [str(Path(sys.executable).with_name("papermill")), "--no-progress-bar"]
_LOOP = [
    "sh", "-c",
    'for n in $(seq "$3"); do ' + " ".join(_PAPERMILL)
    + ' "$1" "$2/$n.ipynb" -p seed "$n" -p alpha 0.5 || exit 1; done',
    "sh",
]  # fmt: skip
_POOL = [
    sys.executable, "-c",
    """
import sys
from concurrent.futures import ProcessPoolExecutor
from papermill import execute_notebook

def execute(number):
    values = {"seed": number, "alpha": 0.5}
    execute_notebook(sys.argv[1], f"{sys.argv[2]}/{number}.ipynb", values, progress_bar=False)

with ProcessPoolExecutor(2) as pool:
    list(pool.map(execute, range(int(sys.argv[3]))))
""",
]  # fmt: skip
_LINES = """
line = "x" * 99 + "\\n"
for _ in range({megabytes}):
    print(line * 10486, end="")
"""


def rows(effort: Effort) -> Iterator[Row]:
    """32 notebooks of five short cells with two parameters, two at a time: from the call of
    ``submit``, with a runner up but nothing warm, to the end of the last; by turns with
    ``papermill`` for one after the other in a shell loop, and by its ``execute_notebook`` in a
    pool of two Python processes, which import it once. Then notebooks
    one by one, when others were executed before: from ``submit`` to the end, without the time
    of the cells. For papermill that is from its start to its exit. JupyterLab is installed.
    """
    count = effort.of(_NOTEBOOKS)
    with experiment(AML_SLOTS=str(_PROCESSES)) as place:
        folder = place.workspace.folder.project
        path = _notebook(folder)
        runner.ensure_runner()
        ours, loop, pool = [], [], []
        for number in range(effort.repeat):
            stop_runner()
            runner.ensure_runner()
            ours.append(_batch_seconds(place, path, count, number))
            loop.append(_papermill_seconds(folder, path, count, _LOOP))
            pool.append(_papermill_seconds(folder, path, count, _POOL))
        yield _times(f"{count} notebooks, beside a shell loop", loop, ours, 6, "a shell loop")
        name = f"{count} notebooks, beside a pool of {_PROCESSES} processes"
        yield _times(name, pool, ours, 2, f"papermill, {_PROCESSES} at a time")
        yield _overhead(place, folder, path, max(effort.repeat, effort.of(11)))


def queued(effort: Effort) -> Iterator[Row]:
    """A batch of 1,000 notebooks: the time of ``submit``, until every one of them stands in the
    queue, and the resident memory of who submits and of the runner together, at most, until the
    first twenty have ended. Beside it: as many empty files, each made and renamed.
    """
    count = effort.of(_QUEUED)
    samples = [_queued(count) for _ in range(effort.repeat)]
    submits, all_there, memory, files = (list(column) for column in zip(*samples, strict=True))
    limit = (f"{count} small files", median_of(files))
    value = median_of(submits)
    yield Row(f"{count} notebooks: submit", value, "s", "≤ 3 s", *limit, value <= 3, submits)
    value = median_of(all_there)
    name = f"{count} notebooks: from submit until all are in the queue"
    yield Row(name, value, "s", "told, no limit", *limit, True, all_there)
    value, limit = median_of(memory), ("the values as JSON", len(_values(count)) / 1e6)
    name = f"{count} notebooks: memory of who submits and of the runner"
    yield Row(name, value, "MB", "≤ 150 MB", *limit, value <= 150, memory)


def large(effort: Effort) -> Iterator[Row]:
    """A notebook of twelve cells that print 200 MB in all. Between two cells lies what passes
    from the note that one is over to the note that the next begins; the worst of all is shown.
    What reached the disk is what the executing process wrote until the last cell was over, by
    ``/proc``. Beside it: the same of a notebook that prints nothing.
    """
    megabytes = max(1, effort.of(_OUTPUT) >> 20)
    loud, quiet = _LINES.format(megabytes=max(1, megabytes // 10)), "pass"
    with experiment() as place:
        worst = [_worst_gap(place, loud) for _ in range(effort.repeat)]
        beside = [_worst_gap(place, quiet) for _ in range(effort.repeat)]
    value, limit = max(worst), ("a notebook that prints nothing", max(beside))
    name = f"a notebook that prints {megabytes} MB: longest wait between two cells"
    yield Row(name, value, "ms", "≤ 100 ms", *limit, value <= 100, worst)


def killed(effort: Effort) -> Iterator[Row]:
    """A batch of 40 notebooks, whose runner, executing processes and kernels are killed by turns
    with kill -9, twelve times; then ``--resume`` until all is done. Counted are notebooks that
    ran again after they were complete, that are missing, or whose metric is not what it must be.
    """
    count = max(4, effort.of(40))
    wrong = [_wrong_after_kills(count, effort.of(12)) for _ in range(effort.repeat)]
    name = f"{count} notebooks, everything killed {effort.of(12)} times, then --resume: wrong"
    value = float(max(wrong))
    yield Row(name, value, "cases", "none", "notebooks", float(count), not value, wrong)


# Many small ones ------------------------------------------------------------------------------


def _notebook(folder: Path, *cells: str) -> Path:
    """The notebook that all do: five cells, of which one has the parameters."""
    texts = cells or ("total = 0", "total += alpha", "values = list(range(100))", "print(total)")
    made = [v4.new_code_cell("alpha = 0.5\nseed = 1", metadata={"tags": ["parameters"]})]
    notebook = v4.new_notebook(cells=[*made, *map(v4.new_code_cell, texts)])
    notebook.metadata.kernelspec = {"name": "python3", "language": "python", "display_name": "P"}
    notebook.metadata.language_info = {"name": "python"}
    path = folder / "small.ipynb"
    nbformat.write(notebook, path)
    return path


def _batch_seconds(place: Experiment, path: Path, count: int, number: int) -> float:
    begun = time.perf_counter()
    batch = _submitted(place, path, {"alpha": [float(number)], "seed": list(range(count))})
    _wait(batch)
    taken = time.perf_counter() - begun
    assert batch.get_status() == states.COMPLETED, [row.error for row in batch.rows()]
    return taken


def _submitted(place: Experiment, path: Path, values: dict[str, Any], **more: Any) -> BatchRun:
    return Batch(
        str(path), values, workspace=place.workspace, experiment=place.name, **more
    ).submit()


def _wait(batch: BatchRun, seconds: float = 600) -> None:
    until = time.monotonic() + seconds
    while not batch.has_ended and time.monotonic() < until:
        time.sleep(0.02)


def _papermill_seconds(folder: Path, path: Path, count: int, command: Sequence[str]) -> float:
    """The seconds that papermill takes for the same."""
    out = folder / "by-papermill"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    begun = time.perf_counter()
    subprocess.run([*command, str(path), str(out), str(count)], check=True, capture_output=True)
    taken = time.perf_counter() - begun
    assert len(list(out.glob("*.ipynb"))) == count
    return taken


def _times(
    name: str, theirs: Sequence[float], ours: Sequence[float], reach: float, who: str
) -> Row:
    """How many times faster, each beside its own turn of papermill."""
    factors = [their / our for their, our in zip(theirs, ours, strict=True)]
    value = median_of(factors)
    limit = (f"ours {median_of(ours):.3g} s, {who}: {median_of(theirs):.3g} s; as fast", 1.0)
    return Row(name, value, "×", f"≥ {reach:g} ×", *limit, value >= reach, factors)


def _overhead(place: Experiment, folder: Path, path: Path, repeat: int) -> Row:
    ours, theirs = [], []
    for number in range(repeat):
        begun = time.perf_counter()
        batch = _submitted(place, path, {"alpha": [-1.0], "seed": [number]})
        _wait(batch)
        taken = time.perf_counter() - begun
        row = batch.rows()[0]
        assert row.folder is not None
        ours.append(taken - sum(each["seconds"] for each in _cells(row.folder)))
        if number < 5:
            theirs.append(_papermill_alone(folder, path))
    value, limit = median_of(ours), ("papermill, cold", median_of(theirs))
    name = "one notebook over its cells' own time, warm"
    return Row(name, value, "s", "≤ 0.35 s", *limit, value <= 0.35, ours)


def _papermill_alone(folder: Path, path: Path) -> float:
    out = folder / "alone.ipynb"
    begun = time.perf_counter()
    subprocess.run([*_PAPERMILL, str(path), str(out)], check=True, capture_output=True)
    taken = time.perf_counter() - begun
    cells = nbformat.read(out, as_version=4).cells
    return taken - sum(cell.metadata.papermill.duration or 0 for cell in cells)


def _cells(folder: Path) -> list[dict[str, Any]]:
    return [event for event in events.read(str(folder))[0] if event["e"] == "cell"]


# A thousand -----------------------------------------------------------------------------------


def _queued(count: int) -> tuple[float, float, float, float]:
    with experiment() as place:
        folder = place.workspace.folder.project
        path = _notebook(folder)
        pid = runner.ensure_runner().pid
        with Memory(pid) as theirs, Memory(os.getpid()) as own:
            begun = time.perf_counter()
            batch = _submitted(place, path, {"seed": list(range(count))})
            submitted = time.perf_counter() - begun
            while len(list(place.workspace.folder.runs.iterdir())) <= count:
                time.sleep(0.005)
            all_there = time.perf_counter() - begun
            few = min(20, count)
            while sum(row.has_ended for row in batch.rows()) < few:
                time.sleep(0.5)
        batch.cancel()
        _wait(batch, 120)
        used = (theirs.peak + own.peak - own.first) / 1e6
        return submitted, all_there, used, _file_seconds(count)


def _values(count: int) -> str:
    return json.dumps([{"seed": number} for number in range(count)])


def _file_seconds(count: int) -> float:
    with tempfile.TemporaryDirectory() as place:
        begun = time.perf_counter()
        for number in range(count):
            path = os.path.join(place, str(number))
            with open(f"{path}.tmp", "w") as file:
                file.write("{}")
            os.replace(f"{path}.tmp", path)
        return time.perf_counter() - begun


# Large outputs --------------------------------------------------------------------------------


def _worst_gap(place: Experiment, text: str) -> float:
    """Milliseconds, at most, between the end of a cell and the beginning of the next."""
    folder = place.workspace.folder.project
    path = _notebook(folder, *[text] * 10, "print('done')")
    batch = _submitted(place, path, {"seed": [1]})
    _wait(batch)
    row = batch.rows()[0]
    assert row.folder is not None
    assert row.status == states.COMPLETED, row.error
    told = [e for e in events.read(str(row.folder))[0] if e["e"] in ("cell", "progress")]
    pairs = itertools.pairwise(told)
    gaps = [after["t"] - one["t"] for one, after in pairs if one["e"] == "cell"]
    return max(gaps) * 1000


# Killed ---------------------------------------------------------------------------------------


def _wrong_after_kills(count: int, kills: int) -> float:
    with experiment(AML_SLOTS="2") as place:
        folder = place.workspace.folder.project
        marks = folder.parent / "marks"
        path = _notebook(
            folder,
            "import time\nfrom aml_jupyter import Run\nrun = Run.get_context()\ntime.sleep(0.1)",
            f"run.log('loss', seed * 2)\nopen({str(marks)!r}, 'a').write(f'{{seed}}\\n')",
        )
        batch = _submitted(place, path, {"seed": list(range(count))})
        for number in range(kills):
            time.sleep(0.6)
            _kill(number)
        done: dict[int, str] = {}
        for _ in range(20):
            _wait(batch, 300)
            done.update({r.index: r.run_id for r in batch.rows() if r.status == states.COMPLETED})
            if len(done) == count:
                break
            batch = resume(batch)
        rows = batch.rows()
        missing = sum(row.status != states.COMPLETED for row in rows)
        again = sum(done.get(row.index, row.run_id) != row.run_id for row in rows)
        spoiled = sum(row.metrics.get("loss") != row.index * 2 for row in rows)
        return float(missing + again + spoiled)


def _kill(number: int) -> None:
    """Kill by turns the runner, what executes notebooks, and kernels of this home."""
    status = runner.runner_status()
    if status is None:
        return
    victims = [status.pid] if number % 3 == 0 else _executors(kernels=number % 3 == 1)
    for pid in victims:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _executors(kernels: bool) -> list[int]:
    """Processes that have the home in their environment: kernels have no child, others have."""
    import psutil

    mark, found = str(home().state), []
    for process in psutil.process_iter():
        try:
            is_ours = process.environ().get("AML_HOME") == mark and process.pid != os.getpid()
            if is_ours and process.ppid() != os.getpid() and bool(process.children()) != kernels:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
