"""What changes among runs, seen at the next look whoever has changed it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter import Workspace
from aml_jupyter.job import events, layout
from aml_jupyter.job.metrics import MetricWriter
from aml_jupyter.job.run import Run
from aml_jupyter.store import Index, Query, WorkspaceFolder
from aml_jupyter.store.following import Followed, LastNumbers
from aml_jupyter.watching.changes import Changes, Counts


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    project = tmp_path / "project"
    WorkspaceFolder.create(project)
    return Workspace.from_config(project)


def new_run(place: Workspace, run_id: str, **request: Any) -> Run:
    now = {"format": 1, "experiment": "e", "created": time.time(), "target": "local"}
    return Run(str(place.folder.new_run({**now, "id": run_id, **request})))


def tell(run: Run, kind: str, **facts: Any) -> None:
    """Append an event as a job or the runner does: without a word to the index."""
    line = json.dumps({"t": time.time(), "e": kind, **facts})
    events.append_line(os.path.join(run._folder, layout.EVENTS), f"{line}\n".encode())


def elsewhere(place: Workspace, code: str) -> None:
    """Let another process do something with the workspace ``w``."""
    start = (
        f"from aml_jupyter import Workspace\nw = Workspace.find({str(place.folder.project)!r})\n"
    )
    subprocess.run([sys.executable, "-c", start + code], check=True)


# Runs -----------------------------------------------------------------------------------------


def test_nothing_new_is_nothing(place: Workspace) -> None:
    new_run(place, "one")
    changes = Changes(place)
    for _ in range(3):
        found = changes.look()
        assert (found.runs, found.gone, found.ended, found.anything) == ([], [], [], False)


def test_a_run_is_seen_when_it_is_made_when_it_starts_and_when_it_ends(place: Workspace) -> None:
    changes = Changes(place)
    run = new_run(place, "one")
    (made,) = changes.look().runs
    assert (made.id, made.status) == ("one", "NotStarted")
    tell(run, "state", state="Queued")
    assert [each.status for each in changes.look().runs] == ["Queued"]
    tell(run, "state", state="Running")
    found = changes.look()
    assert [each.status for each in found.runs] == ["Running"]
    assert (found.counts, found.ended) == (Counts(1, 0, 0, 1), [])
    tell(run, "state", state="Failed")
    found = changes.look()
    assert [each.id for each in found.ended] == ["one"]
    assert found.counts == Counts(0, 0, 1, 1)
    tell(run, "tags", set={"late": "yes"})
    place.folder.note("one")
    found = changes.look()
    assert [each.tags for each in found.runs] == [{"late": "yes"}]
    assert found.ended == []


def test_a_run_that_lived_between_two_looks_has_ended(place: Workspace) -> None:
    changes = Changes(place)
    run = new_run(place, "one")
    tell(run, "state", state="Running")
    tell(run, "state", state="Completed")
    assert [each.id for each in changes.look().ended] == ["one"]


def test_what_ended_before_has_not_just_ended(place: Workspace) -> None:
    run = new_run(place, "one")
    tell(run, "state", state="Completed")
    changes = Changes(place)
    time.sleep(0.01)
    place.folder.note("one")
    found = changes.look()
    assert [each.id for each in found.runs] == ["one"]
    assert found.ended == []


def test_numbers_are_seen_while_a_run_goes_on(place: Workspace) -> None:
    run = new_run(place, "one")
    run.start()
    changes = Changes(place)
    run.log("loss", 0.5)
    assert [each.metrics for each in changes.look().runs] == [{"loss": 0.5}]
    assert not changes.look().anything
    run.log("loss", 0.25)
    run.log("steps", 7)
    assert [each.metrics for each in changes.look().runs] == [{"loss": 0.25, "steps": 7.0}]


def test_numbers_that_were_put_off_are_in_every_answer(place: Workspace) -> None:
    runs = [new_run(place, name) for name in ("a", "b")]
    for run in runs:
        run.start()
        run.log("x", 1.0)
    changes = Changes(place)
    runs[0].log("x", 3.0)
    changes.look()
    assert [run.id for run in place.list_runs("metric.x>2").runs] == ["a"]
    assert [run.id for run in place.runs(by_metric="x")] == ["a", "b"]
    assert {run.id: run.metrics["x"] for run in place.runs()} == {"a": 3.0, "b": 1.0}
    runs[1].log("x", 5.0)
    changes.look()
    runs[1].complete()
    assert [run.id for run in place.list_runs(sort="metric.x").runs] == ["b", "a"]
    other = Index(place.folder)
    assert [run.id for run in other.find(Query(by_metric="x"))] == ["b", "a"]
    runs[0].log("y", 1.0)
    changes.look()
    assert place.filter_words().metrics == ["x", "y"]


def test_answers_do_not_take_news_away(place: Workspace) -> None:
    changes = Changes(place)
    run = new_run(place, "one")
    assert len(place.runs()) == 1
    assert [each.id for each in changes.look().runs] == ["one"]
    run.start()
    assert place.list_runs("state:running").total == 1
    assert [each.status for each in changes.look().runs] == ["Running"]


def test_each_who_watches_hears_all(place: Workspace) -> None:
    first, second = Changes(place), Changes(place)
    new_run(place, "one")
    assert [each.id for each in first.look().runs] == ["one"]
    assert [each.id for each in second.look().runs] == ["one"]


def test_how_far_a_run_is_is_told(place: Workspace) -> None:
    run = new_run(place, "one")
    tell(run, "state", state="Running")
    changes = Changes(place)
    tell(run, "progress", stage="Running", done=3, total=4, text="3 of 4")
    found = changes.look()
    assert [each.id for each in found.runs] == ["one"]
    assert (found.progress["one"].done, found.progress["one"].text) == (0.75, "3 of 4")
    assert changes.progress_of("one") == found.progress["one"]
    tell(run, "state", state="Completed")
    assert changes.look().progress == {}
    assert changes.progress_of("one") is None


def test_archived_runs_and_children_do_not_count(place: Workspace) -> None:
    changes = Changes(place)
    new_run(place, "shown")
    new_run(place, "child", parent="shown")
    tell(new_run(place, "hidden"), "archive", archived=True)
    found = changes.look()
    assert len(found.runs) == 3
    assert found.counts == Counts(0, 1, 0, 1)
    assert found.counts_changed
    assert not changes.look().counts_changed


def test_counts_are_those_of_the_runs_whatever_becomes_of_them(place: Workspace) -> None:
    changes = Changes(place)
    run = new_run(place, "one", experiment="f")
    assert changes.look().counts == Counts(0, 1, 0, 1)
    run.start()
    assert changes.look().counts == Counts(1, 0, 0, 1)
    run.fail()
    assert changes.look().counts == Counts(0, 0, 1, 1)
    place.get_run("one").archive()
    assert changes.look().counts == Counts(0, 0, 0, 0)
    place.get_run("one").reactivate()
    new_run(place, "two")
    assert changes.look().counts == Counts(0, 1, 1, 2)
    place.get_run("one").delete()
    assert changes.look().counts == Counts(0, 1, 0, 1)
    place.reindex()
    assert changes.look().counts == Counts(0, 1, 0, 1)


def test_counting_takes_the_same_however_many_runs_there_are(place: Workspace) -> None:
    def steps_of_a_count() -> int:
        steps = 0

        def step() -> int:
            nonlocal steps
            steps += 1
            return 0

        place.runs()
        place.index._database.set_progress_handler(step, 1)
        place.index._listing.facts_changed()
        place.index.tally(0.0)
        place.index._database.set_progress_handler(None, 1)
        return steps

    new_run(place, "first")
    few = steps_of_a_count()
    for number in range(50):
        new_run(place, f"run{number}")
    assert steps_of_a_count() == few > 0


# By others ------------------------------------------------------------------------------------


def test_what_another_process_does_is_seen(place: Workspace) -> None:
    done = new_run(place, "done")
    done.start()
    done.complete()
    changes = Changes(place)
    elsewhere(place, "r = w.get_run('done'); r.archive(); r.set_tags({'a': 'b'}); w.runs()")
    (archived,) = changes.look().runs
    assert (archived.archived, archived.tags) == (True, {"a": "b"})
    elsewhere(place, "w.get_run('done').delete(); w.runs()")
    assert changes.look().gone == ["done"]
    elsewhere(place, "from aml_jupyter import Experiment; Experiment(w, 'x').start_logging()")
    found = changes.look()
    assert [run.experiment for run in found.runs] == ["x"]
    assert [run.status for run in found.ended] == ["Failed"]  # its process is no more


def test_a_child_that_another_process_has_indexed_is_seen(place: Workspace) -> None:
    parent = new_run(place, "parent")
    parent.start()
    changes = Changes(place)
    elsewhere(place, "w.get_run('parent').child_run(run_id='kid'); w.runs()")
    assert "kid" in {run.id for run in changes.look().runs}


def test_a_child_that_a_job_makes_is_seen(place: Workspace) -> None:
    parent = new_run(place, "parent")
    parent.start()
    changes = Changes(place)
    parent.child_run(run_id="first")
    assert {run.id for run in changes.look().runs} == {"parent", "first"}
    parent.child_run(run_id="second")
    assert {run.id for run in changes.look().runs} == {"parent", "second"}


def test_a_folder_that_is_removed_by_hand_is_gone(place: Workspace) -> None:
    for name in ("waits", "runs"):
        new_run(place, name)
    Run(str(place.folder.runs / "runs")).start()
    changes = Changes(place)
    shutil.rmtree(place.folder.runs / "waits")
    assert changes.look().gone == ["waits"]
    shutil.rmtree(place.folder.runs / "runs")
    assert changes.look().gone == ["runs"]


def test_an_index_that_is_made_again_leaves_lists_to_be_asked_anew(place: Workspace) -> None:
    new_run(place, "one")
    changes = Changes(place)
    elsewhere(place, "w.reindex()")
    assert changes.look().behind
    assert not changes.look().behind
    new_run(place, "two")
    assert [run.id for run in changes.look().runs] == ["two"]


def test_a_locked_index_only_puts_news_off(place: Workspace) -> None:
    import sqlite3

    changes = Changes(place)
    place.index._database.execute("PRAGMA busy_timeout=1")
    run = new_run(place, "one")
    with sqlite3.connect(place.folder.root / "index.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert changes.look().runs == []
        run.start()
        other.execute("COMMIT")
    assert [each.status for each in changes.look().runs] == ["Running"]


# The last numbers -----------------------------------------------------------------------------


def test_last_numbers_are_those_of_all_writers_ever(tmp_path: Path) -> None:
    numbers = LastNumbers(str(tmp_path))
    assert not numbers.look()
    first = MetricWriter(str(tmp_path))
    first.number("x", 1.0)
    assert numbers.look()
    second = MetricWriter(str(tmp_path))
    second.number("x", 2.0)
    second.number("flag", True)
    assert numbers.look()
    assert numbers.values == {"x": 2.0, "flag": 1.0}
    first.number("x", 3)
    assert numbers.look()
    assert numbers.values["x"] == 3.0
    assert not numbers.look()


@pytest.mark.parametrize("many", [100, 3_000, 60_000])
def test_a_number_that_is_logged_seldom_is_not_passed_over(many: int, tmp_path: Path) -> None:
    writer, numbers = MetricWriter(str(tmp_path)), LastNumbers(str(tmp_path))
    for epoch in range(3):
        writer.number("seldom", float(epoch))
        for step in range(many):
            writer.number("often", float(step))
        for _ in range(1 + many // 10_000):
            numbers.look()
        assert numbers.values == {"seldom": float(epoch), "often": many - 1.0}
    assert LastNumbers(str(tmp_path)).look(final=True)


def test_events_are_read_on_and_anew_where_the_file_is_another(place: Workspace) -> None:
    run = new_run(place, "one")
    followed = Followed(Path(run._folder))
    assert not followed.has_new_events()
    tell(run, "state", state="Running")
    assert followed.has_new_events()
    assert followed.facts.status == "Running"
    os.unlink(os.path.join(run._folder, layout.EVENTS))
    # Longer by far: a file of the same length, made in the same moment, may get the same inode.
    tell(run, "tags", set={"why": "the file is another one"})
    tell(run, "state", state="Queued")
    assert followed.has_new_events()
    assert followed.facts.status == "Queued"
