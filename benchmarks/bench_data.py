"""What a run pays for a dataset of many files: mounted, and copied."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aml_jupyter import Dataset, Datastore, Experiment, ScriptRunConfig
from aml_jupyter.assets.files import files_below
from aml_jupyter.runner.links import copy_files, link_files
from benchmarks.report import Row, median_of
from benchmarks.setting import JOBS, Effort, experiment

_FOLDERS, _FILES, _SIZE = 100, 100, 100_000
_REACH, _REACH_OF_LINKS = 100.0, 250.0


def rows(effort: Effort) -> Iterator[Row]:
    """10,000 files of 100 kB in a folder of the default datastore. The figure of a mounted dataset
    is the time from the call of ``submit`` to the script's first line, minus the same of a run
    without data, measured by turns; first the folder as it stands, then its files by a list of
    globs, which takes a link for each. Links and copies by themselves are the calls that a runner
    makes; ``cp -r`` copies the same files to the same disk, by turns. Copies are deleted only at
    the end.
    """
    folders = effort.of(_FOLDERS)
    with experiment() as place:
        store = Datastore.get_default(place.workspace)
        source = Path(store.root, "many")
        _fill(source, folders)
        count = f"{folders * _FILES:,} files, {folders * _FILES * _SIZE / 1e9:.3g} GB"
        folder = Dataset.File.from_files((store, "many/"))
        listed = Dataset.File.from_files([(store, "many/*0/*"), (store, "many/*[1-9]/*")])
        _first_line(place, None)  # the first run of a home makes the bundle that jobs import
        name = f"a dataset of {count}, mounted in a run"
        yield _run_row(place, name, folder, _REACH, effort)
        name = "the same as a list of globs, a link for each file"
        yield _run_row(place, name, listed, _REACH_OF_LINKS, effort)
        files = list(files_below(str(source)))
        with tempfile.TemporaryDirectory(prefix="aml-bench-") as copies:
            yield _links_row(files, Path(copies), effort)
            yield _copies_row(files, source, Path(copies), effort)


def _run_row(place: Experiment, name: str, dataset: Any, reach: float, effort: Effort) -> Row:
    pairs = [(_first_line(place, dataset), _first_line(place, None)) for _ in range(effort.repeat)]
    more, without = [taken - least for taken, least in pairs], [least for _, least in pairs]
    value = median_of(more)
    limit = ("a run without data", median_of(without))
    return Row(name, value, "ms", f"≤ {reach:g} ms more", *limit, value <= reach, more)


def _first_line(place: Experiment, dataset: Any) -> float:
    """Milliseconds from the call of submit to the script's first line."""
    note = place.workspace.folder.project / "note"
    arguments = [str(note), *([] if dataset is None else [dataset.as_mount()])]
    config = ScriptRunConfig(str(JOBS), "first_line.py", arguments)
    started = time.time_ns()
    place.submit(config).wait_for_completion()
    return (int(note.read_text()) - started) / 1e6


def _links_row(files: list[tuple[str, str]], place: Path, effort: Effort) -> Row:
    samples, floor = [], []
    for number in range(effort.repeat):
        started = time.perf_counter()
        link_files(files, str(place / f"links{number}"))
        samples.append(1e3 * (time.perf_counter() - started))
        started = time.perf_counter()
        _symbolic(files, place / f"symbolic{number}")
        floor.append(1e3 * (time.perf_counter() - started))
    value = median_of(samples)
    limit = ("as many symbolic links", median_of(floor))
    name = f"linking {len(files):,} files, by itself"
    return Row(name, value, "ms", f"≤ {_REACH:g} ms", *limit, value <= _REACH, samples)


def _symbolic(files: list[tuple[str, str]], folder: Path) -> None:
    for above in sorted({os.path.dirname(name) for name, _ in files}):
        os.makedirs(folder / above)
    for name, path in files:
        os.symlink(path, f"{folder}/{name}")


def _copies_row(files: list[tuple[str, str]], source: Path, place: Path, effort: Effort) -> Row:
    size = sum(os.path.getsize(path) for _, path in files) / 1e6
    samples, floor = [], []
    for number in range(effort.repeat):
        started = time.perf_counter()
        copy_files(files, str(place / f"copies{number}"), lambda done, total: None)
        samples.append(size / (time.perf_counter() - started))
        started = time.perf_counter()
        subprocess.run(["cp", "-r", str(source), str(place / f"cp{number}")], check=True)
        floor.append(size / (time.perf_counter() - started))
    value, least = median_of(samples), median_of(floor)
    name, reach = "copying them for a run (download)", "≥ 0.9 × cp -r"
    return Row(name, value, "MB/s", reach, "cp -r", least, value >= 0.9 * least, samples)


def _fill(folder: Path, folders: int) -> None:
    data = os.urandom(_SIZE)
    for number in range(folders):
        below = folder / f"{number:03}"
        below.mkdir(parents=True)
        for each in range(_FILES):
            (below / f"{each:03}.bin").write_bytes(data)
