"""A run that is its children: made in order, retried, counted, ended, whoever is killed."""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from aml_jupyter import Experiment, Run, ScriptRunConfig, Workspace, runner
from aml_jupyter.cli import main
from aml_jupyter.errors import UserErrorException
from aml_jupyter.home import home
from aml_jupyter.job import events, layout
from aml_jupyter.runner import queue
from aml_jupyter.runner.family import Families
from aml_jupyter.spec import Family, JobSpec, Member, RunRequest
from aml_jupyter.store import Objects, snapshots
from aml_jupyter.workspace import submission
from tests.support import (
    assert_no_orphans,
    experiment,
    finish,
    is_running,
    kill,
    kill_runner,
    log_of,
    message_of,
    project,
    runner_pid,
    script,
    states_of,
    until,
    ws,
)
from tests.test_faults import Disk, disk

__all__ = ["disk", "experiment", "project", "ws"]

HEAD = """
    import os, sys, time
    values = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    n = values['--n']
    def note(what):
        with open(os.environ['NOTES'], 'a') as file:
            file.write(f'{n} {what}' + chr(10))
    note('starts')
    """
NOTHING = ""
SLEEP = "print('up', flush=True); time.sleep(60)"


@pytest.fixture(autouse=True)
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the children of a test note what they do."""
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    (tmp_path / "notes").touch()
    return tmp_path / "notes"


def numbered(count: int) -> list[Member]:
    """Members that are told apart by ``--n``."""
    return [Member(f"n={n}", {"n": n}) for n in range(count)]


def submit(
    to: Experiment,
    text: str,
    members: Sequence[Member],
    tags: Mapping[str, str | None] | None = None,
    **how: Any,
) -> Run:
    """The family of a script with this text and one child for each member, just submitted."""
    run = prepare(to, text, members, tags, **how)
    place = submission.plan(to.workspace.folder, to.name, _config(to, text)).place
    runner.enqueue(run.folder, run.id, dict(os.environ), place.ask(0), is_family=True)
    return run


def prepare(
    to: Experiment,
    text: str,
    members: Sequence[Member],
    tags: Mapping[str, str | None] | None = None,
    run_id: str | None = None,
    **how: Any,
) -> Run:
    """The same, and no runner knows of it yet."""
    folder = to.workspace.folder
    planned = submission.plan(folder, to.name, _config(to, text))
    taken = snapshots.take(planned.source.directory, Objects(folder.objects))
    job = JobSpec(
        script="train.py", interpreter=planned.job.interpreter, snapshot=taken.id, options={}
    )
    request = RunRequest(
        id=run_id or f"family_{os.urandom(4).hex()}",
        experiment=to.name,
        number=folder.next_number(to.name),
        type="azureml.batch",
        created=time.time(),
        workspace={"id": "", "name": "w", "subscription_id": "s", "resource_group": "g"},
        source={"kind": "folder", "backend": "local", "files": 1, "bytes": 1},
        tags=tags or {},
        properties={"kept": "yes"},
        family=Family(job, tuple(members), **how),
    )
    folder.new_run(request.to_json())
    return to.workspace.get_run(request.id)


def _config(to: Experiment, text: str) -> ScriptRunConfig:
    source = to.workspace.folder.project.parent / "source"
    script(source, textwrap.dedent(HEAD) + textwrap.dedent(text))
    return ScriptRunConfig(str(source), script="train.py")


def children(run: Run) -> list[Run]:
    """All children of the run, in the order in which they were made."""
    return sorted(run.get_children(), key=lambda child: child.number)


def child(run: Run, name: str | int) -> Run:
    """The child of that index, or with that end of its id, once it is there."""
    place = run.folder.parent / f"{run.id}_{name}"
    until(lambda: (place / layout.REQUEST).exists())
    return run.experiment.workspace.get_run(place.name)


def up(run: Run) -> Run:
    """The run once its script says so."""
    until(lambda: "up" in log_of(run))
    return run


def noted(notes: Path, what: str = "starts") -> list[int]:
    """Which members noted that, in order."""
    lines = [line.split() for line in notes.read_text().splitlines()]
    return [int(n) for n, noted in lines if noted == what]


def statuses(run: Run) -> dict[str, str]:
    """The state of each child by the end of its id."""
    return {each.id.removeprefix(f"{run.id}_"): each.get_status() for each in run.get_children()}


def members_told(run: Run) -> list[tuple[int, int, str | None]]:
    """Index, attempt and state of each ``member`` event of the run."""
    told = [event for event in events.read(str(run.folder))[0] if event["e"] == "member"]
    return [(event["index"], event["attempt"], event.get("state")) for event in told]


def assert_queue_is_empty() -> None:
    """No entry is left, nor anything half-written."""
    until(lambda: not list(home().queue.iterdir()))


# Members become runs ------------------------------------------------------------------------


def test_each_member_is_a_child_with_its_own_values(experiment: Experiment) -> None:
    members = [Member("low", {"n": 1, "rate": 0.5}), Member("high", {"n": 2, "rate": "a b"})]
    run = submit(experiment, "print(values['--rate'])", members, tags={"from": "parent"})
    assert finish(run)["status"] == "Completed"
    low, high = children(run)
    assert (low.id, high.id) == (f"{run.id}_0", f"{run.id}_1")
    assert (low.number, high.number) == (run.number + 1, run.number + 2)
    assert (low.display_name, high.display_name) == ("low", "high")
    assert (log_of(low), log_of(high)) == ("0.5\n", "a b\n")
    assert low.type == "azureml.scriptrun"
    assert high.parent is not None
    assert high.parent.id == run.id
    assert high.tags == {"from": "parent", "n": "2", "rate": "a b"}
    assert high.properties == {"kept": "yes", "aml.member": "1", "aml.attempt": "1"}
    assert_queue_is_empty()


def test_the_parent_is_queued_then_running_then_completed_and_tells_how_far_it_is(
    experiment: Experiment,
) -> None:
    text = "while not os.path.exists(os.environ['NOTES'] + n): time.sleep(0.01)"
    run = submit(experiment, text, numbered(3))
    until(lambda: run.get_detailed_status()["details"] == "0 of 3 done, 2 running")
    Path(os.environ["NOTES"] + "1").touch()
    until(lambda: "1 of 3 done" in run.get_detailed_status()["details"])
    for n in (0, 2):
        Path(os.environ["NOTES"] + str(n)).touch()
    assert finish(run)["status"] == "Completed"
    assert states_of(run) == ["Queued", "Running", "Completed"]
    told = [event for event in events.read(str(run.folder))[0] if event["e"] == "progress"]
    assert all(event["stage"] == "Running" and event["total"] == 3 for event in told)


def test_a_parent_waits_with_its_children(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_SLOTS", "1")
    first = submit(experiment, SLEEP, numbered(1))
    up(child(first, 0))
    second = submit(experiment, NOTHING, numbered(2))
    until(lambda: statuses(second) == {"0": "Queued", "1": "Queued"})
    assert second.get_status() == "Queued"
    first.cancel()
    assert finish(second)["status"] == "Completed"
    assert states_of(second) == ["Queued", "Running", "Completed"]


def test_a_family_without_members_is_completed_at_once(experiment: Experiment) -> None:
    run = submit(experiment, NOTHING, [])
    assert finish(run)["status"] == "Completed"
    assert_queue_is_empty()


def test_with_parallel_no_more_are_queued_and_all_are_to_be_seen(
    experiment: Experiment, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_SLOTS", "8")
    text = """
        while not os.path.exists(os.environ['NOTES'] + 'go'): time.sleep(0.01)
        note('ends')
        """
    run = submit(experiment, text, numbered(12), parallel=3)
    until(lambda: len(statuses(run)) == 12 and len(noted(notes)) == 3)
    assert Counter(statuses(run).values())["NotStarted"] == 9
    Path(f"{notes}go").touch()
    while run.get_status() != "Completed":
        assert len(list(home().queue.glob("*.json"))) <= 3
        time.sleep(0.005)
    alive = 0
    for line in notes.read_text().splitlines():
        alive += 1 if line.endswith("starts") else -1
        assert alive <= 3
    assert sorted(noted(notes)) == list(range(12))


def test_members_that_are_done_already_are_not_run(experiment: Experiment, notes: Path) -> None:
    members = numbered(5)
    members[1:4] = [Member(m.name, m.parameters, done_by="earlier_1") for m in members[1:4]]
    run = submit(experiment, NOTHING, members)
    assert finish(run)["status"] == "Completed"
    assert sorted(noted(notes)) == [0, 4]
    assert statuses(run) == {"0": "Completed", "4": "Completed"}


def test_a_family_that_is_all_done_is_completed_at_once(
    experiment: Experiment, notes: Path
) -> None:
    run = submit(experiment, NOTHING, [Member("n=0", {"n": 0}, done_by="earlier_0")])
    assert finish(run)["status"] == "Completed"
    assert noted(notes) == []


def test_a_run_that_has_the_id_of_a_child_already_is_left_alone(experiment: Experiment) -> None:
    other = prepare(experiment, NOTHING, [], run_id="batch_1")
    run = submit(experiment, NOTHING, numbered(3), run_id="batch")
    details = finish(run)
    assert details["status"] == "Failed"
    assert "There is a run batch_1 already" in message_of(details)
    assert other.get_status() == "NotStarted"
    until(lambda: set(statuses(run).values()) <= {"Completed", "Canceled"})


def test_families_of_two_projects_may_have_the_same_id(
    experiment: Experiment, notes: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Experiment(Workspace.from_config(tmp_path / "other"), "test")
    assert other.workspace.folder.runs != experiment.workspace.folder.runs
    runs = [submit(each, NOTHING, numbered(4), run_id="batch") for each in (experiment, other)]
    for run in runs:
        assert finish(run)["status"] == "Completed"
        assert statuses(run) == {str(n): "Completed" for n in range(4)}
    assert Counter(noted(notes)) == {0: 2, 1: 2, 2: 2, 3: 2}
    assert_queue_is_empty()


def test_a_run_that_is_no_family_fails_and_says_so(experiment: Experiment) -> None:
    run = prepare(experiment, NOTHING, [])
    request = json.loads((run.folder / layout.REQUEST).read_text())
    (run.folder / layout.REQUEST).write_text(json.dumps({**request, "family": None}))
    runner.enqueue(run.folder, run.id, dict(os.environ), runner.Ask(), is_family=True)
    assert "has no children to run" in message_of(finish(run))
    assert_queue_is_empty()


# Members that fail --------------------------------------------------------------------------


def test_a_parent_says_how_many_failed_and_why_the_first_did(experiment: Experiment) -> None:
    run = submit(experiment, "1 / 0 if n in '23' else None", numbered(4), parallel=1)
    details = finish(run)
    assert details["status"] == "Failed"
    assert message_of(details) == (
        f"2 of 4 runs failed, n=2 ({run.id}_2) first. "
        "User program failed with ZeroDivisionError: division by zero"
    )
    assert Counter(statuses(run).values()) == {"Completed": 2, "Failed": 2}


def test_what_failed_is_done_anew_as_often_as_asked(experiment: Experiment, notes: Path) -> None:
    text = """
        tries = open(os.environ['NOTES']).read().split(chr(10)).count(f'{n} starts')
        sys.exit(int(n) >= tries)
        """
    run = submit(experiment, text, numbered(4), retries=2)
    details = finish(run)
    assert details["status"] == "Failed"
    assert f"1 of 4 runs failed: n=3 ({run.id}_3_3). " in message_of(details)
    assert Counter(noted(notes)) == {0: 1, 1: 2, 2: 3, 3: 3}
    ends = {"0": "Completed", "1": "Failed", "1_2": "Completed"}
    ends.update({"2": "Failed", "2_2": "Failed", "2_3": "Completed"})
    ends.update({"3": "Failed", "3_2": "Failed", "3_3": "Failed"})
    assert statuses(run) == ends
    again = child(run, "2_3")
    assert again.display_name == "n=2"
    assert again.properties["aml.attempt"] == "3"
    of_two = [told for told in members_told(run) if told[0] == 2]
    assert of_two == [(2, 2, None), (2, 3, None), (2, 3, "Completed")]


def test_with_fail_fast_the_first_failure_ends_all_others(
    experiment: Experiment, notes: Path
) -> None:
    text = f"""
        if n == '1':
            while not os.path.exists(os.environ['NOTES'] + 'go'): time.sleep(0.01)
            raise ValueError('bad')
        {SLEEP}
        """
    run = submit(experiment, text, numbered(30), fail_fast=True, parallel=4)
    until(lambda: len(statuses(run)) == 30 and len(noted(notes)) == 2)
    Path(f"{notes}go").touch()
    details = finish(run)
    assert details["status"] == "Failed"
    assert "1 of 30 runs failed: n=1 " in message_of(details)
    assert message_of(details).endswith("User program failed with ValueError: bad")
    assert Counter(statuses(run).values()) == {"Canceled": 29, "Failed": 1}
    assert sorted(noted(notes)) == [0, 1]
    assert_no_orphans(run.folder.parent)
    assert_queue_is_empty()


def test_with_fail_fast_retries_come_first(experiment: Experiment, notes: Path) -> None:
    text = "sys.exit(open(os.environ['NOTES']).read().count(f'{n} starts') < 2)"
    run = submit(experiment, text, numbered(3), fail_fast=True, retries=1)
    assert finish(run)["status"] == "Completed"
    assert Counter(noted(notes)) == {0: 2, 1: 2, 2: 2}


# Cancel -------------------------------------------------------------------------------------


@pytest.mark.parametrize("parallel", [0, 3])
def test_cancel_of_the_parent_ends_all_children_and_starts_none(
    parallel: int, experiment: Experiment, notes: Path
) -> None:
    run = submit(experiment, SLEEP, numbered(20), parallel=parallel)
    up(child(run, 0))
    up(child(run, 1))
    until(lambda: len(statuses(run)) == 20)
    run.cancel()
    assert run.get_status() in ("CancelRequested", "Canceled")
    details = finish(run)
    assert details["status"] == "Canceled"
    assert "error" not in details
    assert set(statuses(run).values()) == {"Canceled"}
    assert sorted(noted(notes)) == [0, 1]
    assert_no_orphans(run.folder.parent)
    assert_queue_is_empty()


def test_cancel_right_after_submit_leaves_nothing_wherever_it_finds_the_family(
    experiment: Experiment,
) -> None:
    runner.ensure_runner()
    for number in range(8):
        run = submit(experiment, SLEEP, numbered(60))
        time.sleep(number / 50)
        run.cancel()
        assert finish(run, 10)["status"] == "Canceled"
        assert set(statuses(run).values()) <= {"Canceled"}
    assert_no_orphans(run.folder.parent)
    assert_queue_is_empty()


def test_a_child_that_is_canceled_alone_is_not_done_anew_and_the_others_go_on(
    experiment: Experiment, notes: Path
) -> None:
    text = "if n == '0':\n    print('up', flush=True)\n    time.sleep(60)\n"
    run = submit(experiment, text, numbered(4), retries=3, fail_fast=True)
    up(child(run, 0)).cancel()
    details = finish(run)
    assert statuses(run) == {"0": "Canceled", "1": "Completed", "2": "Completed", "3": "Completed"}
    assert details["status"] == "Canceled"
    assert message_of(details) == f"1 of 4 runs was canceled: n=0 ({run.id}_0)."
    assert len(noted(notes)) == 4


def test_a_child_that_is_canceled_before_it_is_queued_ends_at_once(
    experiment: Experiment, notes: Path
) -> None:
    run = submit(experiment, SLEEP, numbered(5), parallel=1)
    first, third = up(child(run, 0)), child(run, 2)
    third.cancel()
    assert finish(third, 2)["status"] == "Canceled"
    assert first.get_status() == "Running"
    first.cancel()
    up(child(run, 1))
    run.cancel()
    finish(run)
    assert noted(notes) == [0, 1]


def test_a_parent_that_is_ended_from_outside_takes_its_children_along(
    experiment: Experiment,
) -> None:
    run = submit(experiment, SLEEP, numbered(5))
    up(child(run, 0))
    run.fail("seen enough")
    runner.wake()
    until(lambda: set(statuses(run).values()) == {"Canceled"})
    assert run.get_status() == "Failed"
    assert message_of(run.get_details()) == "seen enough"
    assert_queue_is_empty()


def test_aml_cancel_ends_a_family(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    run = submit(experiment, SLEEP, numbered(5))
    up(child(run, 0))
    assert main(["cancel", "--all"]) == 0
    assert capsys.readouterr().out.split() == [run.id, "Canceled"]
    assert set(statuses(run).values()) == {"Canceled"}


def test_the_cancel_magic_asks_the_parent_for_all(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    run = submit(experiment, SLEEP, numbered(5), parallel=2)
    up(child(run, 0))
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "aml_jupyter")
    capsys.readouterr()
    shell.run_line_magic("aml_cancel", "--all")
    assert capsys.readouterr().out == f"{run.id}: cancel asked for.\n"
    assert finish(run)["status"] == "Canceled"
    assert set(statuses(run).values()) == {"Canceled"}


# Deletion -----------------------------------------------------------------------------------


def test_delete_removes_the_children_too(experiment: Experiment) -> None:
    run = submit(experiment, NOTHING, numbered(3))
    with pytest.raises(UserErrorException, match="only a run that has ended"):
        run.delete()
    finish(run)
    # Which packages it had is written down beside, and may come last.
    locks = [each.folder / layout.ENVIRONMENT_LOCK for each in children(run)]
    until(lambda: all(lock.exists() for lock in locks))
    run.delete()
    assert os.listdir(run.folder.parent) == []
    assert experiment.workspace.runs(-1) == []


def test_a_child_that_has_ended_may_be_deleted_while_the_others_go_on(
    experiment: Experiment, notes: Path
) -> None:
    text = "while n == '1' and not os.path.exists(os.environ['NOTES'] + 'go'): time.sleep(0.01)"
    run = submit(experiment, text, numbered(3), retries=1)
    finish(child(run, 0))
    finish(child(run, 2))
    until(lambda: len(members_told(run)) == 2)
    child(run, 0).delete()
    kill_runner()
    runner.ensure_runner()
    child(run, 2).delete()
    Path(f"{notes}go").touch()
    assert finish(run)["status"] == "Completed"
    assert sorted(noted(notes)) == [0, 1, 2]
    assert statuses(run) == {"1": "Completed"}


def vanish(folder: Path) -> None:
    """Delete a folder as `rm -r` would that is repeated while the runner still writes there."""

    def is_gone() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    until(is_gone)


def test_children_whose_folders_vanish_hold_nobody_up(experiment: Experiment) -> None:
    run = submit(experiment, SLEEP, numbered(4), parallel=2)
    first, second = up(child(run, 0)), up(child(run, 1))
    vanish(child(run, 2).folder)
    for each in (first, second):
        each.cancel()
    up(child(run, 3))
    child(run, 3).cancel()
    details = finish(run)
    assert details["status"] == "Canceled"
    assert "4 of 4 runs were canceled, " in message_of(details)
    assert_queue_is_empty()


@pytest.mark.parametrize("is_killed", [False, True], ids=["seen", "while there is no runner"])
def test_the_children_of_a_deleted_parent_end(is_killed: bool, experiment: Experiment) -> None:
    run = submit(experiment, SLEEP, numbered(6), parallel=2)
    first, last = up(child(run, 0)), child(run, 5)
    if is_killed:
        kill_runner()
    vanish(run.folder)
    runner.wake()
    for each in (first, last):
        assert finish(each)["status"] == "Canceled"
    assert_queue_is_empty()
    assert_no_orphans(run.folder.parent)


# Faults -------------------------------------------------------------------------------------


def kill_if_up(pause: float = 0.0) -> None:
    """Kill the runner after a while, if there is one; the next one is not started."""
    time.sleep(pause)
    if pid := runner_pid():
        kill(pid)
        until(lambda: not is_running(pid))


@pytest.mark.slow
@pytest.mark.parametrize("parallel", [0, 4])
def test_the_runner_killed_at_random_moments_runs_each_member_once(
    parallel: int, experiment: Experiment, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_SLOTS", "3")
    run = submit(experiment, "time.sleep(0.03); note('ends')", numbered(40), parallel=parallel)
    chance = random.Random(parallel)
    for _ in range(25):
        runner.ensure_runner()
        kill_if_up(chance.uniform(0, 0.2))
    runner.ensure_runner()
    assert finish(run, 40)["status"] == "Completed", message_of(run.get_details())
    assert sorted(noted(notes)) == sorted(noted(notes, "ends")) == list(range(40))
    assert statuses(run) == {str(n): "Completed" for n in range(40)}
    assert len({each.number for each in run.get_children()}) == 40
    assert states_of(run) == ["Queued", "Running", "Completed"]
    assert_no_orphans(run.folder.parent)
    assert_queue_is_empty()


@pytest.mark.slow
def test_the_runner_killed_again_and_again_gives_each_member_its_retries(
    experiment: Experiment, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_SLOTS", "3")
    text = """
        tries = open(os.environ['NOTES']).read().split(chr(10)).count(f'{n} starts')
        sys.exit(int(n) % 4 >= tries)
        """
    run = submit(experiment, text, numbered(16), retries=2, parallel=5)
    chance = random.Random(3)
    for _ in range(20):
        runner.ensure_runner()
        kill_if_up(chance.uniform(0, 0.2))
    runner.ensure_runner()
    details = finish(run, 40)
    assert "4 of 16 runs failed" in message_of(details)
    tries = {n: min(3, n % 4 + 1) if n % 4 else 1 for n in range(16)}
    assert Counter(noted(notes)) == tries
    assert Counter(statuses(run).values()) == {"Completed": 12, "Failed": sum(tries.values()) - 12}
    assert_queue_is_empty()


@pytest.mark.slow
def test_the_runner_killed_while_it_makes_children_makes_each_once(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_SLOTS", "1")
    run = submit(experiment, SLEEP, numbered(400), parallel=2)
    runs = run.folder.parent
    for share in range(1, 9):
        runner.ensure_runner()
        until(lambda share=share: len(os.listdir(runs)) > share * 40, pause=0.0005)  # type: ignore[misc]
        kill_if_up()
    for path in sorted(runs.glob("*_3??"))[:3]:  # as one that was killed in mid-make leaves it
        (path / layout.REQUEST).unlink()
    runner.ensure_runner()
    until(lambda: len(statuses(run)) == 400)
    until(lambda: any(event["e"] == "members" for event in events.read(str(run.folder))[0]))
    assert {each.properties["aml.member"] for each in run.get_children()} == set(
        map(str, range(400))
    )
    assert len({each.number for each in run.get_children()}) == 400
    run.cancel()
    assert finish(run)["status"] == "Canceled"
    assert_queue_is_empty()


@pytest.mark.slow
def test_a_cancel_survives_runners_that_are_killed(experiment: Experiment, notes: Path) -> None:
    run = submit(experiment, SLEEP, numbered(60), parallel=30)
    up(child(run, 0))
    run.cancel()
    for n in range(6):
        kill_if_up(n / 100)
        runner.ensure_runner()
    assert finish(run)["status"] == "Canceled"
    assert set(statuses(run).values()) == {"Canceled"}
    assert len(noted(notes)) <= 2
    assert_queue_is_empty()


def test_children_that_end_while_there_is_no_runner_are_counted(
    experiment: Experiment, notes: Path
) -> None:
    text = "print('up', flush=True)\nwhile not os.path.exists('enough'): time.sleep(0.01)\n1 / 0"
    run = submit(experiment, text, numbered(2), fail_fast=True)
    both = [up(child(run, 0)), up(child(run, 1))]
    until(lambda: run.get_status() == "Running")
    kill_runner()
    for each in both:
        (each.folder / "work/enough").touch()
    assert_no_orphans(run.folder.parent)
    assert run.get_status() == "Running"
    runner.ensure_runner()
    assert "ZeroDivisionError" in message_of(finish(run))
    assert_queue_is_empty()


def test_waiting_for_a_family_brings_back_a_killed_runner(experiment: Experiment) -> None:
    run = submit(experiment, "time.sleep(0.5)", numbered(3))
    until(lambda: run.get_status() == "Running")
    kill_runner()
    assert run.wait_for_completion()["status"] == "Completed"


def test_what_a_killed_runner_left_half_written_in_the_queue_is_removed() -> None:
    place = home().make()
    dead = 2**22 - 1
    left = place.queue / f"000000000001.a.json.{dead}.abcdef.tmp"
    being_written = place.queue / f"000000000002.b.json.{os.getpid()}.abcdef.tmp"
    for path in (left, being_written):
        path.write_text("{")
    queue.tidy(place)
    assert not left.exists()
    assert being_written.exists()


@pytest.mark.service("mount")
def test_a_full_disk_holds_a_family_up_and_no_longer(
    disk: Disk, project: Path, notes: Path
) -> None:
    workspace = Workspace.from_config(disk.point)
    text = "while not os.path.exists(os.environ['NOTES'] + 'go'): time.sleep(0.01)"
    run = submit(Experiment(workspace, "small"), text, numbered(12), parallel=2)
    until(lambda: len(noted(notes)) == 2)
    disk.fill()
    Path(f"{notes}go").touch()
    elsewhere = submit(Experiment(Workspace.from_config(project), "e"), NOTHING, numbered(2))
    assert finish(elsewhere)["status"] == "Completed"
    disk.clear()
    finish(run, 40)
    # One that was laid out on the full disk has failed, as any run would.
    assert set(statuses(run).values()) <= {"Completed", "Failed"}
    assert len(statuses(run)) == 12
    assert 11 in noted(notes)[-2:]  # two at a time begin, in either order
    assert_queue_is_empty()


# A thousand ---------------------------------------------------------------------------------


def look_until(families: Families, holds: Callable[[], bool]) -> list[float]:
    """Have families looked at until that is so; how many seconds of work each look was."""
    taken = []
    while not holds():
        # Not by a clock on the wall: others use this machine, too.
        begun = time.thread_time()
        families.look({}, is_thorough=not taken)
        taken.append(time.thread_time() - begun)
    return taken


@pytest.fixture
def frozen() -> Iterator[None]:
    """What the tests before have left is not for a collection in this one to go through."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("parallel", [0, 2])
def test_a_thousand_children_never_hold_the_runner_up(
    parallel: int, experiment: Experiment
) -> None:
    run = prepare(experiment, NOTHING, numbered(1000), parallel=parallel)
    place = home().make()
    queue.add(place, run.folder, run.id, dict(os.environ), queue.Ask(), kind=queue.FAMILY)
    families = Families(place)

    def are_made() -> bool:
        queued = len(list(place.queue.glob("*.json")))
        return queued == (parallel or 1000) and len(os.listdir(run.folder.parent)) == 1001

    assert max(look_until(families, are_made)) < 0.05
    families.look({}, is_thorough=False)
    begun = time.thread_time()
    for _ in range(100):
        families.look({}, is_thorough=False)
    assert (time.thread_time() - begun) / 100 < 0.001
    assert list(families.next_looks()) == [pytest.approx(5.0)]
    again = Families(place)
    assert max(look_until(again, lambda: 0.0 not in list(again.next_looks()) != [])) < 0.05
