"""Runs side by side: what differs is told, what came from jobs is escaped, size is bounded."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter import Experiment, Run, ScriptRunConfig
from aml_jupyter.errors import SnapshotException, UserErrorException
from aml_jupyter.store import Objects, snapshots
from aml_jupyter.workspace.comparison import compare
from aml_jupyter.workspace.metric_ranges import MetricRange, ranges_of
from aml_jupyter.workspace.sources import MOST_FILES, MOST_TEXT, SnapshotFiles, diff_of, text_diff
from tests.support import experiment, finish, project, ws

__all__ = ["experiment", "project", "ws"]

TRAIN = """\
import sys
from aml_jupyter import Run
run = Run.get_context()
lr = float(sys.argv[2])
for step in range(3):
    run.log("loss", lr / (step + 1), step=step)
"""


def trained(to: Experiment, lr: str, text: str = TRAIN, *more: str) -> Run:
    """A run of a script in a folder of its own that is still going on."""
    source = to.workspace.folder.project.parent / f"source-{os.urandom(3).hex()}"
    source.mkdir()
    (source / "train.py").write_text(text)
    (source / "lib.py").write_text("x = 1\n")
    config = ScriptRunConfig(str(source), script="train.py", arguments=["--lr", lr, *more])
    return to.submit(config)


@pytest.fixture
def pair(experiment: Experiment) -> list[Run]:
    """Two runs that have ended and differ in a parameter, a flag and their source."""
    changed = TRAIN.replace("range(3)", "range(4)") + "# <b>done</b>\n"
    runs = [trained(experiment, "0.5"), trained(experiment, "0.25", changed, "--amp")]
    for run in runs:
        finish(run)
    return runs


def logged(to: Experiment, *values: Any, name: str = "loss", **more: Any) -> Run:
    """A run inside this process that has logged some values and ended."""
    run = to.start_logging(snapshot_directory=None, outputs=False)
    for value in values:
        run.log(name, value)
    for other, value in more.items():
        run.log(other, value)
    run.complete()
    return run


def snapshot(folder: Path, files: Mapping[str, bytes]) -> SnapshotFiles:
    objects = Objects(folder / "objects")
    return SnapshotFiles(objects, snapshots.take(None, objects, files=files).id)


# What differs ---------------------------------------------------------------------------------


def test_parameters_metrics_facts_and_sources_stand_side_by_side(pair: list[Run]) -> None:
    pair[0].tag("model", "cnn")
    found = compare(pair)
    assert found.ids == (pair[0].id, pair[1].id)
    assert found.parameters == {"lr": ("0.5", "0.25"), "amp": (None, "yes")}
    assert found.tags == {"model": ("cnn", None)}
    assert found.metrics["loss"] == (
        MetricRange(0.5 / 3, 0.5 / 3, 0.5),
        MetricRange(0.0625, 0.0625, 0.25),
    )
    assert found.facts["state"] == ("Completed", "Completed")
    assert found.facts["source"][0] != found.facts["source"][1]
    assert all(seconds is not None and seconds >= 0 for seconds in found.durations)


def test_what_is_the_same_in_all_runs_is_no_difference(experiment: Experiment) -> None:
    runs = [trained(experiment, "0.5"), trained(experiment, "0.5")]
    found = compare(runs)
    assert found.parameters == {}
    assert found.all_parameters == {"lr": ("0.5", "0.5")}
    assert found.environment_diff(1) == ""
    assert found.source_diff(1).files == ()
    for run in runs:
        finish(run)


def test_the_source_diff_names_each_changed_file_and_its_lines(pair: list[Run]) -> None:
    (file,) = compare(pair).source_diff(1).files
    assert (file.path, file.change, file.note) == ("train.py", "changed", "")
    assert "-for step in range(3):\n" in file.text
    assert "+for step in range(4):\n" in file.text
    assert "x = 1" not in file.text


def test_the_environment_diff_names_what_was_asked_for(experiment: Experiment) -> None:
    runs = []
    for colour in ("blue", "red"):
        config = ScriptRunConfig(".", command="true")
        config.run_config.environment_variables = {"COLOUR": colour, "MY_TOKEN": colour}
        runs.append(experiment.submit(config))
    diff = compare(runs).environment_diff(1)
    assert "-  COLOUR: blue\n" in diff
    assert "+  COLOUR: red\n" in diff
    assert "MY_TOKEN: •••" in diff
    assert "+  MY_TOKEN" not in diff
    for run in runs:
        finish(run)


def test_a_run_that_lived_in_its_process_can_be_compared_too(
    experiment: Experiment, pair: list[Run]
) -> None:
    found = compare([pair[0], logged(experiment, 1.0, 2.0)])
    assert found.parameters == {"lr": ("0.5", None)}
    assert found.metrics["loss"][1] == MetricRange(2.0, 1.0, 2.0)
    assert {file.change for file in found.source_diff(1).files} == {"removed"}


def test_the_number_of_runs_is_checked(experiment: Experiment, pair: list[Run]) -> None:
    many = [logged(experiment, 1.0) for _ in range(21)]
    assert len(compare(many[:20]).ids) == 20
    for runs in (many, pair[:1], [pair[0], pair[0]], []):
        with pytest.raises(UserErrorException, match="Name 2 to 20 runs"):
            compare(runs)


# Metrics --------------------------------------------------------------------------------------


def test_ranges_are_of_all_numbers_whatever_their_kind_and_writer(experiment: Experiment) -> None:
    values = [3, -2.5, math.nan, True, 7, 4]
    run = logged(experiment, *values, note="done", none=math.nan)
    with run.child_run() as child:
        child.log_list("many", [1, 2, 3])
        child.log_row("row", x=1, y=2)
    ranges, below = ranges_of([run, child])
    assert ranges["loss"] == MetricRange(4.0, -2.5, 7.0)
    assert ranges["note"] == MetricRange("done")
    assert isinstance(ranges["none"].last, float)
    assert math.isnan(ranges["none"].last)
    assert (ranges["none"].min, ranges["none"].max) == (None, None)
    assert below["many"] == MetricRange("<list of 3>")
    assert below["row"].last == "<row>"


def test_the_last_value_is_the_latest_of_all_processes(experiment: Experiment) -> None:
    run = logged(experiment, 1.0)
    for value in (5.0, 2.0):
        code = (
            "import sys; from aml_jupyter.job.run import Run; r = Run(sys.argv[1]);"
            f"r.log('loss', {value}); r.flush()"
        )
        subprocess.run([sys.executable, "-c", code, str(run.folder)], check=True)
    assert ranges_of([run])[0]["loss"] == MetricRange(2.0, 1.0, 5.0)


def test_of_runs_too_large_to_be_read_the_index_tells_the_last_values(
    experiment: Experiment,
) -> None:
    small, large = logged(experiment, 1.0, 2.0), logged(experiment, *range(100), note="x")
    of_small, of_large = ranges_of([small, large], most_points=50)
    assert of_small["loss"] == MetricRange(2.0, 1.0, 2.0)
    assert of_large == {"loss": MetricRange(99.0), "note": MetricRange("x")}


# Sources --------------------------------------------------------------------------------------


def test_added_removed_and_binary_files_are_told_apart(tmp_path: Path) -> None:
    before = snapshot(tmp_path, {"a.py": b"1\n", "b.bin": b"\0\1", "same": b"x"})
    after = snapshot(tmp_path, {"c.py": b"2\n", "b.bin": b"\0\2", "same": b"x"})
    removed, binary, added = diff_of(before, after).files
    assert (removed.path, removed.change, binary.note) == ("a.py", "removed", "binary")
    assert removed.text.endswith("@@ -1 +0,0 @@\n-1\n")
    assert binary.text == ""
    assert (added.change, added.text[-3:]) == ("added", "+2\n")


def test_a_diff_is_bounded_in_files_and_in_text(tmp_path: Path) -> None:
    line = b"%d a line that is not so short that many would not be too much\n"
    many = {f"{n:03}.txt": line % n * 100 for n in range(MOST_FILES + 7)}
    found = diff_of(snapshot(tmp_path, {}), snapshot(tmp_path, many))
    assert (len(found.files), found.more) == (MOST_FILES, 7)
    assert sum(len(file.text) for file in found.files) < MOST_TEXT + 100
    assert found.files[0].text
    assert "so much else" in found.files[-1].note
    assert str(found).endswith("… and 7 more files")
    large = snapshot(tmp_path, {"large.txt": b"x\n" * 200_000})
    assert diff_of(snapshot(tmp_path, {}), large).files[0].note == "0 and 400,000 bytes"


def test_a_missing_end_of_line_is_a_difference() -> None:
    assert text_diff("a\n", "a\n", "x", "x") == ""
    assert text_diff("a\n", "a", "x", "x") == (
        "--- x\n+++ x\n@@ -1 +1 @@\n-a\n+a\n\\ No newline at end of file\n"
    )


def test_a_snapshot_that_is_gone_is_an_error_of_its_diff_alone(pair: list[Run]) -> None:
    objects = pair[1].experiment.workspace.folder.objects
    (objects / "snapshots" / f"{pair[1].get_snapshot_id()}.json").unlink()
    found = compare(pair)
    with pytest.raises(SnapshotException):
        found.source_diff(1)
    assert "There is no snapshot" in found._repr_html_()
    assert "lr" in repr(found)


# Forms ----------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a browser would make of some HTML: its elements, and the text in them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


PLAIN = {"div", "table", "thead", "tbody", "tr", "th", "td", "code", "br", "details"}
PLAIN |= {"summary", "pre", "span"}


def test_the_html_is_whole_has_no_script_and_shows_the_differences(pair: list[Run]) -> None:
    page = Page(compare(pair)._repr_html_())
    assert page.open == []
    assert page.seen <= PLAIN
    assert page.attributes <= {"class", "style", "colspan"}
    for word in (*(run.id for run in pair), "lr", "0.25", "amp", "loss", "range(4)", "<b>done</b>"):
        assert word in page.text


def test_what_came_from_jobs_is_text_and_nothing_else(experiment: Experiment) -> None:
    hostile = "</td></table><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[2J\ud800"
    first = logged(experiment, 1.0, name=hostile, **{"note": hostile})
    second = logged(experiment, 2.0)
    for run in (first, second):
        run.display_name = hostile
        run.tag(hostile, hostile + run.id)
    found = compare([first, second])
    page = Page(found._repr_html_())
    assert page.open == []
    assert page.seen <= PLAIN
    assert "<script>alert(1)</script>" in page.text
    found._repr_html_().encode()
    assert "\x1b" not in repr(found)
    repr(found).encode()


def test_colours_have_fallbacks_where_there_is_no_theme(pair: list[Run]) -> None:
    html = compare(pair)._repr_html_()
    assert re.findall(r"var\(--jp-[^)]*\)", html)
    assert not re.findall(r"var\(--jp-[\w-]+\)", html)


def test_long_comparisons_stay_short_on_the_page(experiment: Experiment) -> None:
    runs = []
    for number in range(2):
        with experiment.start_logging(snapshot_directory=None, outputs=False) as run:
            for metric in range(1000):
                run.log(f"metric {metric}", float(number))
        run.tag("long", f"{number}" * 100_000)
        runs.append(run)
    found = compare(runs)
    assert len(found.metrics) == 1000
    assert "… 800 more" in found._repr_html_()
    assert "… 800 more" in repr(found)
    assert len(found._repr_html_()) < 150_000


def test_the_text_form_is_a_table_of_what_differs(pair: list[Run]) -> None:
    lines = repr(compare(pair)).splitlines()
    assert lines[0].split() == [run.id for run in pair]
    assert re.search(r"^  lr +0\.5 +0\.25$", "\n".join(lines), re.MULTILINE)
    assert re.search(r"^  loss +0\.166667 \(0\.166667 … 0\.5\)", "\n".join(lines), re.MULTILINE)


def test_a_frame_has_a_line_for_each_run_and_numbers_where_they_are_numbers(
    pair: list[Run],
) -> None:
    frame = compare(pair).to_frame()
    assert list(frame.index) == [run.id for run in pair]
    assert list(frame[("parameter", "lr")]) == [0.5, 0.25]
    assert list(frame[("parameter", "amp")].fillna("no")) == ["no", "yes"]
    assert list(frame[("metric", "loss")]) == [0.5 / 3, 0.0625]
    assert list(frame[("fact", "state")]) == ["Completed", "Completed"]


def test_without_pandas_the_error_says_what_to_install(pair: list[Run], project: Path) -> None:
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from aml_jupyter import Workspace\n"
        "from aml_jupyter.workspace.comparison import compare\n"
        "ws = Workspace.from_config()\n"
        "compare([ws.get_run(name) for name in sys.argv[1:]]).to_frame()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *(run.id for run in pair)],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "pip install pandas" in done.stderr
    assert "UserErrorException" in done.stderr
