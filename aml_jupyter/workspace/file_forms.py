"""Forms of files: of a script, of a notebook with its parameters, of a run configuration."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import AmlError, UserErrorException
from . import batch_options, run_options
from .command_table import Option
from .data_option import DataAsked
from .run import Run
from .run_form import (
    ARGUMENTS,
    OF_BATCH,
    PARAMETER,
    RUN,
    Field,
    Form,
    FormException,
    Plan,
    Problem,
    Texts,
    choices,
    concerning,
)
from .run_options import RunOptions, environment_of, experiment_name
from .workspace import Workspace


def form_for(path: Path, root: Path, batch: bool = False) -> Form:
    """The form of a file below ``root``: of a script, a notebook or a run configuration."""
    if not path.is_file():
        raise UserErrorException(
            f"There is no file {path.name} in {path.parent}.", "Save it first."
        )
    if path.suffix == ".ipynb":
        return NotebookForm(path, root, batch)
    if path.suffix == ".py":
        return ScriptForm(path, root)
    if path.suffix in (".yml", ".yaml", ".runconfig"):
        return ConfigurationForm(path, root)
    raise UserErrorException(
        f"{path.name} cannot be submitted.",
        "Scripts (.py), notebooks (.ipynb) and run configurations (.yml, .runconfig) can.",
    )


class FileForm(Form):
    """A form of a file; the folder it is in is taken along."""

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self.root = root
        self.title = path.name

    @cached_property
    def workspace(self) -> Workspace | None:
        """The workspace of the file's project, if it has one."""
        return Workspace.find(self.path.parent)

    def options(self) -> Sequence[Option]:
        """What a run of the file takes, in order."""
        return (ARGUMENTS, *RUN)

    @cached_property
    def fields(self) -> list[Field]:
        """The options, with what there is to choose from."""
        return [
            Field.of(
                option,
                usual=self.usual().get(option.key, ""),
                choices=tuple(choices(option, self.workspace, self.path.parent)),
                values=tuple(self.begins_with().get(option.key, ())),
            )
            for option in self.options()
        ]

    def usual(self) -> Mapping[str, str]:
        """What holds for options that are left empty."""
        return {
            "experiment": experiment_name(self.path.stem),
            "target": "local",
            "env": "the Python of this server",
            "source": "the folder of the file",
        }

    def begins_with(self) -> Texts:
        """What fields hold to begin with."""
        return {}

    def asked(self, values: Mapping[str, Any]) -> RunOptions:
        """Where the run goes, what in, and what it asks for."""
        folder, named = self.path.parent, values.get("env")
        environment = None
        if named:
            with concerning("env"):
                environment = environment_of(str(named), self._made, folder)
        data = [self._from_here(each) for each in values.get("data") or ()]
        with concerning("gpu_mem"):
            return RunOptions.of({**values, "data": data}, environment)

    def source(self, values: Mapping[str, Any]) -> Path:
        """The folder that is taken along."""
        folder = (self.path.parent / str(values.get("source") or "")).expanduser().resolve()
        if not folder.is_dir():
            raise FormException([Problem("source", f"There is no folder {folder}.")])
        if not self.path.is_relative_to(folder):
            raise FormException(
                [Problem("source", f"{self.path.name} is not in {folder}.", "Name a folder above.")]
            )
        if not folder.is_relative_to(self.root):
            raise FormException(
                [Problem("source", "It is outside of the folder that the server shows.")]
            )
        return folder

    def _made(self) -> Workspace:
        return self.workspace or Workspace.from_config(self.path.parent)

    def _from_here(self, data: DataAsked) -> DataAsked:
        """Data at a relative path begin where the file lies."""
        if "://" in data.what or os.sep not in data.what:
            return data
        return replace(data, what=str(self.path.parent / Path(data.what).expanduser()))


class ScriptForm(FileForm):
    """A form of a script."""

    kind = "script"

    def plan(self, texts: Texts) -> Plan:
        """One run of the script."""
        from ..spec import ScriptRunConfig

        values = self.read(texts)
        asked, folder = self.asked(values), self.source(values)
        config = ScriptRunConfig(
            str(folder),
            str(self.path.relative_to(folder)),
            values.get("arguments") or None,
            compute_target=asked.compute_target,
            environment=asked.environment,
            **_limit(values),
        )
        return _one_run(self, values, asked, config, {"kind": "script"})


def _limit(values: Mapping[str, Any]) -> dict[str, Any]:
    # What is left out must not be passed as None: that would be no limit rather than v1's.
    return {"max_run_duration_seconds": values["timeout"]} if "timeout" in values else {}


class NotebookForm(FileForm):
    """A form of a notebook: one run, or a batch where parameters have several values."""

    kind = "notebook"

    def __init__(self, path: Path, root: Path, batch: bool = False) -> None:
        super().__init__(path, root)
        self.batch = batch

    @cached_property
    def fields(self) -> list[Field]:
        """The parameters of the notebook, then the options."""
        return [*self._parameters(), *super().fields]

    def options(self) -> Sequence[Option]:
        """What a run takes, and what a batch takes besides."""
        # A batch is told how long a cell may take, not how long it takes in all.
        return (*(o for o in RUN if o is not run_options.TIMEOUT), *OF_BATCH)

    def plan(self, texts: Texts) -> Plan:
        """A batch if that was asked or there are several sets of parameters, else one run."""
        values = self.read(texts)
        given = {
            name.removeprefix(PARAMETER): found[1]
            for name, found in values.items()
            if name.startswith(PARAMETER)
        }
        asked, folder = self.asked(values), self.source(values)
        facts = {"kind": "notebook", "notebook": str(self.path)}
        if not self.batch and "params" not in values and all(len(v) == 1 for v in given.values()):
            return self._single(values, {k: v[0] for k, v in given.items()}, asked, folder, facts)
        options = {
            **{k: v for k, v in values.items() if not k.startswith(PARAMETER)},
            "parameter": list(given.items()),
            "source": str(folder),
        }
        if "params" in values:
            options["params"] = str(self._table(values["params"]))
        options.setdefault("experiment", experiment_name(self.path.stem))
        with concerning("params" if "params" in values else ""):
            batch = batch_options.batch_of(str(self.path), options, asked, facts)
            named = values.get("name")
            return replace(batch, workspace=self._made(), name=named).plan()

    def _single(
        self,
        values: Mapping[str, Any],
        parameters: Mapping[str, object],
        asked: RunOptions,
        folder: Path,
        facts: Mapping[str, object],
    ) -> Plan:
        from ..spec import NotebookSpec, ScriptRunConfig

        config = ScriptRunConfig(
            str(folder),
            str(self.path.relative_to(folder)),
            compute_target=asked.compute_target,
            environment=asked.environment,
        )
        spec = NotebookSpec(
            dict(parameters),
            kernel=values.get("kernel"),
            cell_timeout=float(values.get("timeout_cell") or 0),
        )
        return _one_run(self, values, asked, config, facts, notebook=spec)

    def _table(self, text: str) -> Path:
        path = (self.path.parent / Path(text).expanduser()).resolve()
        if not path.is_relative_to(self.root):
            raise FormException(
                [Problem("params", "It is outside of the folder that the server shows.")]
            )
        return path

    def _parameters(self) -> list[Field]:
        from .notebook_parameters import parameters_in

        return [
            _parameter_field(each, each.default, each.wants)
            for each in parameters_in(str(self.path))
        ]


def _parameter_field(each: Any, usual: str, kind: str) -> Field:
    def read(text: str) -> object:
        named, values = batch_options.parameter(f"{each.name}={text}")
        for value in values:
            problem = each.problem(value)
            if problem:
                raise ValueError(problem)
        return named, values

    told = f"{each.help}; " if each.help else ""
    about = f"{told}one value{f' ({kind})' if kind else ''}, or several: 0.1,0.3 or 1..5"
    option = Option(f"--{each.name}", "VALUES", about, read)
    return Field(option, f"{PARAMETER}{each.name}", each.name, "parameters", usual)


class ConfigurationForm(FileForm):
    """A form of a run configuration, as v1 writes it to ``.azureml/NAME.runconfig``."""

    kind = "configuration"

    def __init__(self, path: Path, root: Path) -> None:
        super().__init__(path, root)
        from ..spec import RunConfiguration

        try:
            self.config = RunConfiguration.load(path)
        except AmlError as error:
            raise UserErrorException(
                f"{path.name} is no run configuration: {error.message}",
                "RunConfiguration.save() writes one; a conda file is an environment, and is named "
                "as such when a script is submitted.",
            ) from error
        if not self.config.script and not self.config.command:
            raise UserErrorException(
                f"{path.name} is no run configuration that says what to run.",
                "It needs a `script` or a `command`.",
            )
        self.project = _project_of(path, self.config.script)

    def options(self) -> Sequence[Option]:
        """A run's, but for those that the configuration itself is about."""
        return (ARGUMENTS, *RUN) if self.config.script else RUN

    def usual(self) -> Mapping[str, str]:
        """What the configuration says."""
        name = Path(self.config.script or self.path.stem).stem
        return {
            **super().usual(),
            "experiment": experiment_name(name),
            "target": self.config.target,
            "env": f"{self.config.environment.name}, as configured",
            "source": "the project of the configuration",
        }

    def begins_with(self) -> Texts:
        """The arguments that the configuration has."""
        return {"arguments": [shlex.join(map(str, self.config.arguments))]}

    def source(self, values: Mapping[str, Any]) -> Path:
        """The project of the configuration, unless another folder is named."""
        if values.get("source"):
            return super().source(values)
        if not self.project.is_relative_to(self.root):
            raise FormException(
                [Problem("source", f"{self.project} is outside of what the server shows.")]
            )
        return self.project

    def plan(self, texts: Texts) -> Plan:
        """One run of what the configuration names, with what was filled in on top."""
        from ..spec import RunConfiguration, ScriptRunConfig

        values = self.read(texts)
        asked, folder = self.asked(values), self.source(values)
        config = RunConfiguration.load(self.path)
        if asked.compute_target:
            config.target = asked.compute_target
        if asked.environment is not None:
            config.environment = asked.environment
        if "timeout" in values:
            config.max_run_duration_seconds = values["timeout"]
        if config.script:
            config.arguments = values.get("arguments") or []
        with concerning(""):
            script = ScriptRunConfig(str(folder), run_config=config)
            return _one_run(self, values, asked, script, {"kind": "script"})


def _project_of(path: Path, script: str | None) -> Path:
    """The folder that paths in a configuration begin in: above that of the file, or that itself."""
    above = path.parent.parent
    if script and (above / script).is_file() and not (path.parent / script).is_file():
        return above
    return above if path.parent.name in (".azureml", "aml_config") else path.parent


def _one_run(
    form: FileForm,
    values: Mapping[str, Any],
    asked: RunOptions,
    config: Any,
    facts: Mapping[str, object],
    **more: Any,
) -> Plan:
    from ..spec import Source
    from .experiment import Experiment

    with concerning("data"):
        asked.apply(config)
    with concerning("experiment"):
        named = values.get("experiment") or form.usual()["experiment"]
        experiment = Experiment(form._made(), str(named))
    with concerning(""):
        planned = experiment.plan(
            config,
            dict(values.get("tag") or ()),
            source=Source(os.path.abspath(config.source_directory), {}, dict(facts)),
            display_name=values.get("name"),
            resources=asked.resources,
            options=asked.settings,
            **more,
        )
    return _OneRun(experiment, planned, tuple(asked.notes))


@dataclass(frozen=True)
class _OneRun:
    experiment: Any
    planned: Any
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([*self.notes, str(self.planned)])

    def submit(self) -> Run:
        from . import submission
        from .run import open_in

        self.experiment._refuse_archived()
        return open_in(self.experiment, submission.submit(self.planned))
