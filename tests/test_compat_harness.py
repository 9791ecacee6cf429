"""The harness of tests/compat plays samples unchanged, without a network, and tells what fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.compat import harness, results, sources, stand_ins, table
from tests.compat.checks import After, completed, metric
from tests.compat.harness import FAILS, NOT_PLAYED, PARTLY, RUNS, Outcome
from tests.compat.samples import OWN, TABLES, Sample, find


@pytest.fixture(autouse=True)
def _this_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (harness.PYTHON, sources.NOTEBOOKS, sources.EXAMPLES):
        monkeypatch.delenv(name, raising=False)


def test_a_notebook_is_played_to_its_end_without_a_network(tmp_path: Path) -> None:
    outcome = harness.play(find("own notebook"), keep=tmp_path)
    assert (outcome.result, outcome.why) == (PARTLY, "")
    assert outcome.passed_over == {"is for people": 1, "the end": 2}
    assert "refused: [Errno 101] Network is unreachable" in outcome.printed
    assert "good morning" in outcome.printed
    (place,) = tmp_path.iterdir()
    played = json.loads((place / "project" / "hello.ipynb").read_text())
    kept = json.loads((harness.ROOT / "tests/compat/own/notebook/hello.ipynb").read_text())
    assert played == kept


def test_a_script_is_played_and_what_it_claims_is_looked_up() -> None:
    outcome = harness.play(find("own script"))
    assert (outcome.result, outcome.why) == (RUNS, "")


def test_a_claim_that_does_not_hold_fails_the_sample() -> None:
    after = After(Path(), "", SimpleNamespace(experiments={}))
    assert completed("none", 2)(after) == "none has 0 runs instead of 2"
    assert metric("none", "loss")(after) == "loss has 0 values; there are []"


@pytest.mark.service("namespaces")
def test_a_process_alone_reaches_loopback_and_nothing_else() -> None:
    code = (
        "import socket\n"
        "here = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(here.getsockname()).close()\n"
        "try: socket.create_connection(('192.0.2.1', 80), 5)\n"
        "except OSError as error: print(error.errno)\n"
    )
    command = [sys.executable, "-m", "tests.compat.alone", sys.executable, "-c", code]
    done = subprocess.run(command, cwd=harness.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "101\n"


def test_where_there_are_no_namespaces_python_itself_refuses() -> None:
    code = (
        "import socket\n"
        "here = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(here.getsockname()).close()\n"
        "try: socket.create_connection(('192.0.2.1', 80), 5)\n"
        "except OSError as error: print(error)\n"
    )
    variables = {"AML_SAMPLES_GUARD": "sockets", "PYTHONPATH": "tests/compat/guard"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=harness.ROOT,
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "the harness refuses 192.0.2.1" in done.stdout


@pytest.mark.service("git")
def test_samples_are_taken_from_a_commit_and_missing_files_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "clone"
    (repository / "a" / "b").mkdir(parents=True)
    (repository / "a" / "one.txt").write_text("1")
    (repository / "a" / "b" / "two.txt").write_text("2")
    (repository / "elsewhere.txt").write_text("3")

    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@localhost", *arguments]
        done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "all")
    monkeypatch.setitem(sources.COMMITS, "S25", git("rev-parse", "HEAD"))
    blob = git("rev-parse", "HEAD:a/b/two.txt")
    lost = repository / ".git" / "objects" / blob[:2] / blob[2:]
    lost.unlink()
    monkeypatch.setenv(sources.NOTEBOOKS, str(repository))
    sources.copy("S25", "a", tmp_path / "taken")
    assert [path.name for path in (tmp_path / "taken").rglob("*.txt")] == ["one.txt"]
    assert sources.extract(repository, "S25", tmp_path / "all") == 2
    assert (tmp_path / "all" / "S25" / "elsewhere.txt").read_text() == "3"
    with pytest.raises(sources.MissingError, match="nowhere of"):
        sources.copy("S25", "nowhere", tmp_path / "none")


def test_what_cannot_be_played_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert harness.play(find("33")).why == "needs pipelines"
    outcome = harness.play(find("3"))
    assert outcome.result == NOT_PLAYED
    assert "AML_SAMPLES_MLN names no checkout" in outcome.why
    needy = Sample("x", "S25", "a/b.ipynb", modules=("no_such_module",))
    assert harness.play(needy).why == "the interpreter has no no_such_module"


def test_the_page_counts_what_has_to_run_and_tells_the_rest() -> None:
    outcomes = [
        Outcome(find("1"), RUNS, 12.4),
        Outcome(find("2"), FAILS, 3.0, "cell 3: Traceback\nValueError: no | more"),
        Outcome(find("7"), PARTLY, 5.0, passed_over={"needs a web service": 8}),
        Outcome(find("33"), NOT_PLAYED, why="needs pipelines"),
    ]
    page = table.page(outcomes)
    assert "1 of 2 samples run; 2 are not counted" in page
    assert "| fails | 3 | ValueError: no  more |" in page
    assert "8 cells to the end passed over: needs a web service" in page
    assert "| not played | | needs pipelines |" in page


def test_what_came_of_samples_is_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results.add(path, Outcome(find("1"), FAILS, 1.0, "it fell"))
    results.add(path, Outcome(find("7"), PARTLY, 2.5, passed_over={"needs a web service": 8}))
    results.add(path, Outcome(find("1"), RUNS, 1.5, printed="much"))
    assert results.read(path) == {
        "1": Outcome(find("1"), RUNS, 1.5),
        "7": Outcome(find("7"), PARTLY, 2.5, passed_over={"needs a web service": 8}),
    }


def test_every_stand_in_that_a_sample_names_can_be_made(tmp_path: Path) -> None:
    samples = [sample for samples in (*TABLES.values(), OWN) for sample in samples]
    names = sorted({name for sample in samples for name in sample.stand_ins})
    mirrors = json.loads(stand_ins.make(names, tmp_path).read_text())
    assert len(mirrors) >= len(names)
    assert all(Path(path).exists() for path in mirrors.values())
