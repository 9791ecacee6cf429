"""The index: quick answers about runs, never the truth, always made again."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter.errors import AmlError, UserErrorException
from aml_jupyter.job import events, layout
from aml_jupyter.job.process import identity
from aml_jupyter.job.run import Run
from aml_jupyter.store import Index, Query, WorkspaceFolder
from aml_jupyter.store.following import last_values
from aml_jupyter.store.index import VERSION, delete_run
from tests.support import until


@pytest.fixture
def folder(tmp_path: Path) -> WorkspaceFolder:
    return WorkspaceFolder.create(tmp_path / "project")


def new_run(folder: WorkspaceFolder, run_id: str, **request: Any) -> Run:
    default: dict[str, Any] = {"format": 1, "experiment": "e", "created": 1.0, "target": "local"}
    return Run(str(folder.new_run({**default, "id": run_id, **request})))


def ids(index: Index, **query: Any) -> list[str]:
    return [run.id for run in index.find(Query(**query))]


# Answers ------------------------------------------------------------------------------------


def test_an_empty_workspace_has_no_runs(folder: WorkspaceFolder) -> None:
    index = Index(folder)
    assert (index.count(), index.find(Query())) == (0, [])


def test_a_summary_tells_what_a_list_shows(folder: WorkspaceFolder) -> None:
    run = new_run(folder, "one", number=7, parent="p", type="azureml.scriptrun")
    run.log("loss", 0.5)
    run.log("loss", 0.25)
    run.log("name", "text")
    run.tag("a", "b")
    run.add_properties({"p": "q"})
    run.display_name = "first"
    run.start()
    run.complete()
    (found,) = Index(folder).find(Query())
    assert (found.id, found.experiment, found.number) == ("one", "e", 7)
    assert (found.type, found.parent, found.target) == ("azureml.scriptrun", "p", "local")
    assert (found.status, found.display_name) == ("Completed", "first")
    assert (found.tags, found.properties) == ({"a": "b"}, {"p": "q"})
    assert found.metrics == {"loss": 0.25}
    assert found.started is not None
    assert found.ended is not None
    assert found.created <= found.started <= found.ended


def test_the_newest_come_first_a_page_at_a_time(folder: WorkspaceFolder) -> None:
    for number in range(7):
        new_run(folder, f"r{number}", created=float(number))
    index = Index(folder)
    assert ids(index, limit=3) == ["r6", "r5", "r4"]
    assert ids(index, limit=3, offset=3) == ["r3", "r2", "r1"]
    assert ids(index, limit=3, offset=6) == ["r0"]


def test_runs_are_ranked_by_a_metric_either_way(folder: WorkspaceFolder) -> None:
    for name, value in (("a", 0.5), ("b", 2), ("c", -1.0)):
        new_run(folder, name).log("x", value)
    new_run(folder, "without")
    index = Index(folder)
    assert ids(index, by_metric="x") == ["b", "a", "c"]
    assert ids(index, by_metric="x", largest=False) == ["c", "a", "b"]
    assert ids(index, by_metric="unknown") == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_odd_numbers_do_not_spoil_a_list(value: float, folder: WorkspaceFolder) -> None:
    new_run(folder, "odd").log("x", value)
    new_run(folder, "plain").log("x", 1.0)
    index = Index(folder)
    assert sorted(ids(index)) == ["odd", "plain"]
    assert "plain" in ids(index, by_metric="x")
    for summary in index.find(Query()):
        assert set(summary.metrics) <= {"x"}


def test_runs_are_found_by_tag_with_or_without_a_value(folder: WorkspaceFolder) -> None:
    for name, tags in (("a", {"k": "1"}), ("b", {"k": "2"}), ("c", {"k": None}), ("d", {})):
        new_run(folder, name, tags=tags, created=ord(name))
    index = Index(folder)
    assert ids(index, tag="k") == ["c", "b", "a"]
    assert ids(index, tag="k", tag_value="2") == ["b"]
    assert ids(index, tag="unknown") == []


def test_archived_runs_are_left_out_unless_asked_for(folder: WorkspaceFolder) -> None:
    new_run(folder, "shown")
    new_run(folder, "hidden")
    events.append(str(folder.runs / "hidden"), "archive", archived=True)
    index = Index(folder)
    assert ids(index) == ["shown"]
    assert sorted(ids(index, archived=True)) == ["hidden", "shown"]


def test_conditions_add_up(folder: WorkspaceFolder) -> None:
    for number in range(8):
        run = new_run(
            folder, f"r{number}", experiment="ab"[number % 2], tags={"t": str(number % 4)}
        )
        run.log("x", number)
        if number > 3:
            run.complete()
    index = Index(folder)
    found = ids(index, experiment="b", tag="t", tag_value="1", state="Completed", by_metric="x")
    assert found == ["r5"]


@pytest.mark.parametrize(
    "text", ["'; DROP TABLE runs; --", "%", "_", "\\", "\0", "ü", "\udcff", ""]
)
def test_any_text_is_only_text(text: str, folder: WorkspaceFolder) -> None:
    run = new_run(folder, "one")
    run.tag(text or "empty", text)
    run.display_name = text
    index = Index(folder)
    found = index.find(Query(tag=text or "empty", tag_value=text))
    assert [run.id for run in found] == ["one"]
    assert found[0].display_name == text.encode(errors="backslashreplace").decode()
    assert ids(index, experiment=text) == []
    with pytest.raises(UserErrorException):
        index.locate(text + "x")


# Looking runs up ----------------------------------------------------------------------------


def test_a_run_is_found_by_its_id_or_the_beginning_of_it(folder: WorkspaceFolder) -> None:
    for name in ("exp_1_aa", "exp_1_ab", "other"):
        new_run(folder, name)
    index = Index(folder)
    assert index.locate("exp_1_aa") == folder.runs / "exp_1_aa"
    assert index.locate("oth") == folder.runs / "other"
    with pytest.raises(UserErrorException, match="Several runs begin with 'exp_1'"):
        index.locate("exp_1")


@pytest.mark.parametrize("run_id", ["missing", "", "..", "../runs/one", "/", ".", "one/", "ONE"])
def test_what_is_no_run_is_an_error_that_says_so(run_id: str, folder: WorkspaceFolder) -> None:
    new_run(folder, "one")
    new_run(folder, "two")
    with pytest.raises(UserErrorException, match="no run"):
        Index(folder).locate(run_id)


# Keeping up ---------------------------------------------------------------------------------


def test_every_change_shows_at_the_next_look(folder: WorkspaceFolder) -> None:
    index = Index(folder)
    assert ids(index) == []
    run = new_run(folder, "one")
    assert ids(index, state="NotStarted") == ["one"]
    run.start()
    assert ids(index, state="Running") == ["one"]
    run.log("x", 1)
    assert index.find(Query())[0].metrics == {"x": 1}
    run.log("x", 2)
    assert index.find(Query())[0].metrics == {"x": 2}
    run.tag("a", "b")
    assert ids(index, tag="a") == ["one"]
    run.complete()
    assert ids(index, state="Completed") == ["one"]


def test_a_change_after_the_end_shows_when_it_is_noted(folder: WorkspaceFolder) -> None:
    run = new_run(folder, "one")
    run.complete()
    index = Index(folder)
    assert ids(index, tag="late") == []
    run.tag("late", "1")
    folder.note("one")
    assert ids(index, tag="late") == ["one"]


def test_children_appear_with_their_parent(folder: WorkspaceFolder) -> None:
    run = new_run(folder, "one")
    run.start()
    index = Index(folder)
    assert ids(index) == ["one"]
    with run.child_run() as child:
        child.log("x", 3)
        grandchild = child.child_run()
        grandchild.complete()
    assert set(ids(index)) == {"one", child.id, grandchild.id}
    assert ids(index, parent="one") == [child.id]
    assert ids(index, parent=child.id) == [grandchild.id]
    assert ids(index, by_metric="x") == [child.id]
    assert index.locate(grandchild.id).parent.parent == index.locate(child.id)


def test_a_deleted_run_is_gone_with_its_tags_and_metrics(folder: WorkspaceFolder) -> None:
    run = new_run(folder, "one", tags={"a": "b"})
    run.log("x", 1)
    run.complete()
    index = Index(folder)
    assert ids(index) == ["one"]
    delete_run(folder.runs / "one")
    folder.note("one")
    assert ids(index) == ids(index, tag="a") == ids(index, by_metric="x") == []


def test_a_run_deleted_by_hand_is_gone_while_it_was_live(folder: WorkspaceFolder) -> None:
    new_run(folder, "one")
    index = Index(folder)
    assert ids(index) == ["one"]
    shutil.rmtree(folder.runs / "one")
    assert ids(index) == []


def test_a_forgotten_run_comes_back_only_with_its_folder(folder: WorkspaceFolder) -> None:
    new_run(folder, "one").complete()
    index = Index(folder)
    index.forget("one")
    assert ids(index) == []
    assert index.rebuild() == 1


def test_two_open_indexes_agree(folder: WorkspaceFolder) -> None:
    one, two = Index(folder), Index(folder)
    for number in range(20):
        new_run(folder, f"r{number:02}", created=number)
        assert one.count() == two.count() == number + 1


def test_an_index_may_be_used_from_several_threads(folder: WorkspaceFolder) -> None:
    for number in range(10):
        new_run(folder, f"r{number}")
    index, wrong = Index(folder), []

    def look() -> None:
        for _ in range(40):
            try:
                if index.count() < 10 or len(index.find(Query())) < 10:
                    wrong.append("too few")
            except (sqlite3.Error, OSError, AmlError) as error:
                wrong.append(repr(error))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(10, 30):
        new_run(folder, f"r{number}")
    for thread in threads:
        thread.join()
    assert wrong == []
    assert index.count() == 30


def test_many_processes_may_look_while_runs_are_made(folder: WorkspaceFolder) -> None:
    def look(seconds: float) -> None:
        index, until = Index(folder), time.monotonic() + seconds
        while time.monotonic() < until:
            count = index.count()
            assert len(index.find(Query())) >= count

    context = multiprocessing.get_context("fork")
    lookers = [context.Process(target=look, args=(1.0,)) for _ in range(4)]
    for looker in lookers:
        looker.start()
    for number in range(100):
        new_run(folder, f"r{number}").start()
    for looker in lookers:
        looker.join(20)
    assert [looker.exitcode for looker in lookers] == [0] * 4
    assert Index(folder).count() == 100


def test_a_process_killed_while_it_updates_harms_nobody(folder: WorkspaceFolder) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from aml_jupyter.store import Index, WorkspaceFolder\n"
        "index = Index(WorkspaceFolder(Path(sys.argv[1])))\nprint('up', flush=True)\n"
        "while True: index.rebuild() if len(sys.argv) > 2 else index.count()"
    )
    root = str(Path(__file__).parent.parent)
    for number in range(60):
        new_run(folder, f"r{number:02}", created=number).start()
    for extra in ([], ["rebuild"]) * 4:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder.root), *extra],
            env={**os.environ, "PYTHONPATH": root},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.02)
        process.kill()
        process.wait()
        process.stdout.close()
        assert len(Index(folder).find(Query(state="Running"))) == 60


# Damage -------------------------------------------------------------------------------------


def test_an_index_of_another_version_is_built_again(folder: WorkspaceFolder) -> None:
    new_run(folder, "one")
    Index(folder)
    with sqlite3.connect(folder.root / "index.db") as database:
        database.execute("UPDATE meta SET value = ? WHERE key = 'version'", (str(VERSION + 1),))
    database.close()
    assert ids(Index(folder)) == ["one"]


@pytest.mark.parametrize("table", ["runs", "tags", "metrics", "meta"])
def test_an_index_without_one_of_its_tables_is_built_again(
    table: str, folder: WorkspaceFolder
) -> None:
    new_run(folder, "one", tags={"a": "b"}).log("x", 1)
    index = Index(folder)
    with sqlite3.connect(folder.root / "index.db") as database:
        database.execute(f"DROP TABLE {table}")
    database.close()
    assert ids(index, by_metric="x") == ids(index, tag="a") == ["one"]
    assert ids(Index(folder)) == ["one"]


def test_a_journal_that_is_gone_or_shorter_has_the_index_built_again(
    folder: WorkspaceFolder,
) -> None:
    new_run(folder, "one").complete()
    index = Index(folder)
    journal = folder.root / "index.journal"
    journal.write_bytes(b"")
    new_run(folder, "two").complete()
    assert sorted(ids(index)) == ["one", "two"]
    journal.unlink()
    new_run(folder, "three").complete()
    assert sorted(ids(index)) == ["one", "three", "two"]
    journal.write_bytes(b"\xff\xfe noise \0\n../..\n/etc\n")
    assert sorted(ids(index)) == ["one", "three", "two"]


NO_RUNS: list[bytes] = [
    b"",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"{}",
    b'{"format": 1, "id"',
    b'{"format": 1, "id": 5}',
    b'{"format": 1, "id": {"a": 1}}',
    b'{"format": 1, "id": "odd", "experiment": {"a": 1}}',
    b'{"format": 1, "id": "odd", "created": "yesterday"}',
    b'{"format": 1, "id": "odd", "tags": [1, 2]}',
    b'{"format": 1, "id": "odd", "source": "here"}',
    b'{"format": 1, "id": "odd", "owner": "me"}',
    b'{"format": 1, "id": "odd", "number": 1e400}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("noise", NO_RUNS, ids=[repr(noise[:50]) for noise in NO_RUNS])
def test_a_spoiled_run_does_not_hide_the_others(noise: bytes, folder: WorkspaceFolder) -> None:
    new_run(folder, "good").complete()
    index = Index(folder)
    (folder.runs / "odd").mkdir()
    (folder.runs / "odd" / layout.REQUEST).write_bytes(noise)
    folder.note("odd")
    assert "good" in ids(index)
    assert "good" in ids(Index(folder))
    assert index.rebuild() in (1, 2)


def test_a_run_under_another_name_is_listed_where_it_is(folder: WorkspaceFolder) -> None:
    new_run(folder, "one").complete()
    (folder.runs / "one").rename(folder.runs / "moved")
    index = Index(folder)
    assert index.locate("one") == folder.runs / "moved"


def test_files_among_the_runs_do_not_disturb(folder: WorkspaceFolder) -> None:
    new_run(folder, "one")
    (folder.runs / ".DS_Store").write_bytes(b"\0")
    (folder.runs / "empty").mkdir()
    (folder.runs / "dangling").symlink_to("nowhere")
    (folder.runs / "loop").symlink_to(".")
    assert ids(Index(folder)) == ["one"]


def test_spoiled_events_and_metrics_do_not_hide_a_run(folder: WorkspaceFolder) -> None:
    run = new_run(folder, "one")
    run.log("x", 1)
    (folder.runs / "one" / layout.EVENTS).write_bytes(b'\xff\n{"e": "state"}\n{"e": "tags"}\n')
    for path in (folder.runs / "one" / layout.METRICS).iterdir():
        path.write_bytes(os.urandom(1000))
    assert ids(Index(folder)) == ["one"]
    assert Run(str(folder.runs / "one")).get_status() == "NotStarted"


# Interactive runs and their processes -------------------------------------------------------


def test_a_run_whose_process_is_gone_is_failed(folder: WorkspaceFolder) -> None:
    gone = {"pid": 2**22 - 1, "started": 5, "boot": identity()["boot"]}
    new_run(folder, "gone", owner=gone).start()
    new_run(folder, "here", owner=identity()).start()
    new_run(folder, "elsewhere", owner=gone, host="another-machine").start()
    index = Index(folder)
    assert ids(index, state="Failed") == ["gone"]
    assert sorted(ids(index, state="Running")) == ["elsewhere", "here"]
    details = Run(str(folder.runs / "gone")).get_details()
    assert details["error"]["error"]["code"] == "ProcessEnded"


def test_a_run_of_another_boot_is_failed(folder: WorkspaceFolder) -> None:
    new_run(folder, "old", owner={**identity(), "boot": "another"}).start()
    assert ids(Index(folder), state="Failed") == ["old"]


def test_a_process_that_dies_while_the_index_is_open_is_noticed(folder: WorkspaceFolder) -> None:
    process = subprocess.Popen(["sleep", "60"])
    new_run(folder, "one", owner=identity(process.pid)).start()
    index = Index(folder)
    assert ids(index, state="Running") == ["one"]
    process.kill()
    process.wait()
    until(lambda: ids(index, state="Failed") == ["one"])


# Last values --------------------------------------------------------------------------------


def test_the_last_value_of_each_metric_is_found_far_from_the_end(tmp_path: Path) -> None:
    from aml_jupyter.job.metrics import MetricWriter

    writer = MetricWriter(str(tmp_path))
    writer.number("early", 1.0)
    for number in range(20_000):
        writer.number("late", float(number))
    assert last_values(str(tmp_path)) == {"early": 1.0, "late": 19_999.0}


def test_the_last_value_of_several_processes_is_the_latest(tmp_path: Path) -> None:
    from aml_jupyter.job.metrics import MetricWriter

    first, second = MetricWriter(str(tmp_path)), MetricWriter(str(tmp_path))
    first.number("x", 1.0)
    second.number("x", 2)
    first.number("x", True)
    first.number("y", 5)
    assert last_values(str(tmp_path)) == {"x": 1.0, "y": 5.0}


def test_no_metrics_have_no_last_values(tmp_path: Path) -> None:
    assert last_values(str(tmp_path / "missing")) == {}
    (tmp_path / "w.bin").write_bytes(b"")
    (tmp_path / "w.jsonl").write_text(json.dumps({"t": 1, "name": "l"}) + "\n")
    assert last_values(str(tmp_path)) == {}


def test_progress_is_told_while_building(folder: WorkspaceFolder) -> None:
    for number in range(3):
        new_run(folder, f"r{number}")
    told: list[tuple[int, int]] = []
    Index(folder, lambda done, total: told.append((done, total)))
    assert told[-1] == (3, 3)
