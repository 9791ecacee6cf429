"""What ``from aml_jupyter import Run`` adds to an interpreter."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import aml_jupyter
from aml_jupyter.home import home
from benchmarks.report import Row, median_of, timed
from benchmarks.setting import PYTHON, Effort, experiment, submit

_IMPORT = "from aml_jupyter import Run"
_FOREIGN = (
    "import json, sys; print(json.dumps([name for name, module in sys.modules.items()"
    " if '-packages' in str(getattr(module, '__file__', ''))]))"
)


def rows(effort: Effort) -> Iterator[Row]:
    """``python -c "from aml_jupyter import Run"`` and ``python -c pass`` by turns, from start to
    exit, in the environment of a job; the figure is the difference. Modules are counted as third
    party when their file is in ``site-packages`` and a bare interpreter does not have them.
    Outside a job the same line brings the workspace with it.
    """
    repeat = max(effort.repeat, effort.of(31))
    with experiment() as place:
        run = submit(place, "nothing.py")
        run.wait_for_completion()
        job = {"PYTHONPATH": str(home().bundle()), "AML_RUN_FOLDER": str(run.folder)}
        outside = {"PYTHONPATH": str(Path(aml_jupyter.__file__).parents[1])}
        for where, variables in {"in a job": job, "outside a job": outside}.items():
            yield _time(f"{_IMPORT}, {where}", variables, repeat)
            yield _foreign(f"{_IMPORT}, {where}: third-party modules", variables)


def _time(name: str, variables: Mapping[str, str], repeat: int) -> Row:
    bare, added = [], []
    for _ in range(repeat):
        bare.append(_milliseconds("pass", variables))
        added.append(_milliseconds(_IMPORT, variables) - bare[-1])
    value, limit = median_of(added), ("python -c pass", median_of(bare))
    return Row(name, value, "ms", "≤ 15 ms", *limit, value <= 15, added)


def _milliseconds(program: str, variables: Mapping[str, str]) -> float:
    return 1e3 * timed(lambda: _python(program, variables), 1)[0]


def _foreign(name: str, variables: Mapping[str, str]) -> Row:
    bare = set(json.loads(_python(_FOREIGN, variables)))
    found = set(json.loads(_python(f"{_IMPORT}; {_FOREIGN}", variables))) - bare
    return Row(name, len(found), "modules", "none", "python -c pass", len(bare), not found)


def _python(program: str, variables: Mapping[str, str]) -> bytes:
    command, environment = [PYTHON, "-c", program], {**os.environ, **variables}
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout
