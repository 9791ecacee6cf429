"""``aml migrate``: what is found in programs for SDK v1, and what is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import nbformat
import pytest

from aml_jupyter.cli import main
from aml_jupyter.migrate import CANNOT, DIFFERS, SAME, FileReport, examine, surface
from aml_jupyter.migrate.differences import KEYWORDS
from aml_jupyter.migrate.rewrite import rewritten
from aml_jupyter.migrate.sources import read


def script(folder: Path, text: str, name: str = "train.py") -> Path:
    """A script with this text."""
    path = folder / name
    path.write_text(textwrap.dedent(text), newline="")
    return path


def notebook(folder: Path, *cells: str, name: str = "train.ipynb", **layout: Any) -> Path:
    """A notebook with these code cells, each with an output."""
    content = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "k", "display_name": "ä"}})
    content.cells.append(nbformat.v4.new_markdown_cell("# from azureml.core import Run"))
    for number, cell in enumerate(cells, 1):
        output = nbformat.v4.new_output("stream", text=f"said {number}\n")
        made = nbformat.v4.new_code_cell(cell, outputs=[output])
        content.cells.append(made)
    path = folder / name
    plain = json.loads(nbformat.writes(content))
    path.write_text(json.dumps(plain, **({"indent": 1, "ensure_ascii": False} | layout)) + "\n")
    return path


def found(path: Path) -> FileReport:
    """What is found in that one file."""
    (report,) = examine(path).files
    return report


def verdicts(path: Path) -> dict[str, str]:
    """Lines of the file, as they are shown, and what becomes of each."""
    return {str(place): verdict for place, verdict in found(path).lines.items()}


def told(path: Path, verdict: str) -> dict[str, str]:
    """What has that verdict: subject, and all that is said of it."""
    groups = found(path).groups([verdict])
    return {group.subject: f"{group.text} → {group.way}" for group in groups}


def written(path: Path) -> str:
    """The file with our names."""
    return rewritten(read(path))


# What is found --------------------------------------------------------------------------------


def test_every_line_is_told_whether_it_runs_as_it_is_with_a_difference_or_not(
    tmp_path: Path,
) -> None:
    path = script(
        tmp_path,
        """\
        import os
        from azureml.core import Experiment, Workspace
        from azureml.core.authentication import InteractiveLoginAuthentication
        from azureml.train.automl import AutoMLConfig

        auth = InteractiveLoginAuthentication()
        ws = Workspace.from_config()
        print(os.getcwd(), ws.name)
        config = AutoMLConfig(task="regression")
        run = Experiment(ws, "first").submit(config)
        print(run.get_output())
        """,
    )
    assert verdicts(path) == {
        "2": SAME,
        "3": SAME,
        "4": CANNOT,
        "6": DIFFERS,
        "7": SAME,
        "8": SAME,
        "9": CANNOT,
        "10": CANNOT,
        "11": CANNOT,
    }
    assert found(path).score == 55
    assert "FLAML" in told(path, CANNOT)["AutoML"]
    assert "there is no account" in told(path, DIFFERS)["InteractiveLoginAuthentication"]


def test_a_value_is_followed_from_what_made_it_to_where_it_is_used(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """\
        from azureml.core import Experiment, ScriptRunConfig, Workspace
        ws = Workspace.from_config()
        experiment = Experiment(workspace=ws, name="e")
        src = ScriptRunConfig(source_directory=".", script="t.py")
        src.run_config.framework = "PySpark"
        run = experiment.submit(src)
        for other in experiment.get_runs():
            other.no_such_thing()
        with experiment.start_logging() as inner:
            [child.log("a", 1, unit="m") for child in inner.get_children()]
        for name, target in ws.compute_targets.items():
            target.no_such_target()
        def later():
            run.list_by_nobody()
        class Held:
            def __init__(self):
                self.ws = Workspace.from_config()
            def use(self):
                self.ws.no_such_member()
        """,
    )
    subjects = {each.subject for each in found(path).groups([CANNOT])}
    assert subjects == {
        "framework PySpark",
        "Run.no_such_thing",
        "Run.log(unit)",
        "ComputeTarget.no_such_target",
        "Run.list_by_nobody",
        "Workspace.no_such_member",
    }


def test_what_has_no_known_class_is_neither_counted_as_running_nor_as_failing(
    tmp_path: Path,
) -> None:
    path = script(
        tmp_path,
        """\
        from azureml.core import Workspace
        ws = Workspace.from_config()
        def use(ws, other: Workspace):
            ws.no_such_thing()
            other.no_such_thing()
        ws = open("x")
        ws.no_such_thing()
        table = {"run": 1}
        table["run"].log("a", 1)
        """,
    )
    assert verdicts(path) == {"1": SAME, "2": SAME, "3": SAME, "5": CANNOT}


def test_a_keyword_that_is_not_taken_is_found_with_those_that_are(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """\
        from azureml.core import ScriptRunConfig
        ScriptRunConfig(source_directory=".", script="a.py", scripts="b.py")
        """,
    )
    assert verdicts(path)["2"] == CANNOT
    assert "it takes script" in told(path, CANNOT)["ScriptRunConfig(scripts)"]


def test_a_member_that_is_not_there_is_told_with_the_nearest_one(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """\
        from azureml.core import Run
        run = Run.get_context()
        run.log_rows("a")
        run._private()
        """,
    )
    assert "log_row" in told(path, CANNOT)["Run.log_rows"]
    assert "was private to SDK v1" in told(path, CANNOT)["Run._private"]


def test_texts_that_make_a_difference_are_found_wherever_they_are_given(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """\
        from azureml.core import Environment, Workspace
        from azureml.core.conda_dependencies import CondaDependencies
        ws = Workspace.from_config()
        one = Environment.get(ws, "AzureML-Minimal")
        two = Environment.get(workspace=ws, name="azureml-sklearn-1.5")
        three = Environment.get(ws, "mine")
        three.docker.base_image = "mcr.microsoft.com/azureml/base:1"
        deps = CondaDependencies()
        deps.add_pip_package("azureml-defaults")
        deps.add_pip_package("pandas")
        three.python.conda_dependencies = CondaDependencies.create(python_version="3.6.2")
        """,
    )
    differing = [place for place, verdict in verdicts(path).items() if verdict == DIFFERS]
    assert differing == ["4", "5", "7", "9", "11"]


def test_what_other_libraries_no_longer_have_is_told_with_its_successor(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """\
        import numpy as np
        from azureml.core import Run
        from sklearn.externals import joblib
        Run.get_context().log("a", np.float(1))
        """,
    )
    differing = told(path, DIFFERS)
    assert "joblib, or aml compat run --shims" in differing["sklearn.externals.joblib"]
    assert "→ float," in differing["numpy.float"]


def test_notebooks_are_read_across_cells_magics_and_shell_lines(tmp_path: Path) -> None:
    path = notebook(
        tmp_path,
        "from azureml.core import Workspace\n%matplotlib inline\nws = Workspace.from_config()",
        "!pip install --upgrade \\\n   azureml-sdk\n!az ml run list\nfiles = !ls\nWorkspace?",
        "%%time\nws.no_such_member()",
        "%%writefile t.py\nfrom azureml.core import Run\nrun = Run.get_context()\nrun.nothing()",
        "%%bash\npip install azureml-core\nls",
        "%%html\n<b>from azureml.core import Run</b>",
    )
    assert verdicts(path) == {
        "1:1": SAME,
        "1:3": SAME,
        "2:3": CANNOT,
        "3:2": CANNOT,
        "4:2": SAME,
        "4:3": SAME,
        "4:4": CANNOT,
        "5:2": CANNOT,
    }


def test_a_script_that_a_cell_writes_shares_no_names_with_its_notebook(tmp_path: Path) -> None:
    path = notebook(
        tmp_path,
        "from azureml.core import Run\nmodel = Run.get_context()",
        "%%writefile score.py\ndef run(data):\n    return model.predict(data)",
        "model.predict(1)",
    )
    assert verdicts(path) == {"1:1": SAME, "1:2": SAME, "3:1": CANNOT}


def test_cells_that_are_indented_as_a_whole_and_star_imports_are_understood(tmp_path: Path) -> None:
    path = notebook(
        tmp_path,
        "from azureml.core import *",
        "\n  ws = Workspace.from_config()\n\n  %time ws.name\n  ws.no_such_member()\n",
        "  ws\n1 +",
    )
    assert verdicts(path) == {"1:1": SAME, "2:2": SAME, "2:5": CANNOT}
    assert [str(place) for place, _ in found(path).problems] == ["3:2"]
    path = notebook(tmp_path, "if True:\n  pass", "  import azureml.core as core\n  core.VERSION")
    assert "  import aml_jupyter as core\\n" in written(path)


def test_settings_are_read_as_well(tmp_path: Path) -> None:
    script(
        tmp_path,
        """\
        script: train.py
        framework: PySpark
        target: local
        environment:
          docker:
            baseImage: mcr.microsoft.com/azureml/base:1
          python:
            condaDependencies:
              dependencies: [python=3.8, {pip: [azureml-defaults]}]
        history: {outputCollection: true}
        """,
        "job.runconfig",
    )
    script(tmp_path, "dependencies:\n- pip:\n  - azureml-sdk\n  - pandas\n", "env.yml")
    script(tmp_path, "a: azureml\n", "other.yml")
    report = examine(tmp_path)
    assert [each.path.name for each in report.files] == ["env.yml", "job.runconfig"]
    assert verdicts(tmp_path / "env.yml") == {"3": DIFFERS}
    lines = verdicts(tmp_path / "job.runconfig")
    assert (lines["2"], lines["6"], lines["9"]) == (CANNOT, DIFFERS, DIFFERS)


def test_the_table_of_keywords_names_what_our_own_calls_take() -> None:
    for key in KEYWORDS:
        called, _, keyword = key[:-1].partition("(")
        taken = surface.keywords(called)
        is_for_later = "pipelines" in KEYWORDS[key].text
        assert is_for_later or taken is None or keyword in taken, key


# What cannot be read --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("old.py", b"import azureml\nprint 'python 2'\n", "parentheses"),
        ("nul.py", b"import azureml\n\0", "null"),
        ("deep.py", b"import azureml\n" + b"(" * 5000 + b")" * 5000, "nested"),
        ("chain.py", b"import azureml\nx = a" + b".b" * 50_000, "deep"),
        ("sum.py", b"import azureml\nx = " + b"1+" * 100_000 + b"1", "deep"),
        ("latin.py", b"# -*- coding: utf-8 -*-\nimport azureml # \xe4", "not text"),
        ("unknown.py", b"# -*- coding: klingon -*-\nimport azureml", "encoding"),
        (
            "half.ipynb",
            b'{"cells": [{"cell_type": "code", "source": "import azureml',
            "no notebook",
        ),
        ("list.ipynb", b'["azureml"]', "no notebook"),
        ("old.ipynb", b'{"worksheets": ["azureml"], "nbformat": 3}', "no notebook"),
        ("deep.ipynb", b'{"azureml": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deep"),
        ("bad.runconfig", b"framework: [", "YAML"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_and_the_others_go_on(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    script(tmp_path, "from azureml.core import Run\n", "good.py")
    report = examine(tmp_path)
    by_name = {each.path.name: each for each in report.files}
    assert by_name["good.py"].score == 100
    ((_, text),) = by_name[name].problems
    assert says in text
    assert not report.runs


def test_a_cell_that_does_not_parse_hides_none_of_the_others(tmp_path: Path) -> None:
    path = notebook(
        tmp_path, "from azureml.core import Run\nrun = Run.get_context()", "1 +", "run.x"
    )
    report = found(path)
    assert [str(place) for place, _ in report.problems] == ["2:1"]
    assert verdicts(path)["3:1"] == CANNOT


def test_notebooks_in_other_languages_are_passed_over_with_a_word(tmp_path: Path) -> None:
    path = notebook(tmp_path, "library(azureml)")
    content = json.loads(path.read_text())
    content["metadata"] = {"language_info": {"name": "R"}}
    path.write_text(json.dumps(content))
    ((_, text),) = found(path).problems
    assert text == "a notebook in r: only Python is read"


# What is written ------------------------------------------------------------------------------


def test_only_import_names_change_in_a_script(tmp_path: Path) -> None:
    text = (
        "'''from azureml.core import Run'''\r\n"
        "from  azureml.core  import (  # all of it\r\n"
        "    Workspace as W,   # ours\r\n"
        "    Experiment,\r\n"
        ")\r\n"
        "x = {  'ä':1 ,}; from azureml.core import Environment ; y=2\r\n"
    )
    path = script(tmp_path, text)
    expected = text.replace("from  azureml.core  import", "from  aml_jupyter  import")
    expected = expected.replace("; from azureml.core import", "; from aml_jupyter import")
    assert written(path) == expected


def test_names_of_several_modules_are_told_apart_and_the_rest_stays(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """\
        def main():
            from azureml.core import (
                Workspace,  # the workspace
                LinkedService as L,
            )
            from azureml.core.compute import ComputeTarget, AmlCompute
            from azureml.core.compute_target import ComputeTargetException
            from azureml.train import hyperdrive
            if True: from azureml.core.run import Run, _OfflineRun
        """,
    )
    assert written(path) == textwrap.dedent(
        """\
        def main():
            # the workspace
            from aml_jupyter import Workspace
            from azureml.core import LinkedService as L
            from aml_jupyter import ComputeTarget, AmlCompute
            from aml_jupyter.errors import ComputeTargetException
            from azureml.train import hyperdrive
            if True: from aml_jupyter import Run; from aml_jupyter.job.offline import _OfflineRun
        """
    )


def test_names_that_are_reached_through_a_module_change_with_it(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """\
        import os, azureml.core
        import azureml.core as core
        print(azureml.core.VERSION, core.VERSION)
        ws = azureml.core . Workspace.from_config()
        image = core.runconfig.DEFAULT_CPU_IMAGE
        """,
    )
    assert written(path) == textwrap.dedent(
        """\
        import os, aml_jupyter
        import aml_jupyter as core
        print(aml_jupyter.VERSION, core.VERSION)
        ws = aml_jupyter.Workspace.from_config()
        image = core.DEFAULT_CPU_IMAGE
        """
    )


def test_a_module_that_is_needed_still_stays_imported(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """\
        import azureml.core
        ws = azureml.core.Workspace.from_config()
        service = azureml.core.LinkedService
        """,
    )
    assert written(path) == textwrap.dedent(
        """\
        import azureml.core, aml_jupyter
        ws = aml_jupyter.Workspace.from_config()
        service = azureml.core.LinkedService
        """
    )


def test_what_was_written_runs_without_the_import_finder(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """\
        import azureml.core
        from azureml.core import Experiment, Run, Workspace
        from azureml.core.compute_target import ComputeTargetException
        from azureml.exceptions import UserErrorException
        assert issubclass(ComputeTargetException, Exception)
        Run.get_context().log("loss", 0.5)
        print(azureml.core.VERSION)
        """,
    )
    path.write_text(written(path))
    where = {**os.environ, "PYTHONNOUSERSITE": "1"}
    said = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, check=True, env=where
    )
    assert said.stdout == "Attempted to log scalar metric loss:\n0.5\n1.61.0\n"
    assert "azureml" not in path.read_text()


@pytest.mark.parametrize(
    "layout", [{"indent": 1}, {"indent": 4, "ensure_ascii": True}, {"indent": None}]
)
def test_a_notebook_keeps_every_byte_but_the_names_and_gets_the_extension_once(
    tmp_path: Path, layout: dict[str, Any]
) -> None:
    path = notebook(
        tmp_path,
        "%matplotlib inline\nfrom azureml.core import Workspace\nws = Workspace.from_config()",
        "!echo ä\nprint( 'ü' )",
        **layout,
    )
    new = written(path)
    nbformat.validate(nbformat.reads(new, as_version=4))
    content = json.loads(new)
    hook = content["cells"].pop(1)
    assert "".join(hook["source"]) == "%load_ext aml_jupyter"
    assert hook["id"] not in {cell.get("id") for cell in content["cells"]}
    old = path.read_text()
    expected = old.replace(
        "from azureml.core import Workspace\\n", "from aml_jupyter import Workspace\\n"
    )
    assert content == json.loads(expected)
    kept = [line for line in old.splitlines() if "from azureml.core import Workspace" not in line]
    assert not layout["indent"] or [line for line in kept if line not in new.splitlines()] == []
    path.write_text(new)
    assert written(path) == new


def test_a_notebook_without_v1_is_left_alone(tmp_path: Path) -> None:
    path = notebook(tmp_path, "print(1)")
    assert written(path) == path.read_text()


# The command ----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two scripts and a notebook, which the test is in."""
    place = tmp_path / "project"
    (place / "sub").mkdir(parents=True)
    script(place, "from azureml.core import Run\nRun.get_context().log('a', 1)\n")
    script(place / "sub", "VALUE = 1\n", "helper.py")
    notebook(place, "from azureml.core import Workspace\nWorkspace.from_config().no_such_member()")
    (place / "data.csv").write_text("azureml")
    monkeypatch.chdir(tmp_path)
    return place


def test_the_exit_code_says_whether_everything_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate", "project/train.py"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0] == "100 % ━━━━━━━━━━  train.py  ✔ 2"
    assert main(["migrate", "project"]) == 1
    said = capsys.readouterr().out
    assert "✖ Workspace.no_such_member 1:2" in said
    assert "1 file  is not here" in said
    assert "train.py" not in said
    assert "75 % of 4 lines that use v1 run here; 1 of 2 files to the end" in said
    assert main(["migrate", "project", "--all"]) == 1
    assert "  ✔ 2  Run · Run.get_context · Run.log" in capsys.readouterr().out
    assert main(["migrate", "nowhere"]) == 2


def test_programs_are_told_all_of_it_as_json(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate", "project", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["score"], told["runs"], told["without_v1"]) == (75, False, 1)
    one = next(each for each in told["files"] if each["path"] == "train.ipynb")
    assert one["lines"] == {"same": 1, "differs": 0, "cannot": 1}
    assert one["findings"][-1]["subject"] == "Workspace.no_such_member"
    assert (one["findings"][-1]["cell"], one["findings"][-1]["line"]) == (1, 2)


def test_writing_touches_no_original_and_overwrites_nothing_unasked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (folder / "train.py").chmod(0o755)
    assert main(["migrate", "project", "--write"]) == 1
    assert "Written to migrated: 2 files" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in before} == before
    new = Path("migrated")
    assert sorted(path.name for path in new.rglob("*.*")) == [
        "helper.py",
        "train.ipynb",
        "train.py",
    ]
    assert (new / "train.py").read_text().startswith("from aml_jupyter import Run\n")
    assert (new / "train.py").stat().st_mode & 0o777 == 0o755
    assert main(["migrate", "project", "--write"]) == 1  # the same bytes are no harm
    (new / "train.py").write_text("mine")
    assert main(["migrate", "project", "--write"]) == 2
    assert "would be written over" in capsys.readouterr().err
    assert (new / "train.py").read_text() == "mine"
    assert main(["migrate", "project", "--write", "--yes"]) == 1
    assert (new / "train.py").read_text() != "mine"
    assert main(["migrate", "project", "--write", "project"]) == 2


def test_originals_are_changed_only_when_it_is_said_twice(folder: Path) -> None:
    before = (folder / "train.py").read_text()
    assert main(["migrate", "project/train.py", "--in-place"]) == 2
    assert (folder / "train.py").read_text() == before
    assert main(["migrate", "project/train.py", "--in-place", "--yes"]) == 0
    assert (folder / "train.py").read_text().startswith("from aml_jupyter import Run\n")
    assert list(folder.glob(".*")) == []
