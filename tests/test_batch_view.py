"""What the kernel shows of a batch: in the live view, in displays without one, and by its magic."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import jsonschema
import nbformat
import nbformat.v4 as v4
import pytest
from IPython.core.completer import provisionalcompleter

from aml_jupyter import Batch, Workspace
from aml_jupyter.notebook.batch import parameter_names
from aml_jupyter.notebook.live import LiveView
from aml_jupyter.notebook.views import CardView
from aml_jupyter.watching.child_table import NotebookTable, changes
from aml_jupyter.workspace.batch_run import BatchRun
from aml_jupyter.workspace.batch_watch import BatchWatch
from tests.shell import Shell, ipython, shell
from tests.support import project, until, ws
from tests.test_live_view import WIRE, Page, _schema

__all__ = ["ipython", "project", "shell", "ws"]

pytestmark = pytest.mark.slow


def notebook(folder: Path, work: str = "run.log('loss', alpha / 2)") -> str:
    """Write a notebook with a parameter that waits for a word named after it, if told where."""
    parameters = v4.new_code_cell('alpha = 0.5\nsigns = ""', metadata={"tags": ["parameters"]})
    code = (
        "import os, time\nfrom aml_jupyter import Run\nrun = Run.get_context()\n"
        f"{work}\nwhile signs and not os.path.exists(f'{{signs}}/{{alpha}}'):\n    time.sleep(0.02)"
    )
    cells = [v4.new_markdown_cell("# Report"), parameters, v4.new_code_cell(code)]
    content = v4.new_notebook(cells=cells)
    content.metadata.kernelspec = {"name": "python3", "language": "python", "display_name": "P"}
    nbformat.write(content, folder / "report.ipynb")
    return "report.ipynb"


FAILS_AT_2 = "run.log('loss', alpha / 2)\nassert alpha != 2, f'alpha is {alpha}'"


@pytest.fixture
def signs(ws: Workspace, project: Path) -> Path:
    """A folder for words that let notebooks go on."""
    folder = project.parent / "signs"
    folder.mkdir()
    return folder


def submitted(signs: Path | None = None, **options: Any) -> BatchRun:
    more = {"signs": str(signs)} if signs else {}
    return Batch("report.ipynb", {"alpha": [0.1, 2, 0.3], **more}, **options).submit()


def ended(batch: BatchRun) -> BatchRun:
    until(lambda: batch.has_ended, 60, why=lambda: str([r.to_json() for r in batch.rows()]))
    return batch


def test_who_follows_a_batch_sees_what_the_index_tells(ws: Workspace, project: Path) -> None:
    notebook(project, FAILS_AT_2)
    first = submitted(retries=1)
    watch = BatchWatch(first)
    until(lambda: first.has_ended and all(row.has_ended for row in watch.look()), 60)
    second = ended(first.resume())
    for batch in (first, second):
        followed = [row.to_json() for row in BatchWatch(batch).look()]
        known = [row.to_json() for row in batch.rows()]
        assert followed == known
    assert [row.attempts for row in watch.look()] == [1, 2, 1]
    assert watch.look()[0] is watch.look()[0]
    assert [row.earlier for row in BatchWatch(second).look()] == [True, False, True]


def test_a_batch_opens_with_its_table_and_only_what_changes_is_sent(
    project: Path, signs: Path
) -> None:
    notebook(project)
    batch = submitted(signs, parallel=2)
    page = Page(LiveView([batch]))
    assert page.panel.tab == page.panel.tabs[0] == "children"
    assert "log" not in page.panel.tabs
    jsonschema.validate(page.panel.get_state(), _schema("run-view"))
    page.ask("ready")
    page.until(lambda: page.told("children"))
    first = page.told("children")[0]
    assert (first["of"], first["partial"]) == ("notebooks", False)
    assert [row["name"] for row in first["rows"]] == ["alpha=0.1", "alpha=2", "alpha=0.3"]

    def rows() -> dict[str, dict[str, Any]]:
        return {row["name"]: row for table in page.told("children") for row in table["rows"]}

    page.until(
        lambda: (rows()["alpha=0.1"]["progress"] or {}).get("text") == "cell 3 of 3 · Report"
    )
    assert rows()["alpha=0.1"]["notebook"] == "outputs/report.ipynb"
    told = page.until(lambda: page.panel.runs[0]["progress"])
    assert re.fullmatch(r"0 of 3 done, \d running", told["text"])
    seen = len(page.told("children"))
    for alpha in ("0.1", "2", "0.3"):
        (signs / alpha).touch()
    page.until(lambda: page.panel.runs[0]["status"] == "Completed")
    page.until(lambda: all(row["status"] == "Completed" for row in rows().values()))
    assert page.told("children")[-1]["partial"]
    assert len(page.told("children")) > seen
    assert page.until(lambda: page.view.refresh() is None)


def test_the_notebook_of_a_child_is_read_through_the_view_of_its_batch(
    project: Path, signs: Path
) -> None:
    notebook(project, "print('so far')")
    batch = submitted(signs)
    page = Page(LiveView([batch]))
    row = until(lambda: next((r for r in batch.rows() if r.part and r.part >= 0.5), None), 30)
    path = "outputs/report.ipynb"

    def read() -> str:
        page.ask("bytes", run=row.run_id, path=path, **{"from": 0}, count=100_000, token="t")
        return page.channel.buffers[-1].decode()

    until(lambda: "so far" in read())
    assert page.told("bytes")[-1]["ended"] is False
    for alpha in ("0.1", "2", "0.3"):
        (signs / alpha).touch()
    ended(batch)
    read()
    assert page.told("bytes")[-1]["ended"] is True
    page.ask("bytes", run=row.run_id, path="../run.json", **{"from": 0}, count=9, token="t")
    assert "is not a file of this run" in page.told("said")[-1]


def test_going_on_with_the_rest_makes_one_batch_however_often_it_is_asked_for(
    ws: Workspace, project: Path
) -> None:
    notebook(project, FAILS_AT_2)
    batch = ended(submitted())
    page = Page(LiveView([batch]))
    page.ask("resume")
    second = page.panel.runs[0]["id"]
    assert second != batch.id
    assert f"goes on as {second}" in page.told("said")[-1]
    page.until(lambda: page.panel.runs[0]["status"] == "Failed")
    page.ask("back")
    page.ask("resume")
    assert page.panel.runs[0]["id"] == second
    assert len([run for run in ws.runs(limit=-1) if run.type == "aml.batch"]) == 2


def test_a_thousand_notebooks_cost_little_to_follow(project: Path, signs: Path) -> None:
    notebook(project)
    batch = Batch("report.ipynb", {"alpha": range(1000), "signs": str(signs)}, parallel=1).submit()
    page = Page(LiveView([batch]))
    page.ask("ready")
    page.until(lambda: page.told("children"))
    until(lambda: any(row.part for row in batch.rows()), 60)
    table = NotebookTable(batch)
    before = table.table(at_once=True)
    assert len(before["rows"]) == 1000
    begun = time.process_time()
    for _ in range(10):
        now = table.table(at_once=True)
        news, before = changes(before, now), now
        assert news is None or len(json.dumps(news)) < 2000
    assert time.process_time() - begun < 2.5
    batch.cancel()
    ended(batch)
    whole = CardView([batch]).bundle()
    assert len(str(whole["text/html"])) < 90_000
    assert "1000 notebooks" in str(whole["text/html"])


def test_a_display_without_a_front_end_lists_the_notebooks(ws: Workspace, project: Path) -> None:
    notebook(project, FAILS_AT_2)
    batch = ended(submitted())
    bundle = CardView([batch]).bundle()
    html, card = str(bundle["text/html"]), bundle["application/vnd.aml.run+json"]
    assert "3 notebooks: 2 Completed, 1 Failed" in html
    assert "AssertionError: alpha is 2" in html
    assert "no output yet" not in html
    jsonschema.validate(card, json.loads((WIRE / "run-card.schema.json").read_text("utf-8")))
    assert isinstance(card, dict)
    assert [row["status"] for row in card["notebooks"]["rows"]] == [
        "Completed",
        "Failed",
        "Completed",
    ]


def test_a_notebook_that_runs_alone_shows_its_cell_and_what_is_left(
    project: Path, signs: Path
) -> None:
    notebook(project)
    ended(submitted())
    batch = Batch("report.ipynb", {"alpha": [9], "signs": str(signs)}).submit()
    (child,) = until(lambda: list(batch.get_children()), 30)
    page = Page(LiveView([child]))
    told = page.until(
        lambda: page.panel.runs[0]["progress"] if page.panel.runs[0]["notebook"] else 0
    )
    page.until(lambda: page.panel.runs[0]["progress"]["text"] == "cell 3 of 3 · Report")
    page.until(lambda: page.panel.runs[0]["progress"]["left"] is not None)
    assert page.panel.runs[0]["notebook"] == "outputs/report.ipynb"
    assert told is not None
    (signs / "9").touch()
    page.until(lambda: page.panel.runs[0]["status"] == "Completed")


# The magic ------------------------------------------------------------------------------------


def test_a_batch_is_started_waited_for_and_found_again_by_magics(
    shell: Shell, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook(project, FAILS_AT_2)
    monkeypatch.setenv("JPY_SESSION_NAME", str(project / "mine.ipynb"))
    said = shell.run("%aml_batch report.ipynb -p alpha 0.1,2 --as batch --wait")
    assert "alpha=0.1: Completed after" in said
    assert "alpha=2: Failed after" in said
    assert "AssertionError: alpha is 2" in said
    assert shell["batch"].to_frame().state.tolist() == ["Completed", "Failed"]
    shell.run("%aml_attach --as found")
    assert isinstance(shell["found"], BatchRun)
    listed = ["alpha=" in shell.run(f"%aml_runs{more}") for more in ("", " --children")]
    assert listed == [False, True]
    assert shell["found"].id == shell["batch"].id
    notebook(project)
    said = shell.run(f"%aml_batch report.ipynb --resume {shell['batch'].id} --as rest --wait")
    assert "alpha=2: Completed" in said
    assert shell["rest"].get_status() == "Completed"


def test_inspect_and_dry_run_start_nothing(shell: Shell, ws: Workspace, project: Path) -> None:
    notebook(project)
    shown = shell.run("%aml_batch report.ipynb --inspect")
    assert re.search(r"alpha +float +0\.5", shown)
    said = shell.run("%aml_batch report.ipynb -p alpha 1..3 --dry-run")
    assert said.startswith("3 notebooks\n  alpha=1\n  alpha=2\n  alpha=3\n\nexperiment ")
    assert ws.runs() == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "%aml_batch was given no notebook"),
        ("nowhere.ipynb", "There is no notebook nowhere.ipynb"),
        ("report.ipynb -p beta 1", "has no parameter 'beta'"),
        ("report.ipynb -p alpha many", "alpha is a float, not 'many'"),
        ("--resume nobody", "There is no batch 'nobody'"),
    ],
)
def test_what_cannot_be_a_batch_is_two_lines(
    shell: Shell, project: Path, line: str, said: str
) -> None:
    notebook(project)
    told = shell.run(f"%aml_batch {line}")
    assert said in told
    assert "Traceback" not in told


def test_notebooks_and_their_parameters_are_completed(shell: Shell, project: Path) -> None:
    notebook(project)
    (project / "train.py").touch()

    def complete(line: str) -> list[str]:
        with provisionalcompleter():
            found = shell.ipython.Completer.completions(line, len(line))
            return [each.text for each in found]

    assert complete("%aml_batch rep") == ["report.ipynb"]
    assert "train.py" not in complete("%aml_batch ")
    assert complete("%aml_batch report.ipynb -p al") == ["alpha"]
    assert complete("%aml_batch report.ipynb --tim") == ["--timeout-cell"]
    assert parameter_names("%aml_batch train.py -p ") == []
    (project / "broken.ipynb").write_text("{")
    assert parameter_names("%aml_batch broken.ipynb -p ") == []


def test_a_notebook_without_sets_of_values_is_run_by_aml_run(shell: Shell, project: Path) -> None:
    notebook(project, "print('alone')")
    said = shell.run("%aml_run report.ipynb --as run --wait")
    assert "cell 2 of 2 · Report" in said
    assert "alone" in said
    assert (shell["run"].folder / "outputs" / "report.ipynb").is_file()
    assert "no notebook gone.ipynb" in shell.run("%aml_run gone.ipynb")
