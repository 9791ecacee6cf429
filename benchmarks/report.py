"""Rows of measurements, and the two forms they are shown in."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aml_jupyter.job.metrics import file_system_of


@dataclass(frozen=True)
class Row:
    """One figure beside the limit measured in the same run.

    ``missing`` says what the machine lacks when nothing could be measured; then there is no figure.
    ``bench``, ``date`` and ``machine`` are where it comes from.
    """

    name: str
    value: float
    unit: str
    reach: str
    limit_name: str
    limit_value: float
    ok: bool
    samples: list[float] = field(default_factory=list)
    missing: str = ""
    bench: str = ""
    date: str = ""
    machine: str = field(default_factory=lambda: _facts(machine()))


def not_measured(name: str, reach: str, missing: str) -> Row:
    """The row of a figure that cannot be had on this machine, and why."""
    return Row(name, 0.0, "", reach, "", 0.0, ok=False, missing=missing)


def timed(work: Callable[[], object], repeat: int) -> list[float]:
    """How many seconds each of ``repeat`` calls took."""
    samples = []
    for _ in range(repeat):
        started = time.perf_counter()
        work()
        samples.append(time.perf_counter() - started)
    return samples


def median_of(samples: Sequence[float]) -> float:
    """The middle one: what a user usually sees, whatever else the machine did now and then."""
    return statistics.median(samples)


def machine() -> dict[str, str]:
    """The facts without which a figure means nothing."""
    return {
        "cpu": _fact("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": _memory(),
        "disk": file_system_of(tempfile.gettempdir()) or "unknown",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def today() -> str:
    """The date, as rows have it."""
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()


def read_rows(path: Path) -> list[Row]:
    """The rows that :func:`as_json` wrote; none of an unknown form."""
    try:
        return [Row(**row) for row in json.loads(path.read_text())["rows"]]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def _facts(machine: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in machine.items())


def as_json(rows: Iterable[Row]) -> str:
    """The rows with all their samples, for machines."""
    content = {"rows": [dataclasses.asdict(row) for row in rows]}
    return json.dumps(content, indent=2, ensure_ascii=False)


def as_markdown(rows: Iterable[Row]) -> str:
    """The rows as a table for people, one for each machine that they were measured on."""
    of_machine: dict[str, list[Row]] = {}
    for row in rows:
        of_machine.setdefault(row.machine, []).append(row)
    return "\n".join(_table(facts, measured) for facts, measured in of_machine.items())


def _table(facts: str, rows: Sequence[Row]) -> str:
    facts += f", date {' and '.join(sorted({row.date for row in rows}))}"
    head = (
        "| Work | Measured | Reach | Limit measured beside it | |\n| --- | --: | --- | --- | --- |"
    )
    newest = max((row.date for row in rows), default="")
    return "\n".join([facts, "", head, *(_line(row, newest) for row in rows), ""])


def _line(row: Row, newest: str) -> str:
    if row.missing:
        return f"| {row.name} | – | {row.reach} | {row.missing} | **not measured** |"
    limit = f"{row.limit_name}: {_figure(row.limit_value)} {row.unit}"
    verdict = "reached" if row.ok else "**missed**"
    verdict += f", {row.date}" if row.date != newest else ""
    return f"| {row.name} | {_figure(row.value)} {row.unit} | {row.reach} | {limit} | {verdict} |"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _memory() -> str:
    total = _fact("/proc/meminfo", "MemTotal").partition(" ")[0]
    return f"{int(total) / 1024**2:.0f} GiB" if total else "unknown"


def _fact(path: str, name: str) -> str:
    """The first value of that name in a file of ``name: value`` lines; "" without the file."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
