"""A run done once more: the same job from the stored snapshot, and nothing written if it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter import Environment, Experiment, Run, ScriptRunConfig
from aml_jupyter.errors import (
    ComputeTargetException,
    RunConfigurationException,
    SnapshotException,
    UserErrorException,
)
from aml_jupyter.job import layout
from tests.support import experiment, finish, log_of, project, script, submit, until, ws

__all__ = ["experiment", "project", "ws"]

SAY = """\
    import os, sys
    print("given", sys.argv[1:], os.environ.get("COLOUR"))
    """


def submitted(to: Experiment, folder: Path, **options: Any) -> Run:
    """A run of a script that says what it was given."""
    environment = Environment("mine")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = sys.executable
    environment.environment_variables = {"COLOUR": "blue"}
    config = ScriptRunConfig(
        str(folder),
        script=script(folder, SAY),
        arguments=["--lr", 0.1, "it's"],
        environment=environment,
    )
    return to.submit(config, **options)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder beside the project."""
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def test_a_run_is_repeated_from_its_snapshot_whatever_became_of_its_folder(
    experiment: Experiment, source: Path
) -> None:
    old = submitted(experiment, source, tags={"model": "cnn"}, display_name="first try")
    finish(old)
    shutil.rmtree(source)
    new = old.rerun()
    assert finish(new)["status"] == "Completed"
    assert log_of(new) == log_of(old) == "given ['--lr', '0.1', \"it's\"] blue\n"
    assert (new.id, new.number) != (old.id, old.number)
    assert new.experiment.name == old.experiment.name
    assert new.tags == {"model": "cnn"}
    assert new.display_name == "first try"
    assert new.get_snapshot_id() == old.get_snapshot_id()


def test_a_repeated_run_says_which_one_it_repeats(experiment: Experiment, source: Path) -> None:
    old = submitted(experiment, source)
    new = old.rerun(tags={"try": 2}, display_name="again")
    third = new.rerun()
    before = layout.read_json(str(old.folder / layout.REQUEST))
    after = layout.read_json(str(new.folder / layout.REQUEST))
    assert after["source"] == {**before["source"], "again": old.id}
    assert after["job"] == before["job"]
    assert new.properties == {**before["properties"], "aml.rerun_of": old.id}
    assert third.properties["aml.rerun_of"] == new.id
    assert (new.tags, new.display_name) == ({"try": "2"}, "again")
    for run in (old, new, third):
        finish(run)


def test_a_command_and_a_child_are_repeated_without_their_parent(
    experiment: Experiment, source: Path
) -> None:
    (source / "hello.txt").write_text("hello\n")
    parent = submitted(experiment, source)
    config = ScriptRunConfig(str(source), command="cat hello.txt && echo done")
    child = parent.submit_child(config)
    finish(child)
    new = child.rerun()
    finish(new)
    assert log_of(new) == "hello\ndone\n"
    assert new.parent is None
    finish(parent)


def test_a_run_that_goes_on_can_be_repeated(experiment: Experiment) -> None:
    old = submit(experiment, "import time; print('up', flush=True); time.sleep(60)")
    until(lambda: log_of(old) == "up\n")
    new = old.rerun()
    until(lambda: log_of(new) == "up\n")
    for run in (old, new):
        run.cancel()
        finish(run)


def test_a_run_that_lived_in_its_process_is_refused_with_the_remedy(
    experiment: Experiment,
) -> None:
    with experiment.start_logging(snapshot_directory=None, outputs=False) as run:
        child = run.child_run()
        child.complete()
    for each in (run, child):
        with pytest.raises(UserErrorException, match=r"no job[^\n]*\n.*Run that code again"):
            each.rerun()


def test_what_is_missing_is_said_before_anything_is_written(
    experiment: Experiment, source: Path, tmp_path: Path
) -> None:
    place = experiment.workspace.folder
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    config = ScriptRunConfig(str(source), script=script(source, "print(1)"))
    config.run_config.environment.python.user_managed_dependencies = True
    config.run_config.environment.python.interpreter_path = str(python)
    run = experiment.submit(config)
    finish(run)

    def refused(kind: type[Exception], said: str) -> None:
        before = sorted(place.runs.iterdir())
        with pytest.raises(kind, match=said):
            run.rerun()
        assert sorted(place.runs.iterdir()) == before

    python.unlink()
    refused(RunConfigurationException, r"interpreter .*python, which is gone")
    python.symlink_to(sys.executable)
    for pack in place.objects.glob("pack-*"):
        os.rename(pack, tmp_path / pack.name)
    refused(SnapshotException, r"1 of its 1 files are missing.*\n.*Submit it again")
    (place.objects / "snapshots" / f"{run.get_snapshot_id()}.json").unlink()
    refused(SnapshotException, "There is no snapshot")


def test_an_archived_experiment_and_a_target_that_is_gone_take_no_repetition(
    experiment: Experiment, source: Path
) -> None:
    targets = experiment.workspace.folder.root / "targets.yaml"
    targets.write_text("desk: {type: local}\n")
    config = ScriptRunConfig(str(source), script=script(source, "print(1)"), compute_target="desk")
    run = experiment.submit(config)
    finish(run)
    targets.unlink()
    with pytest.raises(ComputeTargetException, match="desk"):
        run.rerun()
    experiment.archive()
    with pytest.raises(UserErrorException, match="archived"):
        run.rerun()


# What was not committed -----------------------------------------------------------------------


@pytest.fixture
def repository(source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The source folder as a repository, with a script that prints 1 committed."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    script(source, "print(1)\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        subprocess.run(["git", *identity, *words], cwd=source, check=True)
    return source


@pytest.mark.service("git")
def test_what_was_not_committed_is_kept_beside_the_run_and_goes_along(
    experiment: Experiment, repository: Path
) -> None:
    config = ScriptRunConfig(str(repository), script="train.py")
    clean = experiment.submit(config)
    script(repository, "print(2)\n")
    dirty = experiment.submit(config)
    diff = dirty.folder / "git.diff"
    until(diff.exists)
    assert "-print(1)\n+print(2)\n" in diff.read_text()
    script(repository, "print(3)\n")
    again = dirty.rerun()
    assert (again.folder / "git.diff").read_text() == diff.read_text()
    for run in (clean, dirty, again):
        finish(run)
    assert not (clean.folder / "git.diff").exists()
    assert log_of(again) == "2\n"


@pytest.mark.service("git")
def test_a_slow_diff_holds_up_neither_submit_nor_the_run(
    experiment: Experiment, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, git = tmp_path / "gate", tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *" diff "*) until [ -e "{gate}" ]; do sleep 0.02; done;; esac\n'
        f'exec {shutil.which("git")} "$@"\n'
    )
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{git.parent}:{os.environ['PATH']}")
    script(repository, "print(2)\n")
    run = experiment.submit(ScriptRunConfig(str(repository), script="train.py"))
    finish(run)
    assert not (run.folder / "git.diff").exists()
    gate.touch()
    until((run.folder / "git.diff").exists)
