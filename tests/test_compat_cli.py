"""``aml compat`` and ``aml doctor``: turning v1's import names on and off, and who has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import script

ROOT = Path(__file__).parents[1]
SAYS_WHOSE = "import azureml.core as c; print(c.VERSION, c)"
OURS = "1.61.0 <module 'azureml.core' (aml_jupyter)>"

Done = subprocess.CompletedProcess[str]


class Place:
    """An interpreter and an IPython profile of the test's own, with our packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")]
        subprocess.run(command, check=True)
        self.packages = next((folder / "venv" / "lib").glob("python*/site-packages"))
        ours = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
        (self.packages / "ours.pth").write_text("\n".join(ours))
        self.profile = folder / "ipython" / "profile_default" / "ipython_config.py"

    def python(self, *words: str, **variables: str) -> Done:
        environment = {**os.environ, "IPYTHONDIR": str(self.folder / "ipython"), **variables}
        environment.pop("PYTHONPATH", None)
        return subprocess.run(
            [self.folder / "venv" / "bin" / "python", *words],
            env={**environment, **variables},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def aml(self, *words: str, **variables: str) -> str:
        done = self.python("-m", "aml_jupyter", *words, **variables)
        assert not done.returncode, done.stderr
        return done.stdout


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_on_is_for_scripts_and_notebooks_and_off_takes_exactly_that_away(place: Place) -> None:
    startup = place.packages / "sitecustomize.py"
    script(place.folder, "here = 1  # mine", str(startup))
    script(place.folder, "c.TerminalIPythonApp.display_banner = False", str(place.profile))
    before = {path: path.read_text().splitlines() for path in (startup, place.profile)}

    told = place.aml("compat", "on")
    assert str(startup) in told
    assert str(place.profile) in told
    written = {*startup.read_text().splitlines(), *place.profile.read_text().splitlines()}
    told_and_own = {line.strip() for line in told.splitlines()}.union(*before.values())
    assert {line.strip() for line in written} <= told_and_own
    mine = place.python("-c", SAYS_WHOSE + "; import sitecustomize; print(sitecustomize.here)")
    assert mine.stdout == f"{OURS}\n1\n"
    shown = place.python("-m", "IPython", "--colors=NoColor", "-c", SAYS_WHOSE + "\n%aml_runs?")
    assert OURS in shown.stdout, shown
    assert "changed" not in place.aml("compat", "status")
    assert json.loads(place.aml("compat", "on", "--json")) == {
        "changed": [],
        "notebooks": True,
        "scripts": True,
    }
    for words in (["--json"], ["--json", "status"], ["status", "--json"]):
        assert json.loads(place.aml("compat", *words))["notebooks"] is True

    place.aml("compat", "off")
    assert {path: path.read_text().splitlines() for path in before} == before
    assert "No module named 'azureml'" in place.python("-c", SAYS_WHOSE).stderr


def test_off_leaves_no_file_that_on_made(place: Place) -> None:
    place.aml("compat", "on")
    place.aml("compat", "off")
    assert not (place.packages / "sitecustomize.py").exists()
    assert not place.profile.exists()


def test_one_script_runs_with_the_names_as_python_runs_it(place: Place) -> None:
    script(
        place.folder,
        f"""
        import subprocess, sys
        {SAYS_WHOSE}
        print(sys.argv, __name__, sys.path[0])
        subprocess.run([sys.executable, "-c", {SAYS_WHOSE!r}], check=True)
        import numpy
        print(numpy.float(3))
        """,
        "sub/old.py",
    )
    done = place.python("-m", "aml_jupyter", "compat", "run", "--shims", "sub/old.py", "--json")
    sub = place.folder / "sub"
    assert sorted(done.stdout.splitlines()) == [
        OURS,
        OURS,
        "3.0",
        f"['sub/old.py', '--json'] __main__ {sub}",
    ], done.stderr
    module = place.python("-m", "aml_jupyter", "compat", "run", "-m", "sub.old", "x")
    assert f"['{sub}/old.py', 'x'] __main__ {place.folder}" in module.stdout
    assert "has no attribute 'float'" in module.stderr


def test_what_cannot_be_run_says_so(place: Place) -> None:
    for words, told in ((["nope.py"], "There is no script nope.py"), (["-m"], "No script")):
        done = place.python("-m", "aml_jupyter", "compat", "run", *words)
        assert (done.returncode, told in done.stderr) == (2, True)
    done = place.python("-m", "aml_jupyter", "compat", "onn")
    assert (done.returncode, "Did you mean on" in done.stderr) == (2, True)


def test_the_doctor_says_who_answers(place: Place) -> None:
    def found() -> tuple[object, str]:
        done = place.python("-m", "aml_jupyter", "doctor", "--json")
        findings = {each["name"]: each for each in json.loads(done.stdout)["findings"]}
        return findings["azureml"]["works"], findings["azureml"]["detail"]

    state = "notebooks off, scripts off; always on in jobs"
    assert found() == (True, f"import azureml.core finds ours: {state}")
    script(place.packages, "VERSION = 'the SDK'", "azureml/core/__init__.py")
    script(
        place.packages,
        "Metadata-Version: 2.1\nName: azureml-core\nVersion: 1.60.0.post1\n",
        "azureml_core-1.60.0.post1.dist-info/METADATA",
    )
    works, detail = found()
    assert (works, "azureml-core 1.60.0.post1 is installed" in detail) == (None, True)
    assert "wins over ours" in detail
    assert "the SDK" in place.python("-m", "aml_jupyter", "compat", "run", "-c", SAYS_WHOSE).stdout


def test_a_notebook_has_the_names_while_the_extension_is_loaded(place: Place) -> None:
    done = place.python(
        "-c",
        """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
imports = "import azureml.core; from azureml.core import Run; print(azureml.core.VERSION)"
shell.run_line_magic("load_ext", "aml_jupyter")
shell.run_cell(imports)
shell.run_line_magic("unload_ext", "aml_jupyter")
print(type(shell.run_cell("import azureml.core").error_in_exec).__name__)
shell.run_line_magic("load_ext", "aml_jupyter")
shell.run_cell(imports)
""",
    )
    told = [line for line in done.stdout.splitlines() if not line.startswith("\x1b")]
    assert [told[0], told[-1]] == ["1.61.0", "1.61.0"], done
    assert "ModuleNotFoundError" in told
