"""The form of a run: what it was submitted with, to be changed and submitted once more."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

from ..spec import ALL_GPUS, MAX_DURATION_SECONDS_DEFAULT, Resources, RunRequest
from . import repeating
from .batch_values import parse_value
from .command_table import Option
from .notebook_parameters import Parameter
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
        with concerning("gpu_mem"):
            asked = RunOptions.of(values, environment)
        changes = repeating.Changes(
            arguments=self._arguments(values),
            parameters=self._set(values),
            target=new.get("target"),
            environment=environment,
            resources=(asked.resources or Resources()) if resources else None,
            max_seconds=_said(texts, values, "timeout"),
            priority=_said(texts, values, "priority"),
            tags=dict(values.get("tag") or ()),
            display_name=str(values.get("name") or ""),
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
        """The parameters that a notebook was executed with; of a batch each has its own."""
        if self.job.notebook is None or self.request.family:
            return []
        return [
            replace(
                _one_value(Parameter(name, repr(value))),
                values=(_written(value),),
            )
            for name, value in self.job.notebook.parameters.items()
        ]

    def _set(self, values: Mapping[str, Any]) -> dict[str, object] | None:
        if self.job.notebook is None or self.request.family:
            return None
        given = {
            name.removeprefix(PARAMETER): value
            for name, value in values.items()
            if name.startswith(PARAMETER)
        }
        return {**self.job.notebook.parameters, **given}


def _one_value(parameter: Parameter) -> Field:
    def read(text: str) -> object:
        return parse_value(text)

    option = Option(f"--{parameter.name}", "VALUE", "one value, in YAML", read)
    return Field(option, f"{PARAMETER}{parameter.name}", parameter.name, "parameters")


def _written(value: object) -> str:
    """A value as it is read again."""
    return value if isinstance(value, str) and _reads_as_itself(value) else json.dumps(value)


def _reads_as_itself(text: str) -> bool:
    try:
        return bool(text.strip()) and parse_value(text) == text
    except ValueError:
        return False


def _said(texts: Texts, values: Mapping[str, Any], key: str) -> Any:
    """The value of a field that was shown; what was taken out of it counts as none."""
    return values.get(key, 0) if key in texts else None
