"""Following a run from outside: what is new since the last look, in bounded pieces."""

from __future__ import annotations

import codecs
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..job import events, layout, metrics

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float64]]

POINTS = 1000
LOG_CHUNK = 256 * 1024


@dataclass(frozen=True)
class Series:
    """A metric as a chart wants it: at most about a thousand points, no spike lost."""

    x: Floats
    y: Floats
    last: float
    count: int


@dataclass(frozen=True)
class Update:
    """What one look at a run found."""

    status: str
    started: float | None
    ended: float | None
    error: Mapping[str, Any] | None
    progress: str
    log: str
    log_reset: bool
    series: Mapping[str, Series]


class LogTail:
    """Follows a log by byte offset, a bounded piece at a time."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self.offset = offset
        self._decoder = _decoder()

    def read(self, limit: int = LOG_CHUNK) -> bytes:
        """What was written since the last call, at most ``limit`` bytes of it."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self.offset)
                data = file.read(limit)
        except FileNotFoundError:
            return b""
        self.offset += len(data)
        return data

    def text(self, limit: int = LOG_CHUNK) -> str:
        """The same as text; a character of which only a part is there yet comes with the rest."""
        while data := self.read(limit):
            if text := self._decoder.decode(data):
                return text
        return ""

    def skip_to_tail(self, limit: int = LOG_CHUNK) -> bool:
        """Pass over all but the last ``limit`` bytes; whether anything was passed over."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return False
        if size - self.offset <= limit:
            return False
        self.offset = size - limit
        self._decoder = _decoder()
        return True


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("replace")


class Decimator:
    """Keeps the shape of a growing series in bounded memory: each bucket's lowest and highest.

    The width of a bucket doubles whenever there are too many, so that adding points costs the
    same however long the series is.
    """

    def __init__(self, points: int = POINTS) -> None:
        import numpy

        self._np = numpy
        self._points = points
        self._width = 1
        self._low = numpy.empty((0, 2))
        self._high = numpy.empty((0, 2))
        self._rest = numpy.empty((0, 2))
        self.count = 0
        self.last = float("nan")

    def add(self, x: Floats, y: Floats) -> None:
        """Take in more points, in order."""
        if not len(x):
            return
        self.count += len(x)
        self.last = float(y[-1])
        self._rest = self._np.concatenate([self._rest, self._np.column_stack([x, y])])
        self._fill_buckets()
        # A bucket of one point shows one, any other shows two.
        while len(self._low) * min(self._width, 2) > self._points:
            self._halve()

    def series(self) -> Series:
        """The points to draw, in order of x."""
        np = self._np
        if self._width == 1:
            points = np.concatenate([self._low, self._rest])
        else:
            first = self._low[:, 0] <= self._high[:, 0]
            pairs = np.stack(
                [
                    np.where(first[:, None], self._low, self._high),
                    np.where(first[:, None], self._high, self._low),
                ],
                axis=1,
            ).reshape(-1, 2)
            points = np.concatenate([pairs, self._rest[-1:]])
        return Series(points[:, 0], points[:, 1], self.last, self.count)

    def _fill_buckets(self) -> None:
        np = self._np
        whole = len(self._rest) // self._width * self._width
        buckets = self._rest[:whole].reshape(-1, self._width, 2)
        self._rest = self._rest[whole:]
        rows = np.arange(len(buckets))
        values = buckets[:, :, 1]
        lowest = np.argmin(np.where(np.isnan(values), np.inf, values), axis=1)
        highest = np.argmax(np.where(np.isnan(values), -np.inf, values), axis=1)
        self._low = np.concatenate([self._low, buckets[rows, lowest]])
        self._high = np.concatenate([self._high, buckets[rows, highest]])

    def _halve(self) -> None:
        """Merge neighbours: the lower of the lows, the higher of the highs."""
        np = self._np
        even = len(self._low) // 2 * 2
        odd_low, odd_high = self._low[even:], self._high[even:]
        low, high = self._low[:even].reshape(-1, 2, 2), self._high[:even].reshape(-1, 2, 2)
        rows = np.arange(len(low))
        lows, highs = low[:, :, 1], high[:, :, 1]
        keep_low = np.argmin(np.where(np.isnan(lows), np.inf, lows), axis=1)
        keep_high = np.argmax(np.where(np.isnan(highs), -np.inf, highs), axis=1)
        self._low = np.concatenate([low[rows, keep_low], odd_low])
        self._high = np.concatenate([high[rows, keep_high], odd_high])
        self._width *= 2


class MetricFeed:
    """Follows the numbers of all processes of a run and keeps each metric decimated."""

    def __init__(self, folder: Path, points: int = POINTS) -> None:
        self._folder = str(folder / layout.METRICS)
        self._points = points
        self._offsets: dict[str, int] = {}
        self._names: dict[str, list[str]] = {}
        self._series: dict[str, Decimator] = {}

    def poll(self, final: bool = False) -> bool:
        """Take in what is new; whether there was anything."""
        news = False
        for stem in metrics.writers(self._folder):
            data, offset = metrics.read_records(stem, self._offsets.get(stem, 0), final)
            self._offsets[stem] = offset
            if data:
                news = True
                self._add(stem, data)
        return news

    def series(self) -> dict[str, Series]:
        """Every metric so far."""
        return {name: decimator.series() for name, decimator in self._series.items()}

    def _add(self, stem: str, data: bytes) -> None:
        import numpy as np

        kind = [("step", "<i8"), ("t", "<f8"), ("value", "<f8"), ("id", "<u4"), ("kind", "<u4")]
        records = np.frombuffer(data, dtype=kind)
        # Slots that a thread took and never filled, or a dying process only in part.
        records = records[records["kind"] != 0]
        if not len(records):
            return
        values = (
            np.where(
                records["kind"] == metrics.FLOAT, records["value"], records["value"].view("<i8")
            )
            if (records["kind"] != metrics.FLOAT).any()
            else records["value"]
        )
        if int(records["id"].max()) > len(self._names.get(stem, ())):
            self._names[stem] = metrics.read_names(stem)
        for metric, name in enumerate(self._names[stem], start=1):
            mine = records["id"] == metric
            if name and mine.any():
                self._append(name, records["step"][mine], values[mine])

    def _append(self, name: str, steps: Any, values: Any) -> None:
        import numpy as np

        decimator = self._series.setdefault(name, Decimator(self._points))
        counted = np.arange(decimator.count, decimator.count + len(steps), dtype=float)
        x = np.where(steps == metrics.NO_STEP, counted, steps.astype(float))
        decimator.add(x, values.astype(float))


class RunFeed:
    """Follows one run: its state, the end of its log, its metrics."""

    def __init__(self, folder: Path, points: int = POINTS) -> None:
        self.folder = Path(folder)
        request = layout.read_json(str(self.folder / layout.REQUEST)) or {}
        self._facts = events.Facts(request)
        self._offset = 0
        self._log = LogTail(self.folder / layout.DRIVER_LOG)
        self._metrics = MetricFeed(self.folder, points)

    @property
    def finished(self) -> bool:
        """Whether the run had ended at the last look."""
        return self._facts.has_ended

    def poll(self) -> Update:
        """What there is now; the log as far as it is new, at most its last part."""
        new, self._offset = events.read(str(self.folder), self._offset)
        for event in new:
            self._facts.apply(event)
        # The state was read first: what a run that has ended wrote is all there by now.
        skipped = self._log.skip_to_tail()
        log = self._log.text()
        self._metrics.poll(final=self.finished)
        facts = self._facts
        return Update(
            facts.status,
            facts.started,
            facts.ended,
            facts.error,
            str((facts.progress or {}).get("text", "")),
            log,
            skipped,
            self._metrics.series(),
        )


def read_tail(path: Path, limit: int) -> bytes:
    """The last ``limit`` bytes of a file; empty when there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - limit))
            return file.read()
    except FileNotFoundError:
        return b""
