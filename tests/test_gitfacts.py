"""Git facts, asked of real repositories."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from aml_jupyter.store.gitfacts import (
    GitFacts,
    is_in_work_tree,
    uncommitted_diff,
    without_credentials,
)

pytestmark = pytest.mark.service("git")


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in [v for v in os.environ if v.startswith(("GIT_", "AZUREML_GIT_"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(tmp_path / "none"))


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "train.py").write_text("print(1)\n")
    git(folder, "init", "-q", "-b", "trunk")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def facts(folder: Path) -> dict[str, str]:
    return GitFacts.begin(folder).result()


def test_facts_of_a_clean_repository_carry_v1_names(repository: Path) -> None:
    git(repository, "remote", "add", "origin", "https://example.org/a/b.git")
    commit = git(repository, "rev-parse", "HEAD").strip()
    assert facts(repository / "src") == {
        "azureml.git.repository_uri": "https://example.org/a/b.git",
        "mlflow.source.git.repoURL": "https://example.org/a/b.git",
        "azureml.git.branch": "trunk",
        "mlflow.source.git.branch": "trunk",
        "azureml.git.commit": commit,
        "mlflow.source.git.commit": commit,
        "azureml.git.dirty": "False",
    }


def test_a_changed_or_new_file_makes_it_dirty_only_where_it_is(repository: Path) -> None:
    (repository / "new.txt").write_text("x")
    assert facts(repository)["azureml.git.dirty"] == "True"
    assert facts(repository / "src")["azureml.git.dirty"] == "False"
    (repository / "src" / "train.py").write_text("print(2)\n")
    assert facts(repository / "src")["azureml.git.dirty"] == "True"


def test_without_a_remote_there_is_no_uri(repository: Path) -> None:
    assert "azureml.git.repository_uri" not in facts(repository)


def test_a_detached_head_has_a_commit_but_no_branch(repository: Path) -> None:
    git(repository, "checkout", "-q", "--detach")
    found = facts(repository)
    assert "azureml.git.branch" not in found
    assert len(found["azureml.git.commit"]) == 40


def test_a_repository_without_commits_has_a_branch_but_no_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "trunk")
    found = facts(tmp_path)
    assert found["azureml.git.branch"] == "trunk"
    assert "azureml.git.commit" not in found


def test_a_second_work_tree_is_a_work_tree(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    assert facts(tmp_path / "side")["azureml.git.branch"] == "side"


def test_outside_a_work_tree_there_is_silence(tmp_path: Path) -> None:
    assert not is_in_work_tree(tmp_path)
    assert facts(tmp_path) == {}
    assert uncommitted_diff(tmp_path) == ""


def test_variables_override_git_and_work_without_it(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZUREML_GIT_BRANCH", "release")
    monkeypatch.setenv("AZUREML_GIT_BUILD_ID", "77")
    monkeypatch.setenv("AZUREML_GIT_BUILD_URI", "https://me:secret@ci.example.org/77")
    assert facts(repository)["azureml.git.branch"] == "release"
    assert facts(tmp_path) == {
        "azureml.git.branch": "release",
        "mlflow.source.git.branch": "release",
        "azureml.git.build_id": "77",
        "azureml.git.build_uri": "https://ci.example.org/77",
    }


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://me:secret@example.org/a.git", "https://example.org/a.git"),
        ("https://token@example.org:8443/a.git", "https://example.org:8443/a.git"),
        ("https://me:p@ss@example.org/a.git", "https://example.org/a.git"),
        ("https://example.org/a@b.git", "https://example.org/a@b.git"),
        ("ssh://git:secret@example.org/a.git", "ssh://git@example.org/a.git"),
        ("git@example.org:a.git", "git@example.org:a.git"),
        ("/srv/git/a.git", "/srv/git/a.git"),
    ],
)
def test_credentials_are_taken_out_of_addresses(url: str, clean: str) -> None:
    assert without_credentials(url) == clean


def test_credentials_of_a_remote_are_not_recorded(repository: Path) -> None:
    git(repository, "remote", "add", "origin", "https://me:secret@example.org/a.git")
    assert "secret" not in str(facts(repository))


def test_a_missing_git_gives_nothing(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert facts(repository) == {}
    assert uncommitted_diff(repository) == ""


def test_a_git_that_hangs_is_given_up_on(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    started = time.monotonic()
    assert GitFacts.begin(repository).result(timeout=0.2) == {}
    assert time.monotonic() - started < 2


def test_asking_twice_gives_the_same_answer(repository: Path) -> None:
    pending = GitFacts.begin(repository)
    assert pending.result() == pending.result() != {}


def test_facts_nobody_asks_for_leave_no_process(repository: Path) -> None:
    pending = GitFacts.begin(repository)
    del pending
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_the_diff_shows_what_is_not_committed_and_is_bounded(repository: Path) -> None:
    (repository / "src" / "train.py").write_text("print(2)\n" * 1000)
    diff = uncommitted_diff(repository)
    assert "-print(1)\n" in diff
    assert "+print(2)\n" in diff
    cut = uncommitted_diff(repository, limit=100)
    assert cut.startswith(diff[:100])
    assert cut.endswith("(cut after 100 bytes)\n")
