"""Git facts, asked of real repositories."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest

from aml_jupyter.spec.credentials import without_credentials
from aml_jupyter.store.gitfacts import (
    GitFacts,
    PendingDiff,
    is_in_work_tree,
    uncommitted_diff,
    without_credentials_inside,
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


def children() -> set[int]:
    """The processes that this one has started and not waited for; tests may share some."""
    return {child.pid for child in psutil.Process().children()}


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
    before = children()
    pending = GitFacts.begin(repository)
    del pending
    assert children() <= before


def test_the_diff_shows_what_is_not_committed_and_is_bounded(repository: Path) -> None:
    (repository / "src" / "train.py").write_text("print(2)\n" * 1000)
    diff = uncommitted_diff(repository)
    assert "-print(1)\n" in diff
    assert "+print(2)\n" in diff
    cut = uncommitted_diff(repository, limit=100)
    assert cut.startswith(diff[:100])
    assert cut.endswith("(cut after 100 bytes)\n")


def pending_diff(folder: Path) -> PendingDiff:
    pending = GitFacts.begin(folder).begin_diff()
    assert pending is not None
    return pending


def test_only_what_git_knows_of_has_a_diff(repository: Path) -> None:
    assert GitFacts.begin(repository).begin_diff() is None
    (repository / "new.txt").write_text("x")
    assert GitFacts.begin(repository).begin_diff() is None
    (repository / "src" / "train.py").write_text("print(2)\n")
    assert GitFacts.begin(repository / "src").begin_diff() is not None
    assert "+print(2)" in pending_diff(repository).text()


def test_what_was_added_but_not_committed_is_in_the_diff(repository: Path) -> None:
    (repository / "new.txt").write_text("x\n")
    git(repository, "add", "new.txt")
    assert "+x" in pending_diff(repository).text()


def test_the_diff_has_no_credentials_no_colours_and_no_foreign_programs(
    repository: Path,
) -> None:
    git(repository, "config", "color.ui", "always")
    git(repository, "config", "diff.external", "/nonexistent")
    (repository / "src" / "train.py").write_text("u = 'https://me:secret@example.org/a'\n")
    (repository / "src" / "data.bin").write_bytes(b"\0" * 100)
    git(repository, "add", ".")
    diff = pending_diff(repository).text()
    assert "+u = 'https://example.org/a'" in diff
    assert "Binary files /dev/null and b/src/data.bin differ" in diff
    assert "\x1b" not in diff


def test_a_diff_is_written_beside_other_work_and_a_folder_that_is_gone_is_no_error(
    repository: Path, tmp_path: Path
) -> None:
    (repository / "src" / "train.py").write_text("print(2)\n")
    pending_diff(repository).keep(tmp_path / "gone" / "git.diff")
    pending_diff(repository).keep(tmp_path / "git.diff")
    for thread in threading.enumerate():
        if thread.name == "aml-git-diff":
            thread.join()
    assert "+print(2)" in (tmp_path / "git.diff").read_text()
    assert not (tmp_path / "gone").exists()


def test_a_diff_nobody_asks_for_leaves_no_process(repository: Path) -> None:
    (repository / "src" / "train.py").write_text("print(2)\n" * 100_000)
    before = children()
    pending = pending_diff(repository)
    del pending
    assert children() <= before


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("pip install git+https://me:pw@x.org/a b", "pip install git+https://x.org/a b"),
        ("a https://t@x.org https://me:p@w@y.org/", "a https://x.org https://y.org/"),
        ("ssh://git:pw@x.org", "ssh://git@x.org"),
        ("https://x.org/?q=a@b and ada@example.org", "https://x.org/?q=a@b and ada@example.org"),
        ("://me:pw@x.org", "://me:pw@x.org"),
    ],
)
def test_credentials_are_taken_out_of_addresses_inside_a_text(text: str, clean: str) -> None:
    assert without_credentials_inside(text) == clean
