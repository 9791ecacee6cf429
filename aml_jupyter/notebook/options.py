"""The options of the magics: one table that parses, explains itself and completes."""

from __future__ import annotations

from dataclasses import replace

from ..workspace import batch_options, env_table, run_options
from ..workspace.command_table import HELP, Command, Group, Option
from ..workspace.run_filter import help_lines
from ..workspace.run_options import EXPERIMENT, NAME, SOURCE, TAG, TIMEOUT


def names(text: str) -> list[str]:
    """The names in ``a,b``."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    wrong = [name for name in found if not name.isidentifier()]
    if wrong or not found:
        raise ValueError("name variables, with commas between them")
    return found


def variable(text: str) -> str:
    """One variable name."""
    if not text.isidentifier():
        raise ValueError("it must be the name of a variable")
    return text


def number(text: str) -> int:
    """A whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("it must be a whole number above zero")
    return int(text)


AS = Option("--as", "NAME", "give the run to this variable", variable)
WAIT = Option("--wait", "", "show the output here and wait for the end")
QUIET = Option("--quiet", "", "one line that follows the state, instead of the live view")
DRY_RUN = Option("--dry-run", "", "show what would be captured and done, and do nothing")

_COMMON = (
    EXPERIMENT, *run_options.OPTIONS, SOURCE, TIMEOUT, TAG, AS, NAME, WAIT, QUIET, DRY_RUN, HELP,
)  # fmt: skip
_WITH = Option(
    "--with", "VAR,…", "send these variables pickled", names, many=True, source="variables"
)
_OUT = Option("--out", "VAR,…", "bring these variables back when the run completes", names,
              many=True)  # fmt: skip
_LAST = "the last run of this notebook if none is named"


RUN_CELL = Command(
    "%%aml_run",
    "Run this cell as a job that outlives the notebook, and watch it here.",
    options=(_WITH, _OUT, *_COMMON),
    arguments=True,
    examples=(
        "%%aml_run -e mnist --out history --tag model=cnn",
        "%%aml_run --with train_set --timeout 2h --as run -- --epochs 5",
        "%%aml_run --env requirements.txt --gpus 1 --mem 16G",
    ),
)
RUN_SCRIPT = Command(
    "%aml_run",
    "Run a script or a notebook, with the folder it is in, as a job that outlives this notebook.",
    words="[script.py|notebook.ipynb]",
    options=(
        Option("--script", "FILE", "the script or notebook, below --source", source="paths"),
        *_COMMON,
    ),
    arguments=True,
    most=1,
    sources=("paths",),
    examples=(
        "%aml_run train.py -e mnist -- --epochs 5",
        "%aml_run --source src --script train.py --env ~/envs/torch/bin/python",
        "%aml_run train.py --env image:pytorch/pytorch --gpus all --docker-arg --network=host",
        "%aml_run analysis.ipynb --env requirements.txt",
    ),
)
BATCH = Command(
    "%aml_batch",
    "Execute a notebook with many sets of parameters, each as a run, and watch them here.",
    words="[NOTEBOOK]",
    options=(
        *(
            replace(each, source="parameters") if each is batch_options.PARAMETER else each
            for each in batch_options.OPTIONS
        ),
        replace(AS, help="give the batch to this variable"),
        replace(WAIT, help="say here how each ends, and wait for all"),
        QUIET,
        replace(DRY_RUN, help="show what would be done, and do nothing"),
        HELP,
    ),
    most=1,
    sources=("notebooks",),
    examples=(
        "%aml_batch report.ipynb --inspect",
        "%aml_batch report.ipynb -p alpha 0.1,0.3,1.0 -p seed 1..5 --as batch",
        "%aml_batch report.ipynb --params table.csv --parallel 4 --retry 2",
        "%aml_batch --resume report_1795880682_75029596",
    ),
)
RUNS = Command(
    "%aml_runs",
    "List the newest runs of this workspace.",
    words="[FILTER…]",
    most=1000,
    sources=("filter",),
    notes=("Filter:", *help_lines()),
    negates=True,
    options=(
        Option("-n/--count", "N", "how many; 20 if not said", number),
        Option("--state", "STATE", "only runs in this state", source="states"),
        EXPERIMENT,
        Option("--tag", "KEY[=VALUE]", "only runs with this tag"),
        Option("--children", "", "child runs, and the notebooks of batches, as well"),
        HELP,
    ),
    examples=(
        "%aml_runs -n 5 state:running",
        "%aml_runs metric.loss<0.2 -tag:draft since:7d",
        "%aml_runs -e mnist --tag model=cnn",
    ),
)
ATTACH = Command(
    "%aml_attach",
    "Show a run live: after a restart of the kernel, or from another notebook.",
    words="[ID]",
    options=(AS, QUIET, WAIT, HELP),
    most=1,
    sources=("runs",),
    examples=("%aml_attach", "%aml_attach mnist_17 --as run"),
)
LOGS = Command(
    "%aml_logs",
    f"Print the end of a run's log; {_LAST}.",
    words="[ID]",
    options=(Option("-n/--lines", "N", "how many lines; 50 if not said", number), HELP),
    most=1,
    sources=("runs",),
    examples=("%aml_logs -n 200",),
)
CANCEL = Command(
    "%aml_cancel",
    "Cancel runs. What they wrote so far is kept.",
    words="ID…",
    options=(Option("--all", "", "every run of this workspace that has not ended"), HELP),
    most=10_000,
    sources=("runs",),
    examples=("%aml_cancel mnist_17", "%aml_cancel --all"),
)
COMPARE = Command(
    "%aml_compare",
    "Show runs together: one line for each in every chart, and what differs between them.",
    words="ID ID…",
    options=(HELP,),
    most=20,
    sources=("runs",),
    examples=("%aml_compare mnist_17 mnist_18",),
)
ENVIRONMENTS = env_table.group("%aml_env", in_notebook=True)
TARGETS = Command(
    "%aml_target",
    "Compute targets: list, show, add, test or remove them.",
    words="[list|show|add|test|remove] [NAME] [KEY=VALUE …]",
    options=(Option("--type", "KIND", "the type of the target", source="target types"), HELP),
    most=1000,
    sources=("target actions", "targets"),
    examples=(
        "%aml_target",
        "%aml_target add gpu-box --type docker host=ssh://me@gpu-box shm_size=8g",
        "%aml_target show --type docker",
        "%aml_target test gpu-box",
    ),
)
QUEUE = Command(
    "%aml_queue",
    "Show who runs on this machine, who waits, and what for.",
    options=(Option("--all", "", "all that wait; else the first 20"), HELP),
    examples=("%aml_queue", "%aml_queue --all"),
)
HELP_COMMAND = Command("%aml", "List the magics of aml_jupyter.", options=(HELP,))

COMMANDS: tuple[Command | Group, ...] = (
    RUN_CELL, RUN_SCRIPT, BATCH, RUNS, ATTACH, LOGS, CANCEL, COMPARE, ENVIRONMENTS, TARGETS, QUEUE,
    HELP_COMMAND,
)  # fmt: skip
"""Every magic there is."""
