"""``aml run``: a script, notebook or command becomes a run; ``aml rerun``: a run is done anew."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any

from ..errors import UserErrorException
from ..spec import Environment, ScriptRunConfig
from ..store import WorkspaceFolder, project_for
from ..workspace import Experiment, Run, Submission, Workspace, run_options, submission
from ..workspace.run_options import RunOptions, environment_of
from . import OK
from .finding import Watch, find_run, workspace_here
from .follow import watch_to_its_end
from .options import add_options
from .parser import Command, Parser, add_run, duration, tag
from .present import described, print_json, say

_NOTES = """\
Options come before the script; all that follows it is the script's.
The folder that the run takes along, unless --source says it: the current one if that is the
root of the project and the script lies in it, else the folder of the script."""

_RERUN_NOTES = """\
The source is the snapshot that was taken when the run was submitted; what the folder holds by now
does not matter. Tags and name are those it was submitted with, unless others are given."""


def _arguments(parser: Parser) -> None:
    add = parser.add_argument
    add("-e", "--experiment", metavar="NAME", help="the experiment; named after the script")
    add_options(parser, run_options.OPTIONS)
    add("--source", metavar="DIR", help="take this folder along; it becomes the working directory")
    add("--command", metavar="TEXT", help="run this in a shell instead of a script")
    add("--timeout", metavar="TIME", type=duration, help="cancel after 90s, 30m, 2h or 1d")
    add("--id", metavar="ID", help="the id of the run; made up if not said")
    _add_labels(parser)
    add("--dry-run", action="store_true", help="show the plan and submit nothing")
    add("words", metavar="script.py|notebook.ipynb [argument …]", nargs=argparse.REMAINDER)


def _add_labels(parser: Parser) -> None:
    """What a new run is called, and whether to wait for it."""
    add = parser.add_argument
    add("--tag", metavar="KEY=VALUE", type=tag, action="append", default=[], help="tag the run")
    add("--name", metavar="TEXT", help="the display name of the run")
    add("--wait", action="store_true", help="follow the log; exit 1 if the run does not complete")


def _run(options: argparse.Namespace) -> int:
    asked = RunOptions.of(vars(options), _environment(options.env))
    config = _config(options, asked)
    config.check()
    workspace = Workspace.from_config()
    experiment = options.experiment or _experiment_for(config)
    tags: dict[str, str] = dict(options.tag)
    details: dict[str, Any] = {
        "display_name": options.name,
        "resources": asked.resources,
        "options": asked.settings,
    }
    for note in asked.notes:
        say(note)
    if options.dry_run:
        planned = submission.plan(workspace.folder, experiment, config, tags, **details)
        _show_plan(planned, options.json)
        return OK
    run = Experiment(workspace, experiment).submit(config, tags, run_id=options.id, **details)
    return _tell(run, options)


def _environment(named: str | None) -> Environment | None:
    return None if named is None else environment_of(named, Workspace.from_config)


def _tell(run: Run, options: argparse.Namespace) -> int:
    """Name the run that was submitted, or follow it to its end if asked to."""
    if options.wait:
        return watch_to_its_end(run, options.json)
    if options.json:
        print_json(described(Watch(run).summary(), run.experiment.workspace.folder.root))
        return OK
    print(run.id)
    if sys.stdout.isatty():
        say("`aml attach` follows it, `aml runs` lists all runs.")
    return OK


def _rerun_arguments(parser: Parser) -> None:
    add_run(parser)
    _add_labels(parser)
    parser.add_argument(
        "--locked", action="store_true", help="with exactly the packages that the run had"
    )


def _rerun(options: argparse.Namespace) -> int:
    old = find_run(workspace_here(), options.run)
    tags: dict[str, str] | None = dict(options.tag) if options.tag else None
    return _tell(old.rerun(tags, options.name, locked=options.locked), options)


def _config(options: argparse.Namespace, asked: RunOptions) -> ScriptRunConfig:
    words = list(options.words)
    if words[:1] == ["--"]:
        del words[0]
    if bool(words) == bool(options.command):
        what = "both a script and --command" if words else "neither a script nor --command"
        raise UserErrorException(
            f"aml run was given {what}.", "For example: aml run train.py --epochs 5"
        )
    script, arguments = (words[0], words[1:]) if words else (None, [])
    if arguments[:1] == ["--"]:  # as in the magics, where it parts options from arguments
        del arguments[0]
    source, script = _source(options.source, script)
    # What is left out must not be passed as None: that would be no limit rather than v1's.
    limit = {} if options.timeout is None else {"max_run_duration_seconds": options.timeout}
    config = ScriptRunConfig(
        source,
        script,
        arguments or None,
        compute_target=asked.compute_target,
        environment=asked.environment,
        command=options.command,
        **limit,
    )
    asked.apply(config)
    return config


def _source(folder: str | None, script: str | None) -> tuple[str, str | None]:
    """The folder to take along, and the script in it."""
    if script is None:
        return os.path.abspath(folder or "."), None
    path = os.path.abspath(script)
    if folder is not None:
        inside = os.path.join(os.path.abspath(folder), script)
        return os.path.abspath(folder), path if _is_only_here(path, inside) else script
    here = Path.cwd()
    if Path(path).is_relative_to(here) and _project(here) == here:
        return str(here), path
    return os.path.dirname(path), path


def _is_only_here(path: str, inside: str) -> bool:
    """Whether the script was named from the working directory, not from the source folder."""
    return os.path.isfile(path) and not os.path.isfile(inside)


def _project(here: Path) -> Path:
    """The folder of the workspace that the run will be in."""
    found = WorkspaceFolder.find(here)
    return found.project if found else project_for(here)


def _experiment_for(config: ScriptRunConfig) -> str:
    named = Path(config.script).stem if config.script else Path(config.source_directory).name
    return re.sub(r"[^A-Za-z0-9_-]+", "-", named).strip("-_") or "default"


def _show_plan(planned: Submission, as_json: bool) -> None:
    if not as_json:
        print(planned)
        return
    job = planned.job
    facts: dict[str, Any] = {
        "experiment": planned.experiment,
        "script": job.script,
        "command": job.command,
        "arguments": list(job.arguments),
        "source": planned.source.directory,
        "interpreter": job.interpreter,
        "target": planned.config.target,
        "max_seconds": job.max_seconds,
        "priority": job.priority,
        "resources": job.resources.to_json(),
        "image": job.image,
        "recipe": dict(job.recipe),
        "tags": dict(planned.tags),
        "text": str(planned),
    }
    print_json({"plan": facts})


COMMANDS = {
    "run": Command(
        _arguments,
        _run,
        (
            "aml run train.py --epochs 5",
            "aml run -e mnist --tag model=cnn --wait train.py --epochs 5",
            "aml run --env requirements.txt --gpus 1 --mem 16G train.py",
            "aml run --env image:pytorch/pytorch --gpus all --docker-arg --network=host train.py",
            "aml run --env requirements.txt --wait analysis.ipynb",
            'aml run --source src --command "./prepare.sh && python train.py"',
        ),
        notes=_NOTES,
        usage='[options] script.py [argument …]\n       aml run [options] --command "…"',
    ),
    "rerun": Command(
        _rerun_arguments,
        _rerun,
        ("aml rerun mnist_17", "aml rerun last --wait --tag try=2", "aml rerun last --locked"),
        notes=_RERUN_NOTES,
    ),
}
