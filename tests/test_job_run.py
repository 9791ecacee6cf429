"""Run as a job has it: log methods, v1's shapes, tags, files, children, and no run at all."""

from __future__ import annotations

import io
import json
import math
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aml_jupyter.errors import AmlError, RunEnvironmentException, UserErrorException
from aml_jupyter.job import layout
from aml_jupyter.job import run as job_run
from aml_jupyter.job.offline import _OfflineRun
from aml_jupyter.job.run import REQUIRED_VARIABLES, Run

ROOT = Path(__file__).parent.parent
REQUEST = {"format": 1, "id": "exp_1_ab", "experiment": "exp", "number": 3, "created": 1e9}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run, as the store makes it; the test works beside it."""
    run = tmp_path / "run"
    for below in ("job", "azureml-logs", "outputs", "logs", "metrics"):
        (run / below).mkdir(parents=True)
    (run / layout.REQUEST).write_text(json.dumps(REQUEST))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return run


@pytest.fixture
def run(folder: Path) -> Run:
    return Run(str(folder))


@pytest.fixture
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The run as a script in it gets it."""
    for name in REQUIRED_VARIABLES:
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv(layout.FOLDER_VARIABLE, str(folder))
    return Run.get_context()


# Scalars ------------------------------------------------------------------------------------


class Tensor:
    """As torch's: one number, or several, behind ``item`` and ``numel``."""

    def __init__(self, *values: float) -> None:
        self.values = values

    def numel(self) -> int:
        return len(self.values)

    def item(self) -> float:
        if len(self.values) != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return self.values[0]

    def __iter__(self) -> Any:
        return iter(self.values)


class Lazy(float):
    """A float of somebody's own."""


SCALARS: list[tuple[Any, Any]] = [
    (0.5, 0.5),
    (3, 3),
    (True, True),
    (None, None),
    ("text", "text"),
    ("", ""),
    (math.inf, math.inf),
    (-math.inf, -math.inf),
    (2**63 - 1, 2**63 - 1),
    (-(2**63), -(2**63)),
    (2**63, 2**63),
    (10**40, 10**40),
    (Lazy(1.5), 1.5),
    (np.float64(1.5), 1.5),
    (np.float32(1.5), 1.5),
    (np.float16(1.5), 1.5),
    (np.int64(5), 5),
    (np.uint64(2**64 - 1), 2**64 - 1),
    (np.int8(-3), -3),
    (np.bool_(True), True),
    (np.str_("x"), "x"),
    (np.array(2.5), 2.5),
    (np.array([2.5]), 2.5),
    (np.array([[7]]), 7),
    (Tensor(0.25), 0.25),
    (Fraction(1, 2), "Fraction(1, 2)"),
    (Decimal("1.5"), "Decimal('1.5')"),
    (1 + 2j, "(1+2j)"),
    (b"x", "b'x'"),
]


@pytest.mark.parametrize(("value", "back"), SCALARS, ids=[repr(s[0])[:30] for s in SCALARS])
def test_one_value_comes_back_bare_and_with_its_type(value: Any, back: Any, run: Run) -> None:
    run.log("x", value)
    found = run.get_metrics()["x"]
    assert found == back
    assert type(found) is type(back)


def test_nan_is_a_value(run: Run) -> None:
    run.log("x", math.nan)
    run.log("y", np.float32("nan"))
    assert math.isnan(run.get_metrics()["x"])
    assert math.isnan(run.get_metrics()["y"])


@pytest.mark.parametrize(
    "value",
    [
        [1],
        (1, 2),
        range(3),
        {"a": 1},
        {1},
        np.array([1, 2]),
        np.zeros((2, 2)),
        Tensor(1, 2),
        iter([1]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_several_values_at_once_are_refused_with_the_right_call(value: Any, run: Run) -> None:
    with pytest.raises(UserErrorException, match="takes one value") as caught:
        run.log("x", value)
    assert "run.log_list('x', values)" in caught.value.hint
    assert run.get_metrics() == {}


def test_logging_again_makes_a_list_in_order_of_mixed_types(run: Run) -> None:
    values = [1, 0.5, True, "late", None, 2**70, 2.5]
    for value in values:
        run.log("x", value)
    assert run.get_metrics() == {"x": values}


def test_steps_are_taken_and_wrong_ones_refused(run: Run) -> None:
    run.log("x", 1.0, step=5)
    run.log("x", 2, step=np.int64(6))
    run.log("x", 3.0, "described", 7)
    assert run.get_metrics()["x"] == [1.0, 2, 3.0]
    with pytest.raises(UserErrorException, match="step= is a whole number"):
        run.log("x", 1.0, step="soon")  # type: ignore[arg-type]


def test_steps_beyond_what_a_record_holds_are_refused(run: Run) -> None:
    with pytest.raises(UserErrorException, match="step="):
        run.log("x", 1.0, step=2**70)


@pytest.mark.parametrize("name", ["", None, 5])
@pytest.mark.parametrize("value", [0.5, 3, "text"])
def test_a_name_that_is_none_is_refused(name: Any, value: Any, run: Run) -> None:
    with pytest.raises(UserErrorException, match="name is a non-empty string"):
        run.log(name, value)


# Lists, rows, tables (4.5) ------------------------------------------------------------------


def test_lists_are_joined_and_one_element_is_bare(run: Run) -> None:
    run.log_list("one", [5])
    run.log_list("two", [1, 2])
    run.log_list("two", (n for n in (3, 4)))
    run.log_list("range", range(3))
    run.log_list("array", np.array([0.5, 1.5]))
    run.log("mixed", 1)
    run.log_list("mixed", [2, 3])
    assert run.get_metrics() == {
        "one": 5,
        "two": [1, 2, 3, 4],
        "range": [0, 1, 2],
        "array": [0.5, 1.5],
        "mixed": [1, 2, 3],
    }


def test_a_list_may_hold_what_json_has_no_word_for(run: Run) -> None:
    run.log_list("x", [math.nan, math.inf, None, "a", True])
    found = run.get_metrics()["x"]
    assert math.isnan(found[0])
    assert found[1:] == [math.inf, None, "a", True]


@pytest.mark.parametrize("value", ["text", 5, {"a": 1}, b"x", None])
def test_log_list_refuses_what_is_no_list(value: Any, run: Run) -> None:
    with pytest.raises(UserErrorException, match="takes a list"):
        run.log_list("x", value)


def test_rows_make_columns(run: Run) -> None:
    run.log_row("once", c1=1, c2=2)
    run.log_row("often", angle=1, cos=0.5)
    run.log_row("often", angle=2, cos=0.25)
    run.log_row("uneven", "described", a=1)
    run.log_row("uneven", b=2)
    assert run.get_metrics() == {
        "once": {"c1": 1, "c2": 2},
        "often": {"angle": [1, 2], "cos": [0.5, 0.25]},
        "uneven": {"a": [1, None], "b": [None, 2]},
    }


def test_a_row_needs_columns_of_single_values(run: Run) -> None:
    with pytest.raises(UserErrorException, match="no columns"):
        run.log_row("x")
    with pytest.raises(UserErrorException, match="takes one value"):
        run.log_row("x", a=[1, 2])


def test_tables_are_columns_and_join_rows_of_their_name(run: Run) -> None:
    run.log_table("t", {"x": [1, 2], "y": np.array([3, 4])})
    run.log_table("single", {"x": 1, "y": "a"})
    run.log_table("joined", {"x": [1, 2]})
    run.log_row("joined", x=3)
    assert run.get_metrics() == {
        "t": {"x": [1, 2], "y": [3, 4]},
        "single": {"x": 1, "y": "a"},
        "joined": {"x": [1, 2, 3]},
    }


def test_a_table_needs_columns_of_one_length(run: Run) -> None:
    with pytest.raises(UserErrorException, match="different lengths"):
        run.log_table("t", {"x": [1, 2], "y": [1]})
    nothings: list[Any] = [[1, 2], {}, "text", None]
    for wrong in nothings:
        with pytest.raises(UserErrorException, match="dict of columns"):
            run.log_table("t", wrong)


def test_one_name_or_none_at_all(run: Run) -> None:
    assert run.get_metrics() == {}
    run.log("a", 1)
    run.log("b", 2)
    assert run.get_metrics("a") == {"a": 1}
    assert run.get_metrics(name="unknown") == {}


# Pictures and charts ------------------------------------------------------------------------


class Plot:
    """As pyplot: something with ``savefig``."""

    def savefig(self, target: Any, **_: Any) -> None:
        Path(target).write_bytes(b"a picture")


def test_a_plot_is_stored_under_its_name_and_the_time(run: Run) -> None:
    run.log_image("curve", plot=Plot())
    run.log_image("curve", plot=Plot())
    location = run.get_metrics()["curve"]
    prefix = "aml://artifactId/ExperimentRun/dcid.exp_1_ab/"
    assert re.fullmatch(re.escape(prefix) + r"curve_\d+(_1)?\.png", location)
    pictures = [name for name in run.get_file_names() if name.startswith("curve_")]
    assert len(pictures) == 2
    assert location[len(prefix) :] in pictures


def test_pyplot_itself_is_a_plot(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    from matplotlib import pyplot

    pyplot.plot([1, 2])
    run.log_image("curve", plot=pyplot)
    pyplot.close("all")
    (name,) = run.get_file_names()
    run.download_file(name, "curve.png")
    assert Path("curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_is_stored_under_its_path(run: Run) -> None:
    Path("plots").mkdir()
    Path("plots/one.png").write_bytes(b"png")
    run.log_image("one", path="plots/one.png")
    assert run.get_metrics()["one"].endswith("dcid.exp_1_ab/plots/one.png")
    assert run.get_file_names() == ["plots/one.png"]


def test_log_image_takes_exactly_one_picture(run: Run) -> None:
    Path("notes.txt").write_text("no picture")
    both: dict[str, Any] = {"path": "a.png", "plot": Plot()}
    for wrong in ({}, both):
        with pytest.raises(UserErrorException, match="exactly one"):
            run.log_image("x", **wrong)
    with pytest.raises(UserErrorException, match="not a picture"):
        run.log_image("x", path="notes.txt")
    with pytest.raises(UserErrorException, match="does not exist"):
        run.log_image("x", path="missing.png")
    with pytest.raises(UserErrorException, match="no savefig"):
        run.log_image("x", plot=object())


CHARTS: dict[str, dict[str, Any]] = {
    "confusion_matrix": {"class_labels": ["a", "b"], "matrix": [[1, 2], [3, 4]]},
    "accuracy_table": {
        "probability_tables": [],
        "percentile_tables": [],
        "probability_thresholds": [],
        "percentile_thresholds": [],
        "class_labels": [],
    },
    "residuals": {"bin_edges": [0, 1, 2], "bin_counts": [3, 4]},
    "predictions": {"bin_averages": [], "bin_errors": [], "bin_counts": [], "bin_edges": []},
}


@pytest.mark.parametrize("kind", CHARTS)
@pytest.mark.parametrize("form", [dict, json.dumps], ids=["dict", "json"])
def test_charts_are_artifacts_and_come_back_whole_on_demand(
    kind: str, form: Callable[[Any], Any], run: Run
) -> None:
    value = {"schema_type": kind, "schema_version": "1.0.0", "data": CHARTS[kind]}
    getattr(run, f"log_{kind}")("chart", form(value))
    location = "aml://artifactId/ExperimentRun/dcid.exp_1_ab/chart"
    assert run.get_metrics() == {"chart": location}
    assert run.get_metrics(populate=True) == {"chart": value}
    assert run.get_file_names() == ["chart"]


@pytest.mark.parametrize("kind", CHARTS)
@pytest.mark.parametrize("wrong", ["no json", {}, {"schema_type": "other", "data": {}}, None, 5])
def test_charts_of_another_form_are_refused(kind: str, wrong: Any, run: Run) -> None:
    with pytest.raises(UserErrorException, match=f"log_{kind}"):
        getattr(run, f"log_{kind}")("chart", wrong)
    assert run.get_file_names() == []


# Tags and properties ------------------------------------------------------------------------


def test_tags_change_and_go(run: Run) -> None:
    run.tag("a")
    run.tag("b", 5)
    run.set_tags({"c": "x", "d": True, "a": "now"})
    run.remove_tags(["c", "missing"])
    assert run.tags == run.get_tags() == {"a": "now", "b": "5", "d": "True"}
    run.complete()
    run.tag("after", "the end")
    assert run.tags["after"] == "the end"


def test_tags_are_a_dictionary(run: Run) -> None:
    with pytest.raises(UserErrorException, match="dictionary"):
        run.set_tags(["a"])  # type: ignore[arg-type]


def test_properties_never_change(run: Run) -> None:
    run.add_properties({"a": 1})
    with pytest.raises(UserErrorException, match="never change"):
        run.add_properties({"a": 2, "b": 3})
    assert run.properties == run.get_properties() == {"a": "1"}


def test_a_copy_is_handed_out(run: Run) -> None:
    run.tags["a"] = "1"
    run.properties["a"] = "1"
    assert (run.tags, run.properties) == ({}, {})


def test_names_for_people_may_be_set(run: Run) -> None:
    run.display_name = "first try"
    run.description = "with dropout"
    assert (run.display_name, run.name, run.description) == ("first try",) * 2 + ("with dropout",)


def test_two_handles_on_one_run_see_each_other(run: Run, folder: Path) -> None:
    other = Run(str(folder))
    run.tag("a", "1")
    other.log("x", 1)
    assert other.tags == {"a": "1"}
    assert run.get_metrics() == {"x": 1}
    other.complete()
    assert run.get_status() == "Completed"


# States -------------------------------------------------------------------------------------


def test_the_end_is_the_end(run: Run) -> None:
    run.start()
    assert run.status == "Running"
    run.complete()
    run.fail("too late")
    run.cancel()
    assert run.get_status() == run.status == "Completed"
    assert "error" not in run.get_details()


def test_leaving_a_with_block_completes_the_run(run: Run) -> None:
    with run as same:
        assert same is run
    assert run.get_status() == "Completed"


def test_an_exception_in_a_with_block_fails_the_run_and_goes_on(run: Run) -> None:
    with pytest.raises(ZeroDivisionError), run:
        _ = 1 / 0
    error = run.get_details()["error"]["error"]
    assert error["code"] == "UserError"
    assert "ZeroDivisionError" in error["message"]
    assert run.get_status() == "Failed"


@pytest.mark.parametrize(("code", "state"), [(0, "Completed"), (None, "Completed"), (2, "Failed")])
def test_sys_exit_in_a_with_block(code: Any, state: str, run: Run) -> None:
    with pytest.raises(SystemExit), run:
        sys.exit(code)
    assert run.get_status() == state


def test_fail_takes_text_exceptions_and_a_code(run: Run) -> None:
    run.fail(ValueError("bad"), "DataError")
    assert run.get_details()["error"] == {
        "error": {"code": "DataError", "message": "ValueError: bad"}
    }


def test_details_have_v1s_keys_in_v1s_order(run: Run, folder: Path) -> None:
    (folder / layout.DRIVER_LOG).write_text("line\n")
    run.start()
    run.fail("reason")
    details = run.get_details()
    wanted = ["runId", "target", "status", "startTimeUtc", "endTimeUtc", "services", "error"]
    wanted += ["properties", "inputDatasets", "outputDatasets", "logFiles", "submittedBy"]
    assert list(details) == wanted
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", details["startTimeUtc"])
    assert list(details["logFiles"]) == [layout.DRIVER_LOG]
    assert run.get_details_with_logs()["logFiles"] == {layout.DRIVER_LOG: "line\n"}


def test_times_are_utc_with_microseconds() -> None:
    assert job_run.iso(1.000002) == "1970-01-01T00:00:01.000002Z"
    assert job_run.iso(0) == "1970-01-01T00:00:00.000000Z"
    assert job_run.iso(1e9 + 0.25) == "2001-09-09T01:46:40.250000Z"


def test_the_printed_form(run: Run) -> None:
    run.start()
    assert repr(run) == "Run(Experiment: exp,\nId: exp_1_ab,\nType: None,\nStatus: Running)"


# Files --------------------------------------------------------------------------------------


def test_files_come_from_logs_outputs_and_uploads_sorted(run: Run, folder: Path) -> None:
    (folder / layout.DRIVER_LOG).write_text("x")
    (folder / "outputs/model").mkdir()
    (folder / "outputs/model/w.bin").write_bytes(b"w")
    (folder / "logs/train.log").write_text("l")
    run.upload_file("data/notes.txt", io.BytesIO(b"notes"))
    names = ["azureml-logs/70_driver_log.txt", "data/notes.txt", "logs/train.log"]
    assert run.get_file_names() == [*names, "outputs/model/w.bin"]


def test_a_file_is_uploaded_once(run: Run) -> None:
    Path("a.txt").write_text("1")
    run.upload_file("a.txt", "a.txt")
    with pytest.raises(UserErrorException, match="has a file named"):
        run.upload_file("./a.txt", "a.txt")


def test_uploads_take_paths_and_streams_of_bytes_and_text(run: Run) -> None:
    Path("a.txt").write_text("path")
    run.upload_file("path", Path("a.txt"))
    run.upload_file("text", io.StringIO("täxt"))
    run.upload_files(["one", "two"], ["a.txt", "a.txt"])
    run.download_file("text", "back.txt")
    assert Path("back.txt").read_text() == "täxt"
    with pytest.raises(TypeError):
        run.upload_files(["one"], [])


def test_a_folder_is_uploaded_below_a_prefix(run: Run) -> None:
    for name in ("data/a/b.txt", "data/c.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    run.upload_folder("set/", "data")
    assert run.get_file_names() == ["set/a/b.txt", "set/c.txt"]
    with pytest.raises(UserErrorException, match="no folder"):
        run.upload_folder("set", "missing")


@pytest.mark.parametrize("name", ["../up", "a/../../b", "", "/", "."])
def test_names_that_leave_the_run_are_refused(name: str, run: Run) -> None:
    with pytest.raises(UserErrorException, match="not a name for a file"):
        run.upload_file(name, io.BytesIO(b"x"))
    with pytest.raises(UserErrorException):
        run.download_file(name)


def test_uploading_what_is_not_there_leaves_nothing(run: Run) -> None:
    with pytest.raises(UserErrorException, match="no file"):
        run.upload_file("a", "missing.txt")
    assert run.get_file_names() == []


def test_a_download_goes_where_it_is_told(run: Run, folder: Path) -> None:
    (folder / "outputs/model.pkl").write_bytes(b"m")
    run.download_file("outputs/model.pkl")
    run.download_file("./outputs\\model.pkl", output_file_path="new/folders/m.pkl")
    run.download_file("outputs/model.pkl", "new/")
    run.download_file("outputs/model.pkl", "new/folders")
    for name in ("model.pkl", "new/folders/m.pkl", "new/model.pkl", "new/folders/model.pkl"):
        assert Path(name).read_bytes() == b"m"


def test_a_missing_file_names_those_there_are(run: Run, folder: Path) -> None:
    (folder / "outputs/model.pkl").write_bytes(b"m")
    with pytest.raises(UserErrorException, match="was not found") as caught:
        run.download_file("outputs/modle.pkl")
    assert "outputs/model.pkl" in str(caught.value)


def test_many_files_are_downloaded_by_prefix(run: Run, folder: Path) -> None:
    for name in ("outputs/a/1", "outputs/a/2", "outputs/b", "outputs2"):
        target = folder / (name if name.startswith("outputs/") else f"artifacts/{name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(name)
    run.download_files("outputs", "kept")
    assert sorted(str(p) for p in Path("kept").rglob("*") if p.is_file()) == [
        "kept/outputs/a/1",
        "kept/outputs/a/2",
        "kept/outputs/b",
    ]
    run.download_files(prefix="outputs/a", output_directory="cut", append_prefix=False)
    assert sorted(os.listdir("cut")) == ["1", "2"]
    run.download_files("outputs/b", output_paths=["elsewhere"])
    assert Path("elsewhere").read_text() == "outputs/b"
    run.download_files()
    assert Path("outputs2").exists()


def test_logs_are_collected(run: Run, folder: Path) -> None:
    (folder / layout.DRIVER_LOG).write_text("driver")
    (folder / "logs/own.txt").write_text("own")
    paths = run.get_all_logs("there")
    assert [Path(path).read_text() for path in paths] == ["driver", "own"]


def test_the_newer_name_of_the_log_works_too(run: Run, folder: Path) -> None:
    (folder / layout.DRIVER_LOG).write_text("driver")
    run.download_file("user_logs/std_log.txt")
    assert Path("std_log.txt").read_text() == "driver"


# Children -----------------------------------------------------------------------------------


def test_a_child_has_metrics_and_an_end_of_its_own(run: Run) -> None:
    with run.child_run("fold 1") as child:
        child.log("x", 1)
    run.log("x", 2)
    assert child.get_status() == "Completed"
    assert run.get_status() == "NotStarted"
    assert run.get_metrics() == {"x": 2}
    assert run.get_metrics(recursive=True) == {run.id: {"x": 2}, child.id: {"x": 1}}
    assert child.display_name == "fold 1"
    assert re.fullmatch(r"[0-9a-f-]{36}", child.id)


def test_runs_without_metrics_are_left_out_below(run: Run) -> None:
    run.child_run()
    grandchild = run.child_run().child_run()
    grandchild.log("x", 1)
    assert run.get_metrics(recursive=True) == {grandchild.id: {"x": 1}}


def test_children_by_count_or_by_tag(run: Run) -> None:
    assert len(run.create_children(3)) == 3
    tagged = run.create_children(tag_key="fold", tag_values=[1, 2])
    assert [child.tags for child in tagged] == [{"fold": "1"}, {"fold": "2"}]
    for wrong in ({}, {"count": 1, "tag_key": "a", "tag_values": [1]}, {"tag_key": "a"}):
        with pytest.raises(UserErrorException, match="either count"):
            run.create_children(**wrong)


def test_an_id_is_given_to_one_child(run: Run) -> None:
    run.child_run(run_id="mine")
    with pytest.raises(UserErrorException, match="There is a run mine already"):
        run.child_run(run_id="mine")


@pytest.mark.parametrize("run_id", ["../up", "a/b", "", ".", "..", 5])
def test_an_id_that_leaves_the_run_is_refused(run_id: Any, run: Run, folder: Path) -> None:
    before = sorted(os.listdir(folder.parent))
    with pytest.raises(UserErrorException, match="not an id"):
        run.child_run(run_id=run_id)
    assert sorted(os.listdir(folder.parent)) == before


# Inside a run -------------------------------------------------------------------------------


def test_a_script_gets_the_same_object_twice(inside: Any) -> None:
    assert Run.get_context() is inside
    assert Run.get_submitted_run() is inside
    assert isinstance(inside, Run)
    assert inside.id == "exp_1_ab"


def test_complete_and_fail_inside_do_not_end_the_run(inside: Any) -> None:
    inside.complete()
    inside.fail("low accuracy")
    assert inside.get_status() == "NotStarted"
    assert inside.get_details()["warnings"] == [{"message": "low accuracy"}]


def test_a_with_block_inside_does_not_end_the_run(inside: Any) -> None:
    with inside:
        inside.log("x", 1)
    with pytest.raises(ValueError, match="bad"), inside:
        raise ValueError("bad")
    assert inside.get_status() == "NotStarted"
    assert inside.get_metrics() == {"x": 1}


def test_cancel_inside_only_says_so(inside: Any, capsys: pytest.CaptureFixture[str]) -> None:
    inside.cancel()
    assert "cannot cancel itself" in capsys.readouterr().out
    assert inside.get_status() == "NotStarted"


def test_logging_from_threads_inside(inside: Any) -> None:
    def work(n: int) -> None:
        for number in range(200):
            inside.log(f"own {n}", number)
            inside.log_list("list", [n])
            inside.tag(f"{n}", number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = inside.get_metrics()
    assert all(found[f"own {n}"] == list(range(200)) for n in range(4))
    assert sorted(found["list"]) == sorted([0, 1, 2, 3] * 200)
    assert inside.tags == {str(n): "199" for n in range(4)}


def test_importing_run_in_a_job_brings_in_nothing_foreign(folder: Path) -> None:
    text = """
import sys
before = set(sys.modules)
from aml_jupyter import Run
run = Run.get_context()
run.log('x', 1.0)
new = {name.partition('.')[0] for name in set(sys.modules) - before}
print(sorted(new - set(sys.stdlib_module_names)), type(run).__name__)
"""
    variables = dict.fromkeys(REQUIRED_VARIABLES, "x")
    done = subprocess.run(
        [sys.executable, "-c", text],
        env={**os.environ, **variables, "AML_RUN_FOLDER": str(folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "['aml_jupyter'] _SubmittedRun\n"


# Outside a run ------------------------------------------------------------------------------


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in (*REQUIRED_VARIABLES, layout.FOLDER_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return Run.get_context()


OFFLINE: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("log", ("x", 0.5), {}, "Attempted to log scalar metric x:\n0.5\n"),
    ("log", ("x", 1), {"step": 3}, "Attempted to log scalar metric x:\n1\n"),
    ("log_list", ("x", [1, 2]), {}, "Attempted to log list metric x:\n[1, 2]\n"),
    ("log_row", ("x",), {"a": 1}, "Attempted to log row metric x:\n{'a': 1}\n"),
    ("log_table", ("x", {"a": [1]}), {}, "Attempted to log table metric x:\n{'a': [1]}\n"),
    ("log_image", ("x",), {"path": "a.png"}, "Attempted to log image metric x:\na.png\n"),
    ("log_confusion_matrix", ("x", 1), {}, "Attempted to log confusion_matrix metric x:\n1\n"),
    ("log_accuracy_table", ("x", 1), {}, "Attempted to log accuracy_table metric x:\n1\n"),
    ("log_residuals", ("x", 1), {}, "Attempted to log residual metric x:\n1\n"),
    ("log_predictions", ("x", 1), {}, "Attempted to log predictions metric x:\n1\n"),
    ("tag", ("k", "v"), {}, "Attempted to add tag k with value v\n"),
    ("tag", ("k",), {}, "Attempted to add tag k with value None\n"),
    ("set_tags", ({"a": 1},), {}, "Attempted to set tags {'a': 1}\n"),
    ("add_properties", ({"a": 1},), {}, "Attempted to add properties {'a': 1}\n"),
    ("upload_file", ("n", "p"), {}, "Attempted to track file n at p\n"),
    ("upload_files", (["n"], ["p"]), {}, "Attempted to track file n at p\n"),
    ("upload_folder", ("n", "p"), {}, "Attempted to track folder n at p\n"),
    ("fail", (), {}, "Run failed with error code None:\nNone\n"),
    ("fail", ("why", "C"), {}, "Run failed with error code C:\nwhy\n"),
    ("complete", (), {}, ""),
    ("cancel", (), {}, ""),
]


@pytest.mark.parametrize(("method", "arguments", "keywords", "printed"), OFFLINE)
def test_outside_a_run_calls_print_what_v1_prints(
    method: str,
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    printed: str,
    offline: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert getattr(offline, method)(*arguments, **keywords) is None
    assert capsys.readouterr().out == printed


def test_outside_a_run_a_block_and_a_flush_say_so(
    offline: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with offline as same:
        assert same is offline
    offline.flush()
    assert capsys.readouterr().out == (
        f"[START] Run {offline.id} context\n[STOP] Run {offline.id} context\n"
        f"Attempted to flush run with id {offline.id}\n"
    )


def test_outside_a_run_there_is_exactly_v1s_class(offline: Any) -> None:
    assert type(offline) is _OfflineRun
    assert re.fullmatch(r"OfflineRun_[0-9a-f-]{36}", offline.id)
    assert offline.identity == offline.id
    assert offline.child_run("fold").id == f"{offline.id}.fold"


@pytest.mark.parametrize(
    "name",
    [
        *("experiment", "input_datasets", "output_datasets", "get_metrics", "parent", "tags"),
        *("register_model", "get_details", "display_name", "number", "create_children"),
        *("properties", "get_status", "status", "wait_for_completion", "get_file_names"),
    ],
)
def test_outside_a_run_what_scripts_look_for_is_missing(name: str, offline: Any) -> None:
    assert not hasattr(offline, name)


def test_a_run_that_is_required_is_an_error_outside_one(offline: Any) -> None:
    with pytest.raises(RunEnvironmentException, match="AZUREML_RUN_ID"):
        Run.get_context(allow_offline=False)


def test_one_variable_missing_is_outside_a_run(
    inside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZUREML_RUN_TOKEN")
    assert type(Run.get_context()) is _OfflineRun


def test_a_folder_that_is_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AmlError, match="not the folder of a run"):
        Run(str(tmp_path))
