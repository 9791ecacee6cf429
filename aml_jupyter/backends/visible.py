"""Which GPUs a process may see: how a lease tells it, and what its submitter could see before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

VISIBLE = "CUDA_VISIBLE_DEVICES"

_OF_SUBMITTER = "AML_SUBMITTER_CUDA_VISIBLE_DEVICES"
_ALL = "all"


def leased(environment: Mapping[str, str], gpus: Sequence[int]) -> dict[str, str]:
    """What shows a process with that environment these GPUs and no others.

    It may submit runs and start the runner, for both of which counts what its own submitter saw:
    that stays beside it.
    """
    seen = submitters(environment)
    return {
        # Counted as nvidia-smi and the lease count them, and not by their speed.
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        VISIBLE: ",".join(map(str, gpus)),
        _OF_SUBMITTER: _ALL if seen is None else seen,
    }


def submitters(environment: Mapping[str, str]) -> str | None:
    """CUDA_VISIBLE_DEVICES as it is without any lease; None where it is not set."""
    kept = environment.get(_OF_SUBMITTER)
    if kept is None:
        return environment.get(VISIBLE)
    return None if kept == _ALL else kept


def unleased(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment as it is without any lease."""
    ours = (VISIBLE, _OF_SUBMITTER)
    rest = {name: value for name, value in environment.items() if name not in ours}
    seen = submitters(environment)
    return rest if seen is None else {**rest, VISIBLE: seen}
