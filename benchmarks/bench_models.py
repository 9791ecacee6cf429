"""How long registering a model takes whose bytes are in a run already."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from aml_jupyter import Experiment, Model, Run
from aml_jupyter.assets.model_files import read_notes, sha256_of
from benchmarks.report import Row, median_of, timed
from benchmarks.setting import Effort, experiment

SIZE = 1_000_000_000
_CHUNK = os.urandom(1 << 20)
_PATIENCE = 120


def rows(effort: Effort) -> Iterator[Row]:
    """Registering a file of 1 GB from the outputs of a run that has ended, a new version each
    time; beside it the same bytes copied, and a second name made for them (``os.link``). Then
    the time until the hash is known, which nobody waits for, beside hashing in the foreground.
    """
    with experiment() as place:
        size = effort.of(SIZE)
        run = _run_with(place, size)
        source = run.folder / "outputs/model.bin"
        registered, known = [], []
        for _ in range(effort.repeat):
            registered += timed(lambda: run.register_model("model", "outputs/model.bin"), 1)
            known.append(_until_hashed(Model(place.workspace, "model")))
        copied = timed(lambda: _copy(source), effort.repeat)
        linked = timed(lambda: _link(source), effort.repeat)
        hashed = timed(lambda: sha256_of(str(source)), effort.repeat)
        milliseconds = [1e3 * sample for sample in registered]
        value, what = median_of(milliseconds), f"registering a model of {size / 1e9:g} GB"
        for name, limit in (("copying the bytes", copied), ("os.link alone", linked)):
            beside = 1e3 * median_of(limit)
            yield Row(
                f"{what}, beside {name}",
                value,
                "ms",
                "≤ 100 ms, no bytes copied",
                name,
                beside,
                value <= 100,
                milliseconds,
            )
        yield Row(
            f"{what}: until its hash is known, in the background",
            median_of(known),
            "s",
            "≤ 2 × hashing in the foreground + 1 s",
            "hashing",
            median_of(hashed),
            median_of(known) <= 2 * median_of(hashed) + 1,
            known,
        )


def _run_with(place: Experiment, size: int) -> Run:
    with place.start_logging(snapshot_directory=None, outputs=False) as run:
        target = run.folder / "outputs/model.bin"
        target.parent.mkdir(exist_ok=True)
        with open(target, "wb") as file:
            for start in range(0, size, len(_CHUNK)):
                file.write(_CHUNK[: size - start])
            os.fsync(file.fileno())
    return run


def _until_hashed(model: Model) -> float:
    start = time.perf_counter()
    while not all(noted["sha256"] for noted in read_notes(model._folder).values()):
        if time.perf_counter() - start > _PATIENCE:
            raise TimeoutError(f"the hash of {model.id} is not known after {_PATIENCE} s")
        time.sleep(0.01)
    return time.perf_counter() - start


def _copy(source: Path) -> None:
    shutil.copyfile(source, source.with_suffix(".copy"))
    source.with_suffix(".copy").unlink()


def _link(source: Path) -> None:
    os.link(source, source.with_suffix(".link"))
    source.with_suffix(".link").unlink()
