"""ScriptRunConfig: a folder, what to start in it, and a run configuration."""

from __future__ import annotations

import copy
import numbers
import os
import warnings
from collections.abc import Iterator, Sequence

from aml_jupyter.errors import ExperimentExecutionException, UserErrorException

from .configurations import (
    DockerConfiguration,
    MpiConfiguration,
    ParallelTaskConfiguration,
    PyTorchConfiguration,
    TensorflowConfiguration,
)
from .data_arguments import note_data, resuming
from .environment import Environment
from .notebook import NotebookSpec
from .runconfig import (
    Argument,
    RunConfiguration,
    argument_list,
    argument_strings,
    command_line,
    environment_or_default,
    target_name,
)

MAX_DURATION_SECONDS_DEFAULT = 2592000

DistributedConfiguration = (
    MpiConfiguration | PyTorchConfiguration | TensorflowConfiguration | ParallelTaskConfiguration
)

_MOST_NAMES = 2000


class ScriptRunConfig:
    """What to submit: a source folder, a script or command in it, and where and with what it runs.

    ``run_config`` holds the latter and may be changed until submission; the script, arguments
    and command set here win over those inside it.
    """

    MAX_DURATION_SECONDS_DEFAULT = MAX_DURATION_SECONDS_DEFAULT

    notebook: NotebookSpec | None = None
    """How the script is executed if it is a notebook and nothing else is said."""

    def __init__(
        self,
        source_directory: str | os.PathLike[str],
        script: str | os.PathLike[str] | None = None,
        arguments: Sequence[Argument] | str | None = None,
        run_config: RunConfiguration | None = None,
        compute_target: object = None,
        environment: Environment | None = None,
        distributed_job_config: DistributedConfiguration | None = None,
        resume_from: object = None,
        max_run_duration_seconds: float | None = MAX_DURATION_SECONDS_DEFAULT,
        command: Sequence[Argument] | str | None = None,
        docker_runtime_config: DockerConfiguration | None = None,
    ) -> None:
        self.source_directory = _path_text(source_directory or ".", "source_directory")
        self.script = None if script is None else _path_text(script, "script")
        self.command = _command(command)
        self.arguments = arguments
        _refuse_both(self.script, self._arguments, self.command)
        self.resume_from = _checked_path(resume_from)
        if run_config is not None:
            self.run_config = _given(
                run_config,
                compute_target=compute_target,
                environment=environment,
                distributed_job_config=distributed_job_config,
                docker_runtime_config=docker_runtime_config,
                max_run_duration_seconds=_unless_default(max_run_duration_seconds),
            )
        else:
            self.run_config = RunConfiguration()
            self.run_config.target = target_name(compute_target)
            self.run_config.environment = environment_or_default(environment)
            self.run_config.max_run_duration_seconds = max_run_duration_seconds
            self.run_config.docker = _docker(docker_runtime_config, self.run_config.environment)
            _distribute(self.run_config, distributed_job_config)

    @property
    def arguments(self) -> list[Argument] | None:
        """What follows the script on its command line; None leaves it to ``run_config``."""
        return self._arguments

    @arguments.setter
    def arguments(self, arguments: Sequence[Argument] | str | None) -> None:
        self._arguments = None if arguments is None else argument_list(arguments)

    def effective(self) -> RunConfiguration:
        """A copy of ``run_config`` with the script, arguments and command that will be started.

        The command in it is one text, empty when there is none; data that arguments or the
        command name are in ``data``, ``output_data`` and ``data_references`` besides.
        """
        config = copy.deepcopy(self.run_config)
        command = self.command or config.command
        config.command = command_line(command)
        if self.command:
            config.script, config.arguments = None, []
        elif self.script is not None:
            config.script, config.command = self._script_in_source(), ""
        if self._arguments is not None:
            config.arguments = list(self._arguments)
        if self.resume_from is not None:
            config.arguments = [*config.arguments, *resuming(self.resume_from)]
        words = command if config.command else config.arguments
        note_data(config, () if isinstance(words, str) else words)
        return config

    def check(self) -> None:
        """Raise what would make the submission fail, as far as the disk here can tell."""
        config = self.run_config
        if not isinstance(config, RunConfiguration):
            raise _wrong("run_config", config, "a RunConfiguration")
        environment_or_default(config.environment)
        _refuse_both(self.script, self._arguments, self.command)
        argument_strings(self._arguments or config.arguments)
        _check_number("max_run_duration_seconds", config.max_run_duration_seconds, or_none=True)
        _check_number("node_count", config.node_count)
        folder = os.path.abspath(self.source_directory or ".")
        if not os.path.isdir(folder):
            raise _missing_folder(folder)
        effective = self.effective()
        _refuse_both(effective.script, effective.arguments, effective.command)
        if effective.script:
            _check_script(folder, effective.script)
        elif not command_line(effective.command).strip():
            raise UserErrorException(
                "The ScriptRunConfig has neither a script nor a command, so nothing would run.",
                f"Add script='…'; {_names_hint(folder, 'train.py')}",
            )

    def _script_in_source(self) -> str | None:
        """The script relative to the folder, also when it was given as an absolute path."""
        script = self.script
        if script is None or not os.path.isabs(script):
            return script
        folder = os.path.abspath(self.source_directory or ".")
        for base in (folder, os.path.realpath(folder)):
            if script.startswith(base + os.sep):
                return os.path.relpath(script, base)
        return script

    def __repr__(self) -> str:
        what = f"command={self.command!r}" if self.command else f"script={self.script!r}"
        target = self.run_config.target
        return f"ScriptRunConfig({self.source_directory!r}, {what}, compute_target={target!r})"


def _path_text(path: object, what: str) -> str:
    if isinstance(path, (str, os.PathLike)):
        text = os.fspath(path)
        if isinstance(text, str):
            return text
    raise _wrong(what, path, "a text or a path")


def _command(command: object) -> str | list[Argument] | None:
    if command is None or isinstance(command, str):
        return command
    if isinstance(command, (list, tuple)):
        return argument_list(command)
    raise _wrong("command", command, "a text or a list")


def _refuse_both(script: object, arguments: object, command: object) -> None:
    if command and (script or arguments):
        raise UserErrorException(
            f"A command excludes {'script' if script else 'arguments'}: only one can be started.",
            "Put everything in command=[…], or leave it out.",
        )


def _checked_path(resume_from: object) -> object:
    if resume_from is None or hasattr(resume_from, "create_data_reference"):
        return resume_from
    raise _wrong("resume_from", resume_from, "a DataPath, such as DataPath(datastore, 'folder')")


def _unless_default(seconds: float | None) -> float | None:
    return None if seconds == MAX_DURATION_SECONDS_DEFAULT else seconds


def _given(run_config: object, **others: object) -> RunConfiguration:
    if not isinstance(run_config, RunConfiguration):
        raise _wrong("run_config", run_config, "a RunConfiguration")
    ignored = [name for name, value in others.items() if value is not None]
    if ignored:
        warnings.warn(
            f"run_config was given, so {', '.join(ignored)} is ignored; set it in run_config.",
            stacklevel=3,
        )
    return run_config


def _docker(docker: DockerConfiguration | None, environment: Environment) -> DockerConfiguration:
    if docker is None:
        section = environment.docker
        return DockerConfiguration(
            use_docker=section.enabled,
            shared_volumes=section.shared_volumes,
            arguments=section.arguments,
            shm_size=section.shm_size,
        )
    if not isinstance(docker, DockerConfiguration):
        raise _wrong("docker_runtime_config", docker, "a DockerConfiguration")
    return docker


def _distribute(config: RunConfiguration, job: DistributedConfiguration | None) -> None:
    """Set what v1 sets in a run configuration for each kind of distributed job."""
    if job is None:
        return
    if isinstance(job, MpiConfiguration):
        config.communicator, config.mpi, config.node_count = "IntelMpi", job, job.node_count
    elif isinstance(job, PyTorchConfiguration):
        config.framework, config.communicator = "PyTorch", job.communication_backend
        config.pytorch, config.node_count = job, job.node_count
    elif isinstance(job, TensorflowConfiguration):
        config.framework, config.communicator = "TensorFlow", "ParameterServer"
        config.tensorflow, config.node_count = job, job.worker_count
    elif isinstance(job, ParallelTaskConfiguration):
        config.parallel_task = job
    else:
        raise _wrong(
            "distributed_job_config",
            job,
            "an MpiConfiguration, PyTorchConfiguration or TensorflowConfiguration",
        )


def _check_number(what: str, value: object, or_none: bool = False) -> None:
    if value is None and or_none:
        return
    number = isinstance(value, numbers.Real) and not isinstance(value, (bool, str))
    if not number or float(str(value)) <= 0:
        raise _wrong(what, value, "a number above 0")


def _wrong(what: str, value: object, wanted: str) -> UserErrorException:
    return UserErrorException(
        f"{what} cannot be {value!r} ({type(value).__name__}).", f"It has to be {wanted}."
    )


def _missing_folder(folder: str) -> UserErrorException:
    if os.path.exists(folder):
        return UserErrorException(
            f"The source directory {folder} is a file.",
            "Give its folder as source_directory and the file as script.",
        )
    parent = os.path.dirname(folder)
    names = _folders(parent) if os.path.isdir(parent) else []
    near = _nearest(os.path.basename(folder), names)
    hint = f"Near it: {', '.join(near)}." if near else f"Relative paths start at {os.getcwd()}."
    return UserErrorException(f"The source directory {folder} does not exist.", hint)


def _check_script(folder: str, script: str) -> None:
    path = os.path.normpath(os.path.join(folder, script))
    inside = os.path.commonpath([folder, path]) == folder
    if inside and os.path.isfile(path):
        return
    if not inside:
        problem, hint = "is outside of it", "Give the folder that holds it as source_directory."
    elif os.path.isdir(path):
        problem, hint = "is a folder", _names_hint(path, "train.py")
    else:
        problem, hint = "doesn't exist", _names_hint(folder, script)
        first, _, rest = script.partition(" ")
        if rest and os.path.isfile(os.path.join(folder, first)):
            hint = f"Write script={first!r} and put {rest!r} in arguments."
    raise ExperimentExecutionException(
        f"The script path {script} {problem}; it should be inside the project folder {folder}.",
        hint[:1].upper() + hint[1:],
    )


def _names_hint(folder: str, script: str) -> str:
    near = _nearest(script, list(_files(folder)))
    return f"near it: {', '.join(near)}." if near else f"there is no Python file in {folder}."


def _nearest(name: str, names: list[str]) -> list[str]:
    """The few of ``names`` that a misspelt ``name`` may have meant, the likeliest first."""
    import difflib

    wanted = os.path.basename(name).lower()
    by_base = {each: os.path.basename(each).lower() for each in names}
    same = [each for each in names if by_base[each] == wanted]
    close = set(difflib.get_close_matches(wanted, set(by_base.values()), n=3, cutoff=0.5))
    similar = [each for each in names if by_base[each] in close and each not in same]
    return (same + similar or names)[:3]


def _files(folder: str) -> Iterator[str]:
    """Python and shell files in the folder and in those below, as far as a hint is worth it."""
    seen = 0
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith((".", "__")))
        for file in sorted(files):
            if file.endswith((".py", ".sh", ".ipynb")):
                yield os.path.relpath(os.path.join(root, file), folder)
        seen += len(folders) + len(files)
        if seen > _MOST_NAMES:
            return


def _folders(parent: str) -> list[str]:
    with os.scandir(parent) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
