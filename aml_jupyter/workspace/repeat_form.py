"""The form of a run: what it was submitted with, to be changed and submitted once more."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from ..spec import ALL_GPUS, MAX_DURATION_SECONDS_DEFAULT, Resources, RunRequest
from . import repeating
from .batch_values import (
    Set,
    as_grid,
    combined,
    parse_value,
    parse_values,
    title_of,
    written_values,
)
from .command_table import Option
from .run import Run
from .run_form import (
    ARGUMENTS,
    PARAMETER,
    REPEATED,
    Field,
    Form,
    Plan,
    Texts,
    choices,
    concerning,
)
from .run_options import RunOptions, environment_of
from .workspace import Workspace


@dataclass
class RepeatForm(Form):
    """A form of a run: what it was submitted with, to be changed."""

    run: Run
    kind: ClassVar[str] = "rerun"
    title: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self.request = RunRequest.from_json(self.run._request)
        self.job = repeating.job_of(self.request)
        self.title = self.run.display_name or self.run.id

    @property
    def workspace(self) -> Workspace:
        """The workspace of the run."""
        return self.run.experiment.workspace

    @cached_property
    def fields(self) -> list[Field]:
        """What the run was submitted with."""
        there = self._there()
        shown = (*self._what(), *REPEATED)
        options = [
            Field.of(
                option,
                usual=self._usual(option.key),
                choices=tuple(choices(option, self.workspace, self.workspace.folder.project)),
                values=tuple(there.get(option.key, ())),
            )
            for option in shown
        ]
        return [*self._parameters(), *options]

    def plan(self, texts: Texts) -> Plan:
        """The run once more, with what is other now."""
        values, there = self.read(texts), self._there()
        new = {k: v for k, v in values.items() if list(texts.get(k, ())) != list(there.get(k, ()))}
        environment = None
        if "env" in new:
            with concerning("env"):
                project = self.workspace.folder.project
                environment = environment_of(str(new["env"]), lambda: self.workspace, project)
        resources = any(
            list(texts.get(key, ())) != list(there.get(key, ()))
            for key in ("gpus", "gpu_mem", "cpus", "mem")
        )
        with concerning(""):
            sets = self._sets(values)
        with concerning("gpu_mem"):
            asked = RunOptions.of(values, environment)
        changes = repeating.Changes(
            arguments=self._arguments(values),
            parameters=self._parameters_of(values),
            sets=sets,
            target=new.get("target"),
            environment=environment,
            resources=(asked.resources or Resources()) if resources else None,
            max_seconds=_said(texts, values, "timeout"),
            priority=_said(texts, values, "priority"),
            tags=dict(values.get("tag") or ()),
            display_name=self._name(values, sets),
        )
        with concerning(""):
            return repeating.plan(self.run, changes)

    def _arguments(self, values: Mapping[str, Any]) -> tuple[str, ...] | None:
        return tuple(values.get("arguments") or ()) if self._what() else None

    def _what(self) -> Sequence[Option]:
        return (ARGUMENTS,) if self.job.kind == "script" else ()

    def _usual(self, key: str) -> str:
        usual = {"env": "as it was", "target": self.request.target}
        return usual.get(key, "")

    def _there(self) -> dict[str, list[str]]:
        """The texts that its options would have had."""
        job, asks = self.job, self.job.resources
        limit = int(job.max_seconds)
        said = {
            "arguments": shlex.join(job.arguments) if job.kind == "script" else "",
            "name": self.request.display_name,
            "target": self.request.target,
            "gpus": "" if asks.gpus is None else "all" if asks.gpus == ALL_GPUS else str(asks.gpus),
            "gpu_mem": str(asks.gpu_memory or ""),
            "cpus": f"{asks.cpus:g}" if asks.cpus else "",
            "mem": str(asks.memory or ""),
            "priority": str(job.priority or ""),
            "timeout": f"{limit}s" if 0 < limit < MAX_DURATION_SECONDS_DEFAULT else "",
        }
        texts = {key: [text] for key, text in said.items() if text}
        texts["tag"] = [f"{key}={value or ''}" for key, value in self.request.tags.items()]
        return texts

    def _parameters(self) -> list[Field]:
        """The parameters of a notebook, or those of a batch that has each with every other."""
        if self.request.family:
            listed = self._grid or {}
            return [_field(_several(name), each) for name, each in listed.items()]
        if self.job.notebook is None:
            return []
        found = self.job.notebook.parameters
        return [_field(_one(name), [value]) for name, value in found.items()]

    @cached_property
    def _grid(self) -> dict[str, list[object]] | None:
        family = self.request.family
        return as_grid([each.parameters for each in family.members]) if family else None

    def _parameters_of(self, values: Mapping[str, Any]) -> dict[str, object] | None:
        if self.job.notebook is None or self.request.family:
            return None
        return {**self.job.notebook.parameters, **_given(values)}

    def _sets(self, values: Mapping[str, Any]) -> list[Set] | None:
        """The sets of a batch, where they are other than they were."""
        grid = self._grid or {}
        given = {**grid, **_given(values)}
        return None if repr(given) == repr(grid) else combined(given)

    def _name(self, values: Mapping[str, Any], sets: Sequence[Set] | None) -> str:
        """What it is called: a batch that was named by the number of its sets still is."""
        name, family = str(values.get("name") or ""), self.request.family
        if family is None or sets is None or name != title_of(self.job.what, family.members):
            return name
        return title_of(self.job.what, sets)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.removeprefix(PARAMETER): value
        for name, value in values.items()
        if name.startswith(PARAMETER)
    }


def _one(name: str) -> Option:
    return Option(f"--{name}", "VALUE", "one value, in YAML", parse_value)


def _several(name: str) -> Option:
    about = "one value, or several: 0.1,0.3 or 1..5"
    return Option(f"--{name}", "VALUES", about, parse_values)


def _field(option: Option, values: Sequence[object]) -> Field:
    name, text = option.key, written_values(values)
    return Field(option, f"{PARAMETER}{name}", name, "parameters", values=(text,))


def _said(texts: Texts, values: Mapping[str, Any], key: str) -> Any:
    """The value of a field that was shown; what was taken out of it counts as none."""
    return values.get(key, 0) if key in texts else None
