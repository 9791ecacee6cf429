"""A machine with two GPUs, as far as runners, jobs and other processes can tell."""

from __future__ import annotations

from pathlib import Path

import pytest

FAKE = Path(__file__).parent / "fake_nvml"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state of the GPUs' driver, as a folder; for processes started from now on."""
    state, libraries = tmp_path / "gpus", tmp_path / "libraries"
    state.mkdir()
    libraries.mkdir()
    # A library that does no harm will do: the driver is only ever spoken to through pynvml.
    with open("/proc/self/maps", encoding="utf-8") as maps:
        mapped = [line.split()[-1] for line in maps if ".so" in line]
    harmless = next(path for path in mapped if Path(path).name.startswith(("libc.", "libc-")))
    (libraries / "libnvidia-ml.so.1").symlink_to(harmless)
    monkeypatch.setenv("FAKE_NVML", str(state))
    monkeypatch.setenv("PYTHONPATH", str(FAKE))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(libraries))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("AML_FAKE_GPUS", raising=False)
    return state
