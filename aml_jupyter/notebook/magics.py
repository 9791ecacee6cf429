"""The magics: each parses its line, calls what a script would call, and displays the result."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand
from IPython.utils.text import DollarFormatter

from .. import compat
from ..errors import AmlError, UserErrorException
from ..job import states
from ..workspace.command_table import Command, Group, Parsed, completions, split
from ..workspace.run_options import experiment_name
from . import options
from .arrivals import Arrivals
from .context import NotebookContext
from .options import COMMANDS

if TYPE_CHECKING:
    from ..spec import ScriptRunConfig, Source
    from ..store import RunSummary
    from ..workspace import Experiment, Run, Workspace
    from ..workspace.run_options import RunOptions
    from .environments import Environments

_DEFAULT_RUNS = 20
_DEFAULT_LINES = 50
_LOG_BYTES = 4 * 1024 * 1024
_COMPLETED_RUNS = 100
_RUN_CLASS = ("aml_jupyter.workspace.run", "Run")


@magics_class
class AmlMagics(Magics):
    """``%%aml_run`` and its family."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.context = NotebookContext(shell)
        self.arrivals = Arrivals(shell.user_ns)
        self.answers_to_azureml = False

    @cached_property
    def environments(self) -> Environments:
        """What `%aml_env` does, and what it was told to use."""
        from .environments import Environments

        return Environments(self.context.namespace)

    # Running

    @no_var_expand
    @line_cell_magic
    def aml_run(self, line: str, cell: str | None = None) -> None:
        """Replaced by the help of both forms, see the end of this file."""
        command = options.RUN_SCRIPT if cell is None else options.RUN_CELL
        asked = self._parsed(command, line)
        if asked is None:
            return
        if cell is None:
            self._run_script(asked)
        else:
            self._run_cell(asked, cell)

    def _run_cell(self, asked: Parsed, cell: str) -> None:
        from ..spec import Source
        from .capture import capture
        from .captured import record

        if not cell.strip():
            raise UserErrorException("The cell has no code to run.", "Write it below %%aml_run.")
        folder = _folder(asked.text("source"))
        script = "cell.py"
        if folder is not None and (Path(folder) / script).exists():
            script = "aml_cell.py"
        out = [str(name) for name in asked.many("out")]
        captured = capture(
            self.context.plain_python(cell),
            self.context.namespace,
            sources=self.context.sources([folder] if folder else []),
            with_names=[str(name) for name in asked.many("with")],
            out_names=out,
            script=script,
        )
        facts = {"kind": "cell", **self.context.facts(), **({"out": out} if out else {})}
        facts["captured"] = record(captured.items, self.context.namespace)
        source = Source(folder, captured.files, facts)
        placed = self._placed(asked)
        config = _config(asked, placed, folder or ".", script)
        experiment = asked.text("experiment") or self.context.experiment()
        if asked.given("dry_run"):
            _display(captured.card())
        self._submit(asked, placed, experiment, config, source, out)

    def _run_script(self, asked: Parsed) -> None:
        from ..spec import Source

        folder, script = _script(asked)
        facts = {"kind": _kind(script), **self.context.facts()}
        source = Source(os.path.abspath(folder), {}, facts)
        named = asked.text("experiment")
        experiment = named or (
            self.context.experiment() if self.context.path else experiment_name(Path(script).stem)
        )
        placed = self._placed(asked)
        config = _config(asked, placed, folder, script)
        self._submit(asked, placed, experiment, config, source, [])

    @no_var_expand
    @line_magic
    def aml_batch(self, line: str) -> Any:
        """Replaced by its help, see the end of this file."""
        from ..workspace.batch_run import BatchRun
        from . import batch

        asked = self._parsed(options.BATCH, line)
        if asked is None:
            return None
        found = batch.answer(asked, self._placed(asked), self.context.facts())
        if not isinstance(found, BatchRun):
            return found
        self._bind(asked, found)
        if asked.given("wait"):
            batch.wait(found, asked.given("quiet"))
        else:
            self._show(asked, found)
        return None

    def _placed(self, asked: Parsed) -> RunOptions:
        """Where the run goes, what in, and what it asks for."""
        from ..workspace.run_options import RunOptions

        return RunOptions.of(asked.values, self.environments.for_run(asked.text("env")))

    def _submit(
        self,
        asked: Parsed,
        placed: RunOptions,
        experiment: str,
        config: ScriptRunConfig,
        source: Source,
        out: list[str],
    ) -> None:
        tags = dict(asked.many("tag"))  # type: ignore[arg-type, var-annotated]
        place = _experiment(experiment)
        details: dict[str, Any] = {
            "source": source,
            "display_name": asked.text("name"),
            "resources": placed.resources,
            "options": placed.settings,
        }
        for note in placed.notes:
            print(note)
        if asked.given("dry_run"):
            print(place.plan(config, tags, **details))
            return
        run = place.submit(config, tags, **details)
        self._bind(asked, run)
        self.arrivals.expect(run, out)
        self._show(asked, run)

    def _bind(self, asked: Parsed, run: Run) -> None:
        variable = asked.text("as")
        if variable:
            self.context.namespace[variable] = run

    def _show(self, asked: Parsed, run: Run) -> None:
        from . import views

        if not asked.given("wait"):
            views.show([run], quiet=asked.given("quiet"))
            return
        if asked.given("quiet"):
            views.show([run], quiet=True)
        try:
            run.wait_for_completion(show_output=not asked.given("quiet"))
        finally:
            self.arrivals.bring()

    # Looking

    @no_var_expand
    @line_magic
    def aml_runs(self, line: str) -> Any:
        """Replaced by its help, see the end of this file."""
        from .forms import RunTable

        asked = self._parsed(options.RUNS, line)
        if asked is None:
            return None
        return RunTable(_listed(asked))

    @no_var_expand
    @line_magic
    def aml_attach(self, line: str) -> None:
        """Replaced by its help, see the end of this file."""
        asked = self._parsed(options.ATTACH, line)
        if asked is None:
            return
        run = self._run_named(asked.words)
        self._bind(asked, run)
        self.arrivals.expect(run, _out_of(run))
        self._show(asked, run)

    @no_var_expand
    @line_magic
    def aml_logs(self, line: str) -> None:
        """Replaced by its help, see the end of this file."""
        from ..store.feed import read_tail
        from ..watching.log_text import LogText

        asked = self._parsed(options.LOGS, line)
        if asked is None:
            return
        run = self._run_named(asked.words)
        path = _log_of(run)
        if path is None:
            print(f"Run {run.id} ({run.status}) has written nothing yet.")
            return
        lines = asked.count("lines") or _DEFAULT_LINES
        log = LogText(lines)
        log.feed(read_tail(path, _LOG_BYTES).decode(errors="replace"))
        print(log.text())

    @no_var_expand
    @line_magic
    def aml_cancel(self, line: str) -> None:
        """Replaced by its help, see the end of this file."""
        asked = self._parsed(options.CANCEL, line)
        if asked is None:
            return
        if asked.given("all") == bool(asked.words):
            raise UserErrorException(
                "%aml_cancel needs the ids of runs, or --all.", "%aml_runs lists them."
            )
        place = _workspace()
        # All ids are looked up before the first run is touched.
        runs = [place.get_run(word) for word in asked.words] or list(_unfinished(place))
        for run in runs:
            status = run.status
            if status in states.TERMINAL:
                print(f"{run.id}: {status} already.")
            else:
                run.cancel()
                print(f"{run.id}: cancel asked for.")
        if not runs:
            print("No run is going on.")

    @no_var_expand
    @line_magic
    def aml_compare(self, line: str) -> None:
        """Replaced by its help, see the end of this file."""
        from . import views

        asked = self._parsed(options.COMPARE, line)
        if asked is None:
            return
        place = _workspace()
        runs = list({run.id: run for run in map(place.get_run, asked.words)}.values())
        if len(runs) < 2:
            raise UserErrorException(
                "%aml_compare needs the ids of two runs or more.", "%aml_runs lists them."
            )
        views.show(runs)

    # The surroundings

    @no_var_expand
    @line_magic
    def aml_env(self, line: str) -> Any:
        """Replaced by its help, see the end of this file."""
        group = options.ENVIRONMENTS
        command, words = group.command(split(group.name, self._expanded(line)))
        asked = command.parse_words(words) if command else None
        if command is None or asked is None or asked.given("help"):
            print((command or group).usage())
            return None
        return self.environments.do(command.name.split()[-1], asked)

    @no_var_expand
    @line_magic
    def aml_target(self, line: str) -> Any:
        """Replaced by its help, see the end of this file."""
        from .targets import answer

        asked = self._parsed(options.TARGETS, line)
        if asked is None:
            return None
        return answer(_workspace().folder, asked.words, asked.text("type"))

    @no_var_expand
    @line_magic
    def aml_queue(self, line: str) -> Any:
        """Replaced by its help, see the end of this file."""
        from ..workspace.queue_view import queue_of
        from .queue_table import QueueTable

        asked = self._parsed(options.QUEUE, line)
        return None if asked is None else QueueTable(queue_of(), asked.given("all"))

    @no_var_expand
    @line_magic
    def aml(self, line: str) -> None:
        """Replaced by its help, see the end of this file."""
        if self._parsed(options.HELP_COMMAND, line) is not None:
            width = max(len(command.name) for command in COMMANDS)
            for command in COMMANDS:
                print(f"{command.name:{width}}  {command.summary}")
            print("\nAdd ? for help: %aml_run?")

    # Shared

    def _parsed(self, command: Command, line: str) -> Parsed | None:
        """What the line says; None if it asked for help, which is then shown."""
        asked = command.parse(self._expanded(line))
        if not asked.given("help"):
            return asked
        print(command.usage())
        return None

    def _expanded(self, line: str) -> str:
        """The line with ``{var}`` and ``$var`` replaced; as it was if they mean something else."""
        if "{" not in line and "$" not in line:
            return line
        try:
            return str(DollarFormatter().vformat(line, [], self.context.namespace))
        except Exception:  # noqa: BLE001 (an expression of the user, or no expression at all)
            return line

    def _run_named(self, words: Sequence[str]) -> Run:
        """The run with that id; without one the last of this notebook, else the newest."""
        place = _workspace()
        if words:
            return _as_batch(place.get_run(words[0]))
        path = self.context.path
        found = place.runs(limit=1, notebook=path) if path else []
        found = found or place.runs(limit=1)
        if not found:
            raise UserErrorException(
                "There are no runs in this workspace yet.", "Start one with %%aml_run."
            )
        return _batch_around(place.get_run(found[0].id))

    # Completion

    def complete(self, shell: Any, event: Any) -> list[str]:
        """What may stand at the cursor, for IPython's ``complete_command`` hook."""
        word = str(event.command)
        command = options.RUN_CELL if word.startswith("%%") else _command(word)
        if command is None:
            return []
        line = str(event.text_until_cursor)
        if command is options.BATCH:
            return completions(command, line, event.symbol, lambda s: self._known_of_batch(s, line))
        if command is options.RUNS:
            symbol = str(event.symbol)
            return completions(
                command, line, symbol, lambda s: self._known_of_filter(s, line, symbol)
            )
        return completions(command, line, event.symbol, self._known)

    def _known_of_batch(self, source: str, line: str) -> list[str]:
        """The same, and what the notebook named in the line has as parameters."""
        if source == "parameters":
            from .batch import parameter_names

            return parameter_names(line)
        return self._known(source)

    def _known_of_filter(self, source: str, line: str, symbol: str) -> list[str]:
        """The same, and what a word of a filter may become, from where ``symbol`` begins in it."""
        if source != "filter":
            return self._known(source)
        word = line.split()[-1] if line and not line[-1].isspace() else ""
        start = word.removesuffix(symbol)
        try:
            found = _workspace().filter_completions(word)
        except (AmlError, OSError):
            return []
        return [each.removeprefix(start) for each in found]

    def _known(self, source: str) -> list[str]:
        """The targets, experiments and so on that there are; nothing when they cannot be read."""
        try:
            return list(self._look_up(source))
        except (AmlError, OSError):
            return []

    def _look_up(self, source: str) -> Iterator[str]:
        if source == "targets":
            yield from _workspace().targets()
        elif source == "target actions":
            from ..workspace.target_words import ACTIONS

            yield from ACTIONS
        elif source == "target types":
            from ..workspace.target_settings import kinds

            yield from kinds()
        elif source == "environments":
            yield from _workspace().environments
            yield from self._look_up("paths")
        elif source == "data":
            from ..assets.dataset_records import names

            yield from names(str(_workspace().folder.root))
        elif source == "experiments":
            yield from _workspace().experiments
        elif source == "runs":
            yield from (run.id for run in _workspace().runs(limit=_COMPLETED_RUNS))
        elif source == "states":
            yield from sorted(states.ALL)
        elif source == "variables":
            yield from (n for n in self.context.namespace if not n.startswith("_"))
        elif source == "paths":
            yield from (f"{p.name}/" if p.is_dir() else p.name for p in Path().iterdir()
                        if not p.name.startswith("."))  # fmt: skip
        elif source == "notebooks":
            yield from (p for p in self._look_up("paths") if p.endswith((".ipynb", "/")))


def _listed(asked: Parsed) -> Sequence[RunSummary]:
    """The newest runs that the words and options of a list say."""
    from ..workspace.run_filter import narrowed, parse_words

    state, tag = asked.text("state"), asked.text("tag")
    wanted = narrowed(
        parse_words(asked.words),
        experiment=asked.text("experiment"),
        state=None if state is None else _state(state),
        tags=[] if tag is None else [tag],
        children=asked.given("children"),
    )
    limit = asked.count("count") or _DEFAULT_RUNS
    return _workspace().list_runs(wanted, "created", limit=limit).runs


def _workspace() -> Workspace:
    from ..workspace import Workspace

    return Workspace.from_config()


def _experiment(name: str) -> Experiment:
    from ..workspace import Experiment

    return Experiment(_workspace(), name)


def _display(thing: object) -> None:
    from IPython.display import display

    display(thing)  # type: ignore[no-untyped-call]


def _folder(source: str | None) -> str | None:
    if source is None:
        return None
    folder = Path(source).expanduser().absolute()
    if not folder.is_dir():
        raise UserErrorException(
            f"--source {source}: there is no such folder.", "Name the folder that has your code."
        )
    return str(folder)


def _script(asked: Parsed) -> tuple[str, str]:
    """Folder and script, relative to it, that ``%aml_run`` is asked to run."""
    named = [*asked.words, *filter(None, [asked.text("script")])]
    if len(named) != 1:
        problem = "two scripts" if named else "no script"
        raise UserErrorException(
            f"%aml_run was given {problem}.", "Name one: %aml_run train.py -- --epochs 5"
        )
    source = _folder(asked.text("source"))
    script = Path(named[0]).expanduser()
    if source is None:
        path = script.absolute()
        folder, relative = str(path.parent), path.name
    else:
        # Both `--source src train.py` and `--source src src/train.py` mean the same file.
        inside = Path(source) / script
        path = inside if inside.exists() else script.absolute()
        folder, relative = source, os.path.relpath(path, source)
    if not path.is_file() or relative.startswith(".."):
        raise UserErrorException(
            f"There is no {_kind(named[0])} {named[0]} in {folder}.",
            "Name a file of that folder, or another folder with --source.",
        )
    return folder, relative


def _kind(name: str) -> str:
    return "notebook" if name.endswith(".ipynb") else "script"


def _as_batch(run: Run) -> Run:
    """The run; one that is a batch with what only a batch can do."""
    from ..spec import FAMILY_TYPE
    from ..workspace.batch_run import as_batch

    return as_batch(run) if run.type == FAMILY_TYPE else run


def _batch_around(run: Run) -> Run:
    """The batch that the run belongs to; else the run itself."""
    from ..spec import FAMILY_TYPE

    parent = run.parent
    if parent is not None and parent.type == FAMILY_TYPE:
        return _as_batch(parent)
    return _as_batch(run)


def _state(text: str) -> str:
    known = {state.lower(): state for state in states.ALL}
    if text.lower() not in known:
        raise UserErrorException(
            f"There is no state {text!r}.", f"Use one of {', '.join(sorted(known.values()))}."
        )
    return known[text.lower()]


def _unfinished(place: Workspace) -> Iterator[Run]:
    """The runs that go on; those whose parent goes on, too, are left out: they end with it."""
    unfinished = sorted(states.ALL - states.TERMINAL)
    found = [run for state in unfinished for run in place.runs(limit=-1, state=state)]
    known = {run.id for run in found}
    for run in found:
        if run.parent not in known:
            yield place.get_run(run.id)


def _out_of(run: Run) -> list[str]:
    """The variables that the run was asked to bring back when it was submitted."""
    from ..job import layout

    request = layout.read_json(str(run.folder / layout.REQUEST)) or {}
    found = (request.get("source") or {}).get("out") or []
    return [str(name) for name in found]


def _log_of(run: Run) -> Path | None:
    """The log to read: the driver's, else the latest that has something in it."""
    logs = sorted((run.folder / "azureml-logs").glob("*.txt"), reverse=True)
    logs.sort(key=lambda path: not path.name.startswith("70_driver"))
    return next((path for path in logs if path.stat().st_size), None)


def _config(asked: Parsed, placed: RunOptions, folder: str, script: str) -> ScriptRunConfig:
    from ..spec import MAX_DURATION_SECONDS_DEFAULT, ScriptRunConfig

    config = ScriptRunConfig(
        folder,
        script=script,
        arguments=list(asked.arguments),
        compute_target=placed.compute_target,
        environment=placed.environment,
        max_run_duration_seconds=asked.count("timeout") or MAX_DURATION_SECONDS_DEFAULT,
    )
    placed.apply(config)
    return config


def _command(word: str) -> Command | Group | None:
    return next((c for c in COMMANDS if c.name == f"%{word.lstrip('%')}"), None)


def _help(name: str) -> str:
    """The help of a magic; of both forms if it is for lines and for cells."""
    forms = [command.usage() for command in COMMANDS if command.name.lstrip("%") == name]
    return "\n\n".join(forms)


for _name in {command.name.lstrip("%") for command in COMMANDS}:
    getattr(AmlMagics, _name).__doc__ = _help(_name)


# Registration

_MARK = "_aml_magics"


def load(shell: Any) -> None:
    """Register everything with ``shell``; a second time changes nothing."""
    if getattr(shell, _MARK, None) is not None:
        return
    magics = AmlMagics(shell)
    shell.register_magics(magics)
    shell.events.register("pre_run_cell", magics.arrivals.bring)
    for command in COMMANDS:
        shell.set_hook("complete_command", magics.complete, str_key=command.name)
    # By name: the class comes with the first run, not with the magics.
    shell.display_formatter.mimebundle_formatter.for_type_by_name(*_RUN_CLASS, _display_of)
    magics.answers_to_azureml = compat.install()
    setattr(shell, _MARK, magics)
    threading.Thread(target=_warm_up, name="aml-warm-up", daemon=True).start()


def _warm_up() -> None:
    """Import what a live view needs while its first cell is being written: it takes a second."""
    from .views import surface

    if surface() == "live":
        from . import charts, live  # noqa: F401


def unload(shell: Any) -> None:
    """Take everything away again."""
    magics = getattr(shell, _MARK, None)
    if magics is None:
        return
    shell.events.unregister("pre_run_cell", magics.arrivals.bring)
    hooks = shell.strdispatchers["complete_command"].strs
    for command in COMMANDS:
        hooks.pop(command.name, None)
        for kind in ("line", "cell"):
            shell.magics_manager.magics[kind].pop(command.name.lstrip("%"), None)
    shell.display_formatter.mimebundle_formatter.pop(".".join(_RUN_CLASS), None)
    if magics.answers_to_azureml:
        compat.uninstall()
    delattr(shell, _MARK)


def _display_of(run: Run) -> dict[str, object]:
    from .views import mimebundle

    return mimebundle([run])
