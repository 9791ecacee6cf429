"""An extension of a Jupyter server that is measured: how late its event loop comes to do things."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

_EVERY = 0.005
VARIABLE = "AML_BENCH_LAGS"
"""Names the file that the delays are written to: a time, the delay in seconds, and for how much of
it this process had a processor, with whatever thread; the rest others had."""


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "benchmarks.loop_probe"}]


def _load_jupyter_server_extension(server: Any) -> None:
    server.io_loop.add_callback(_probe)


async def _probe() -> None:
    lags: list[tuple[float, float, float]] = []
    written = time.monotonic()
    while True:
        asked, computed = time.perf_counter(), time.process_time()
        await asyncio.sleep(_EVERY)
        late = max(0.0, time.perf_counter() - asked - _EVERY)
        lags.append((time.time(), late, min(late, time.process_time() - computed)))
        if time.monotonic() > written + 1:
            await asyncio.to_thread(_write, list(lags))
            written = time.monotonic()


def _write(lags: list[tuple[float, float, float]]) -> None:
    path = os.environ[VARIABLE]
    with open(f"{path}.new", "w") as file:
        json.dump(lags, file)
    os.replace(f"{path}.new", path)
