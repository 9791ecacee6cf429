"""Lists of runs as the sidebar shows them: filtered, sorted, grouped, a page at a time."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aml_jupyter import Workspace
from aml_jupyter.errors import UserErrorException
from aml_jupyter.job import events, layout
from aml_jupyter.job.run import Run
from aml_jupyter.store import Index, RunSummary, WorkspaceFolder
from aml_jupyter.store.conditions import Selection
from aml_jupyter.store.listing import BY_PROGRESS
from aml_jupyter.workspace.run_list import list_runs


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    project = tmp_path / "project"
    WorkspaceFolder.create(project)
    return Workspace.from_config(project)


def new_run(place: Workspace, run_id: str, **request: Any) -> Run:
    default: dict[str, Any] = {"format": 1, "experiment": "e", "created": 1.0, "target": "local"}
    return Run(str(place.folder.new_run({**default, "id": run_id, **request})))


def state(run: Run, state: str, at: float | None = None) -> None:
    line = json.dumps({"t": time.time() if at is None else at, "e": "state", "state": state})
    events.append_line(os.path.join(run._folder, layout.EVENTS), f"{line}\n".encode())


def ids(place: Workspace, filter: str = "", **more: Any) -> list[str]:
    return [run.id for run in place.list_runs(filter, **more).runs]


# Which ----------------------------------------------------------------------------------------


@pytest.fixture
def several(place: Workspace) -> Workspace:
    first = new_run(
        place,
        "mnist_1",
        experiment="mnist",
        created=100.0,
        display_name="Grüner Baum",
        tags={"model": "CNN", "best": None},
        source={"notebook": "work/train.ipynb"},
    )
    first.log("loss", 0.1)
    first.log("val/acc", 0.9)
    state(first, "Failed")
    second = new_run(place, "mnist_2", experiment="mnist_big", created=200.0, tags={"model": "vit"})
    second.log("loss", 0.3)
    state(second, "Running")
    third = new_run(place, "cifar_1", experiment="cifar", created=300.0, target="gpu")
    state(third, "Completed")
    new_run(place, "old_1", created=50.0)
    events.append(str(place.folder.runs / "old_1"), "archive", archived=True)
    new_run(place, "kid_1", created=60.0, parent="cifar_1")
    return place


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("", ["mnist_2", "cifar_1", "mnist_1"]),
        ("GRÜNER", ["mnist_1"]),
        ("baum grü", ["mnist_1"]),
        ('"grüner baum"', ["mnist_1"]),
        ('"baum grü"', []),
        ("cnn", ["mnist_1"]),
        ("model=vit", ["mnist_2"]),
        ("train.ipynb", ["mnist_1"]),
        ("mnist", ["mnist_2", "mnist_1"]),
        ("-mnist", ["cifar_1"]),
        ("state:failed", ["mnist_1"]),
        ("state:failed state:completed", ["cifar_1", "mnist_1"]),
        ("state:failed,Completed", ["cifar_1", "mnist_1"]),
        ("state:live", ["mnist_2"]),
        ("state:ended -state:failed", ["cifar_1"]),
        ("-state:live", ["cifar_1", "mnist_1"]),
        ("tag:best", ["mnist_1"]),
        ("tag:model", ["mnist_2", "mnist_1"]),
        ("tag:Model=cnn", ["mnist_1"]),
        ("tag:model=*n*", ["mnist_1"]),
        ("tag:model!=vit", ["cifar_1", "mnist_1"]),
        ("-tag:model", ["cifar_1"]),
        ("metric.loss", ["mnist_2", "mnist_1"]),
        ("metric.loss<0.2", ["mnist_1"]),
        ("metric.loss>=0.3", ["mnist_2"]),
        ("metric.loss!=0.3", ["mnist_1"]),
        ("metric.val/acc>.5 metric.loss==0.1", ["mnist_1"]),
        ("-metric.loss", ["cifar_1"]),
        ("metric.unknown", []),
        ("experiment:mnist", ["mnist_1"]),
        ("experiment:mnist*", ["mnist_2", "mnist_1"]),
        ("experiment:mni", ["mnist_2", "mnist_1"]),
        ("experiment:mnist experiment:cifar", ["cifar_1", "mnist_1"]),
        ("notebook:train", ["mnist_1"]),
        ("notebook:*", ["mnist_1"]),
        ("target:gpu", ["cifar_1"]),
        ("id:mnist_", ["mnist_2", "mnist_1"]),
        ("parent:cifar", ["kid_1"]),
        ("children:yes id:kid", ["kid_1"]),
        ("children:only", ["kid_1"]),
        ("archived:only", ["old_1"]),
        ("archived:yes id:old", ["old_1"]),
        ("id:old", []),
        ("since:1970-01-02", []),
        ("before:today", ["mnist_2", "cifar_1", "mnist_1"]),
    ],
)
def test_a_filter_line_finds_runs(line: str, found: list[str], several: Workspace) -> None:
    page = several.list_runs(line)
    assert [run.id for run in page.runs] == found
    assert page.total == len(found)


def test_since_counts_from_now(place: Workspace) -> None:
    now = time.time()
    for age in (0, 2, 6, 50):
        new_run(place, f"h{age}", created=now - age * 3600)
    assert ids(place, "since:3h") == ["h2", "h0"][::-1]
    assert ids(place, "since:3h -since:1h") == ["h2"]
    assert ids(place, "since:12h before:1h") == ["h2", "h6"]


@pytest.mark.parametrize("text", ["'; DROP TABLE runs; --", "%", "_", "?", "[a", "ü", "a\\b"])
def test_any_text_is_only_text(text: str, place: Workspace) -> None:
    new_run(place, "one", display_name=text, tags={"k": text}, experiment=text)
    new_run(place, "two")
    quoted = text.replace("\\", "\\\\")
    assert ids(place, f'"{quoted}"')[-1:] == ["one"]
    assert ids(place, f'tag:k="{quoted}"') == ["one"]
    assert ids(place, f'experiment:"{quoted}"')[-1:] == ["one"]
    assert place.run_groups("experiment")[0] == 2


# In which order -------------------------------------------------------------------------------


def test_pages_follow_on_each_other(place: Workspace) -> None:
    for number in range(7):
        new_run(place, f"r{number}", created=float(number))
    pages = [place.list_runs(sort="created", offset=at, limit=3) for at in (0, 3, 6, 9)]
    assert [[run.id for run in page.runs] for page in pages] == [
        ["r6", "r5", "r4"],
        ["r3", "r2", "r1"],
        ["r0"],
        [],
    ]
    assert {page.total for page in pages} == {7}
    assert [page.offset for page in pages] == [0, 3, 6, 9]


def test_what_has_not_ended_comes_first_each_time_it_is_asked(place: Workspace) -> None:
    runs = [new_run(place, f"r{number}", created=float(number)) for number in range(4)]
    state(runs[3], "Completed")
    assert ids(place) == ["r2", "r1", "r0", "r3"]
    state(runs[2], "Failed")
    assert ids(place) == ["r1", "r0", "r3", "r2"]
    new_run(place, "r9", created=9.0)
    assert ids(place) == ["r9", "r1", "r0", "r3", "r2"]


def test_names_are_sorted_as_people_do(place: Workspace) -> None:
    for number, name in enumerate(["run 10", "Run 9", "alpha", "run 9"]):
        new_run(place, f"r{number}", display_name=name, created=float(number))
    assert ids(place, sort="name") == ["r2", "r3", "r1", "r0"]
    assert ids(place, sort="name", descending=True) == ["r0", "r1", "r3", "r2"]


def test_states_are_sorted_by_how_far_a_run_is(place: Workspace) -> None:
    for number, name in enumerate(
        ["Completed", "Failed", "Queued", "Running", "Unheard", "Failed"]
    ):
        state(new_run(place, f"r{number}", created=float(number)), name)
    assert ids(place, sort="status") == ["r3", "r2", "r5", "r1", "r0", "r4"]
    assert ids(place, sort="status", descending=True) == ["r0", "r5", "r1", "r2", "r3", "r4"]


def test_every_state_has_its_place_in_the_order() -> None:
    from aml_jupyter.job import states

    assert set(BY_PROGRESS) == states.ALL


def test_runs_that_go_on_are_sorted_by_how_long_they_do(place: Workspace) -> None:
    now = time.time()
    for name, started, ended in (("a", 50, 40), ("b", 30, None), ("c", 25, 5), ("d", None, None)):
        run = new_run(place, name, created=now - 100)
        if started:
            state(run, "Running", now - started)
        if ended:
            state(run, "Completed", now - ended)
    assert ids(place, sort="duration") == ["b", "c", "a", "d"]
    assert ids(place, sort="duration", descending=False) == ["a", "c", "b", "d"]


def test_runs_without_a_metric_come_last_either_way(place: Workspace) -> None:
    for number, value in enumerate([0.5, None, -1.0, float("nan"), 2.0]):
        run = new_run(place, f"r{number}", created=float(number))
        if value is not None:
            run.log("x", value)
    assert ids(place, sort="metric.x") == ["r4", "r0", "r2", "r3", "r1"]
    assert ids(place, sort="metric.x", descending=False) == ["r2", "r0", "r4", "r3", "r1"]
    assert ids(place, sort="metric.unknown") == ["r4", "r3", "r2", "r1", "r0"]


def test_a_metric_that_moves_on_is_sorted_anew(place: Workspace) -> None:
    runs = [new_run(place, f"r{number}", created=float(number)) for number in range(2)]
    for run in runs:
        run.start()
        run.log("x", 1.0)
    runs[0].log("x", 3.0)
    assert ids(place, sort="metric.x") == ["r0", "r1"]
    runs[1].log("x", 4.0)
    assert ids(place, sort="metric.x") == ["r1", "r0"]
    assert ids(place, "metric.x>3.5") == ["r1"]


def test_an_unknown_order_is_told_with_those_there_are(place: Workspace) -> None:
    with pytest.raises(UserErrorException) as caught:
        place.list_runs(sort="nme")
    assert "name" in caught.value.hint


# In which groups ------------------------------------------------------------------------------


def test_groups_say_how_their_runs_are(several: Workspace) -> None:
    total, groups = several.run_groups("experiment")
    assert total == 3
    assert [(g.key, g.total, g.live, g.failed, g.newest) for g in groups] == [
        ("cifar", 1, 0, 0, 300.0),
        ("mnist_big", 1, 1, 0, 200.0),
        ("mnist", 1, 0, 1, 100.0),
    ]


def test_runs_of_no_notebook_are_a_group_without_a_key(several: Workspace) -> None:
    _, groups = several.run_groups("notebook")
    assert [(group.key, group.total) for group in groups] == [("", 2), ("work/train.ipynb", 1)]
    assert ids(several, by="notebook", group="work/train.ipynb") == ["mnist_1"]
    assert ids(several, by="notebook", group="") == ["mnist_2", "cifar_1"]


def test_a_sweep_has_its_children_and_the_name_of_its_parent(place: Workspace) -> None:
    parent = new_run(place, "p", display_name="my sweep", created=1.0)
    state(parent, "Running")
    for number in range(3):
        child = new_run(place, f"c{number}", parent="p", created=2.0 + number)
        state(child, "Failed" if number == 1 else "Running")
    new_run(place, "alone", created=0.0)
    total, groups = place.run_groups("sweep")
    assert [(g.key, g.name, g.total, g.live, g.failed) for g in groups] == [
        ("p", "my sweep", 3, 2, 1),
        ("", "", 1, 1, 0),
    ]
    assert total == 4
    assert ids(place, by="sweep", group="p") == ["c2", "c0", "c1"]
    assert ids(place, by="sweep", group="") == ["alone"]
    assert ids(place, "state:failed", by="sweep", group="p") == ["c1"]


def test_groups_are_of_the_runs_that_match(several: Workspace) -> None:
    total, groups = several.run_groups("experiment", "state:failed")
    assert total == 1
    assert [group.key for group in groups] == ["mnist"]


def test_an_unknown_grouping_is_told_with_those_there_are(place: Workspace) -> None:
    with pytest.raises(UserErrorException) as caught:
        place.run_groups("experimnt")
    assert "experiment" in caught.value.hint


# Words ----------------------------------------------------------------------------------------


def test_names_that_there_are_complete_a_filter_line(several: Workspace) -> None:
    words = several.filter_words()
    assert words.experiments == ["cifar", "e", "mnist", "mnist_big"]
    assert words.notebooks == ["work/train.ipynb"]
    assert words.targets == ["gpu", "local"]
    assert words.tags == ["best", "model"]
    assert words.metrics == ["loss", "val/acc"]
    assert {"failed", "live", "waiting"} <= set(words.states)


@pytest.mark.parametrize(
    ("word", "some"),
    [
        ("st", "state:"),
        ("-st", "-state:"),
        ("state:fa", "state:failed"),
        ("tag:m", "tag:model"),
        ("tag:model=C", "tag:model=CNN"),
        ("metric.l", "metric.loss"),
        ("experiment:mnist_", "experiment:mnist_big"),
        ("archived:", "archived:yes"),
    ],
)
def test_a_word_is_completed(word: str, some: str, several: Workspace) -> None:
    found = several.filter_completions(word)
    assert some in found
    assert all(each.startswith(word) for each in found)


def test_an_odd_name_is_completed_so_that_it_is_understood(place: Workspace) -> None:
    name = 'my "odd" \\ metric<1'
    new_run(place, "one").log(name, 1.0)
    (word,) = place.filter_completions("metric.")
    assert ids(place, word) == ["one"]


# What others do -------------------------------------------------------------------------------


def test_what_another_process_puts_in_the_index_is_seen(place: Workspace) -> None:
    run = new_run(place, "one")
    assert ids(place, "state:live") == ["one"]
    state(run, "Completed")
    assert len(Index(place.folder).page(Selection())[1]) == 1
    assert ids(place, "state:live") == []


def test_an_index_that_was_thrown_away_is_made_again(several: Workspace) -> None:
    before = ids(several)
    database = sqlite3.connect(several.folder.root / "index.db")
    database.execute("DROP TABLE words")
    database.close()
    assert ids(several) == before
    assert ids(several, "mnist") == ["mnist_2", "mnist_1"]


# Against a plain search -----------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "ab", "B 2"])
RUNS = st.lists(
    st.fixed_dictionaries(
        {
            "experiment": NAMES,
            "display_name": NAMES,
            "tags": st.dictionaries(NAMES, NAMES, max_size=2),
            "created": st.integers(0, 9).map(float),
            "state": st.sampled_from(["Queued", "Running", "Failed", "Completed"]),
            "archived": st.booleans(),
            "loss": st.none() | st.integers(0, 3).map(float),
        }
    ),
    max_size=8,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    runs=RUNS, text=NAMES, state_name=st.sampled_from(["failed", "live"]), most=st.integers(0, 3)
)
def test_answers_are_those_of_a_plain_search(
    runs: Sequence[dict[str, Any]],
    text: str,
    state_name: str,
    most: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    project = tmp_path_factory.mktemp("plain")
    folder = WorkspaceFolder.create(project)
    for number, facts in enumerate(runs):
        request = {k: v for k, v in facts.items() if k not in ("state", "archived", "loss")}
        run = Run(str(folder.new_run({"format": 1, "id": f"r{number}", "target": "l", **request})))
        state(run, facts["state"], 10.0)
        if facts["archived"]:
            events.append(run._folder, "archive", archived=True)
        if facts["loss"] is not None:
            run.log("loss", facts["loss"])
    index = Index(folder)
    line = f'"{text}" -state:{state_name} metric.loss<={most}'
    found = list_runs(index, line, sort="created").runs
    every = list_runs(index, "archived:yes", sort="created").runs

    def has_text(run: RunSummary) -> bool:
        words = [run.id, run.display_name, run.experiment]
        words += [f"{key}={value}" for key, value in run.tags.items()]
        return any(text.lower() in word.lower() for word in words)

    def is_state(run: RunSummary) -> bool:
        return run.status in {"failed": ["Failed"], "live": ["Queued", "Running"]}[state_name]

    expected = [
        run.id
        for run in every
        if not run.archived
        and has_text(run)
        and not is_state(run)
        and run.metrics.get("loss", 99.0) <= most
    ]
    assert [run.id for run in found] == expected
    assert [run.created for run in every] == sorted((r.created for r in every), reverse=True)
    total, groups = index.groups(Selection(), "experiment")
    assert total == sum(group.total for group in groups) == sum(not r["archived"] for r in runs)
