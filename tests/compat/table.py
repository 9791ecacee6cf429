"""What came of the samples, as a page."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import version

from .harness import FAILS, NOT_PLAYED, PARTLY, RUNS, Outcome, python
from .samples import HYPERDRIVE, PIPELINE, SERVICE, TABLES

LATER = (HYPERDRIVE, PIPELINE, SERVICE)
"""Reasons that put a sample out of what is counted."""

_HEAD = """\
# Public samples of SDK v1

What comes of the samples that Microsoft published for SDK v1, unchanged, without an account and
without a network. This page is written by `python -m tests.compat --write`; how it plays them is
[below](#how-they-are-played).

"""

_HOW = """\
## How they are played

S19, S20, S21, S22 and S25 are commits of the repository Azure/MachineLearningNotebooks, EX is one
of Azure/azureml-examples; `tests/compat/sources.py` has them. Nothing of them is kept in this
project. Each sample is copied from a checkout into a project of its own and played from its first
cell to its last:

- Notebooks are executed with `aml_jupyter` as an extension of IPython; scripts by `aml compat run`.
- Everything happens in a network namespace with nothing in it but loopback: the kernel refuses
  every other connection, of notebooks, jobs and their children alike.
- What a sample fetches has a small stand-in, made on the spot: digits of scikit-learn in MNIST's
  files, its irises, random pictures in CIFAR's files. `AML_MIRRORS` maps their addresses.
- `AML_ENVIRONMENTS=present`: no environment is built; the interpreter with the packages named
  above stands for all of them.
- Where the remarks say so, `AML_COMPAT_SHIMS` puts back what libraries of today have dropped, or
  the harness itself does; checksums of data that has a stand-in are not looked at.
- Targets that a sample expects to exist are made beforehand; `docker` and `az` are not there.
- After the last cell all runs must have ended, and what the sample claims is looked up: runs
  completed, metrics and files there, models and datasets registered.

*runs in part* means that the cells before the named part ran and their claims hold; such
samples are not counted. Cells that are passed over are named; nothing else of a sample is changed.

To play them: put checkouts where `AML_SAMPLES_MLN` and `AML_SAMPLES_EX` say (a clone, or what
`python -m tests.compat --extract` makes of one), name an interpreter that has aml_jupyter and the
packages by `AML_SAMPLES_PYTHON`, and call `python -m tests.compat`.
"""

_PACKAGES = (
    "numpy",
    "scikit-learn",
    "pandas",
    "mlflow",
    "lightgbm",
    "xgboost",
    "torch",
    "tensorflow-cpu",
)


def page(outcomes: Sequence[Outcome]) -> str:
    """The whole page."""
    of = {outcome.sample.key: outcome for outcome in outcomes}
    parts = [_HEAD, f"{summary(outcomes)}\n\n{_interpreter()}\n"]
    for title, samples in TABLES.items():
        rows = [of[sample.key] for sample in samples if sample.key in of]
        parts.append(f"\n## {title}\n\n{_table(rows)}\n")
    parts.append("\n" + _HOW)
    return "".join(parts)


def summary(outcomes: Sequence[Outcome]) -> str:
    """How many of those that are counted run, in one line."""
    counted = [outcome for outcome in outcomes if is_counted(outcome)]
    run = sum(outcome.result == RUNS for outcome in counted)
    rest = len(outcomes) - len(counted)
    return (
        f"{run} of {len(counted)} samples run; {rest} are not counted, because they need what "
        "comes later or what is not ours."
    )


def is_counted(outcome: Outcome) -> bool:
    """Whether it is one that has to run: it needs nothing that comes later."""
    return outcome.result in (RUNS, FAILS)


def _table(outcomes: Iterable[Outcome]) -> str:
    lines = ["| Sample | | Result | Seconds | Remarks |", "| --- | --- | --- | ---: | --- |"]
    lines += [f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in _row(o))}|" for o in outcomes]
    return "\n".join(lines)


def _row(outcome: Outcome) -> list[str]:
    sample = outcome.sample
    place = f"`{sample.folder}/{', '.join(sample.played)}` ({sample.code})"
    seconds = f"{outcome.seconds:.0f}" if outcome.result != NOT_PLAYED else ""
    return [sample.key.split()[0], place, outcome.result, seconds, _remarks(outcome)]


def _remarks(outcome: Outcome) -> str:
    said = [outcome.sample.note] if outcome.result != NOT_PLAYED else []
    for reason, cells in outcome.passed_over.items():
        until = " to the end" if reason in outcome.sample.until.values() else ""
        said.append(f"{cells} cell{'s' * (cells > 1)}{until} passed over: {reason}")
    if outcome.why:
        said.append(_in_short(outcome.why))
    return "; ".join(filter(None, said))


def _in_short(why: str) -> str:
    lines = [line.strip() for line in why.splitlines() if line.strip()]
    last = lines[0] if len(lines) == 1 else lines[-1]
    return re.sub(r"[|`]", "", last)[:160]


def _interpreter() -> str:
    code = "import platform, sys; from importlib.metadata import version as v\n" + (
        f"for name in {_PACKAGES!r}:\n try: print(name, v(name))\n except Exception: pass\n"
    )
    asked = [python(), "-c", code + "print('Python', platform.python_version())"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split("\n")
    named = ", ".join(filter(None, told))
    return f"With aml_jupyter {version('aml_jupyter')} on {platform.system()}: {named}."


__all__ = ["FAILS", "LATER", "PARTLY", "page", "summary"]
