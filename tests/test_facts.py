"""What a run tells about itself: parameters, source, environment, git; and what it keeps secret."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from aml_jupyter import Environment, Experiment, Run, ScriptRunConfig
from aml_jupyter.job import layout
from aml_jupyter.notebook import capture, captured, load_ipython_extension, unload_ipython_extension
from aml_jupyter.spec import CondaDependencies, JobSpec, RunRequest
from aml_jupyter.spec.words import HIDDEN, looks_secret
from aml_jupyter.workspace.facts import facts_of, parameters_in, parameters_of
from tests.support import experiment, finish, project, script, ws

__all__ = ["experiment", "project", "ws"]


def section(facts: dict[str, Any], title: str) -> dict[str, str]:
    """The facts under a title, by name."""
    return {
        fact["name"]: fact["value"]
        for each in facts["sections"]
        if each["title"] == title
        for fact in each["facts"]
    }


def text(facts: dict[str, Any], title: str) -> str:
    """The longer text with that title; "" if there is none."""
    return "".join(each["text"] for each in facts["texts"] if each["title"] == title)


def parameters(*arguments: str) -> dict[str, str]:
    return parameters_in(RunRequest("x", "e", job=JobSpec("train.py", None, arguments)))


# Parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--lr", "0.1", "--epochs=5"], {"lr": "0.1", "epochs": "5"}),
        (["--amp", "--lr", "-0.5"], {"amp": "yes", "lr": "-0.5"}),
        (["-e", "3", "data.csv", "more"], {"e": "3", "arg 1": "data.csv", "arg 2": "more"}),
        (["--layer", "64", "--layer", "32"], {"layer": "64 32"}),
        (["model.dim=8", "+opt/x=a=b"], {"model.dim": "8", "opt/x": "a=b"}),
        (["--", "--lr", "1"], {"arg 1": "--lr", "arg 2": "1"}),
        (["--text="], {"text": ""}),
        (["--note", "two\nlines"], {"note": "two\nlines"}),
        (["--api-key", "k", "--hf_token=t"], {"api-key": HIDDEN, "hf_token": HIDDEN}),
        (["--index", "https://me:pw@x.org/a"], {"index": "https://x.org/a"}),
    ],
)
def test_parameters_are_read_from_the_arguments(
    arguments: Sequence[str], found: dict[str, str]
) -> None:
    assert parameters(*arguments) == found


def test_a_command_tells_its_options_and_assignments() -> None:
    command = "cd src && SEED=3 python -u train.py --lr 0.1 --amp | tee log"
    job = JobSpec(None, command)
    assert parameters_in(RunRequest("x", "e", job=job)) == {
        **{"SEED": "3", "u": "train.py"},  # only the program knows that -u takes no value
        **{"lr": "0.1", "amp": "yes"},
    }
    assert parameters_in(RunRequest("x", "e", job=JobSpec(None, "echo 'it"))) == {}


def test_values_of_a_cell_are_parameters_but_never_hide_arguments() -> None:
    taken = [
        {"name": "lr", "how": "value", "type": "float", "value": "0.1", "size": 3},
        {"name": "epochs", "how": "value", "type": "int", "value": "2", "size": 1},
        {"name": "model", "how": "pickled", "type": "Net", "value": None, "size": 9},
        "spoiled",
    ]
    job = JobSpec("cell.py", None, ("--lr", "3"))
    request = RunRequest("x", "e", job=job, source={"captured": taken})
    assert parameters_in(request) == {"lr": "3", "lr (variable)": "0.1", "epochs": "2"}


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("HF_TOKEN", True),
        ("api-key", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("db.password", True),
        ("DB_PASS", True),
        ("AZURE_STORAGE_KEY", True),
        ("storage-account-key", True),
        ("AZURE_STORAGE_CONNECTION_STRING", True),
        ("connectionString", True),
        ("conn_str", True),
        ("SAS_URL", True),
        ("OPENAI_KEY", True),
        ("SORT_KEY", False),
        ("SSH_PUBLIC_KEY", False),
        ("group_key", False),
        ("passes", False),
        ("pass_through", False),
        ("connection", False),
        ("tokens", False),
        ("tokenizer", False),
        ("monkey", False),
        ("epochs", False),
    ],
)
def test_a_secret_is_known_by_its_name(name: str, is_secret: bool) -> None:
    assert looks_secret(name) is is_secret


# All facts ------------------------------------------------------------------------------------


@pytest.fixture
def run(experiment: Experiment, tmp_path: Path) -> Run:
    """A run that has ended, with secrets in every place that may hold one."""
    source = tmp_path / "source"
    source.mkdir()
    environment = Environment("mine")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = sys.executable
    environment.environment_variables = {"COLOUR": "blue", "WANDB_API_KEY": "hush-1"}
    environment.docker.arguments = ["-e", "MY_TOKEN=hush-2"]
    config = ScriptRunConfig(
        str(source),
        script=script(source, "print('hello')\n"),
        arguments=["--lr", 0.1, "--password", "hush-3"],
        environment=environment,
    )
    run = experiment.submit(config, tags={"model": "cnn", "empty": None})
    finish(run)
    return run


def test_facts_tell_where_a_run_comes_from_and_what_it_ran_in(run: Run) -> None:
    run.add_properties({"quality": "high"})
    facts = facts_of(run)
    assert section(facts, "Parameters") == {"lr": "0.1", "password": HIDDEN}
    source = section(facts, "Source")
    assert (source["kind"], source["script"], source["files"]) == ("folder", "train.py", "1")
    assert source["snapshot"] == run.get_snapshot_id()
    assert source["size"] == "15 bytes"
    environment = section(facts, "Environment")
    assert environment["interpreter"] == sys.executable
    assert environment["python"] == "{}.{}.{}".format(*sys.version_info)
    assert environment["$COLOUR"] == "blue"
    about = section(facts, "Run")
    assert (about["id"], about["state"], about["number"]) == (run.id, "Completed", "1")
    assert about["folder"] == str(run.folder)
    assert about["ended"].startswith("20")
    assert section(facts, "Properties")["quality"] == "high"
    assert facts["tags"] == [
        {"name": "empty", "value": ""},
        {"name": "model", "value": "cnn"},
    ]
    assert text(facts, "train.py") == "print('hello')\n"
    assert "COLOUR: blue" in text(facts, "Environment")


def test_no_secret_is_among_the_facts(run: Run) -> None:
    told = json.dumps(facts_of(run))
    assert "hush" not in told
    assert section(facts_of(run), "Environment")["$WANDB_API_KEY"] == HIDDEN


def test_passwords_of_package_indexes_are_not_in_the_record_of_a_run(
    experiment: Experiment, tmp_path: Path
) -> None:
    environment = Environment("mine")
    packages = ["--index-url https://me:hush-4@index.example/simple", "six"]
    environment.python.conda_dependencies = CondaDependencies.create(pip_packages=packages)
    path = script(tmp_path, "")
    config = ScriptRunConfig(str(tmp_path), script=path, environment=environment)
    run = experiment.submit(config)
    run.cancel()
    finish(run)
    assert all(b"hush-4" not in file.read_bytes() for file in run.folder.rglob("*.json*"))
    assert "index.example" in json.dumps(facts_of(run))


@pytest.mark.parametrize("notes", [["No 2.7.", "It is 3.8."], None, "spoiled"])
def test_what_is_otherwise_than_asked_is_among_the_facts(run: Run, notes: object) -> None:
    path = run.folder / "run.json"
    record = json.loads(path.read_text())
    record["environment"]["notes"] = notes
    path.write_text(json.dumps(record))
    told = section(facts_of(run.experiment.workspace.get_run(run.id)), "Environment")
    assert told.get("notes") == ("No 2.7. It is 3.8." if isinstance(notes, list) else None)


def test_facts_have_the_shape_that_browsers_expect(run: Run) -> None:
    schema_path = Path(__file__).parents[1] / "labextension/wire/run-view.schema.json"
    wanted = json.loads(schema_path.read_text())["$defs"]

    def check(name: str, value: dict[str, Any]) -> None:
        assert set(wanted[name]["required"]) <= set(value) <= set(wanted[name]["properties"])

    facts = facts_of(run)
    check("RunFacts", facts)
    for each in facts["sections"]:
        check("FactSection", each)
        for fact in each["facts"]:
            check("Fact", fact)
    for each in facts["texts"]:
        check("FactText", each)
        assert each["kind"] in ("diff", "text")


def test_a_rerun_and_its_diff_are_told(run: Run) -> None:
    (run.folder / "git.diff").write_text("--- a\n+++ b\n" + "+x\n" * 100_000)
    again = run.rerun()
    finish(again)
    facts = facts_of(again)
    assert section(facts, "Source")["rerun of"] == run.id
    diff = next(each for each in facts["texts"] if each["kind"] == "diff")
    assert diff["text"].startswith("--- a\n+++ b\n+x\n")
    assert len(diff["text"]) == 200_000


def test_a_run_that_lived_in_its_process_has_facts_and_no_parameters(
    experiment: Experiment,
) -> None:
    with experiment.start_logging(snapshot_directory=None, outputs=False) as run:
        facts = facts_of(run)
        assert parameters_of(run) == {}
    assert section(facts, "Source") == {"kind": "interactive"}
    assert section(facts, "Run")["state"] == "Running"
    assert facts["texts"] == []


def test_what_a_job_says_of_itself_is_bounded(run: Run) -> None:
    run.add_properties({f"name {n} {'n' * 3000}": "v" * 100_000 for n in range(3)})
    run.add_properties({f"{n:04}": "x" for n in range(1200)})
    run.tag("half a character \ud800", "\ud800" * 5000)
    facts = facts_of(run)
    named = section(facts, "Properties")
    assert len(named) == 1001
    assert max(map(len, named)) <= 200
    assert max(map(len, named.values())) <= 2000
    json.dumps(facts, ensure_ascii=False).encode()


def test_facts_outlive_the_snapshot(run: Run) -> None:
    objects = run.experiment.workspace.folder.objects
    (objects / "snapshots" / f"{run.get_snapshot_id()}.json").unlink()
    facts = facts_of(run)
    assert text(facts, "train.py") == ""
    assert section(facts, "Source")["script"] == "train.py"


# What a cell took along -----------------------------------------------------------------------


@pytest.fixture
def shell(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A notebook without a front end."""
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    ipython: Any = InteractiveShell.instance()
    ipython.reset()
    load_ipython_extension(ipython)
    yield ipython
    unload_ipython_extension(ipython)
    ipython.reset()


def test_a_cell_records_what_it_took_along_and_no_secret(shell: Any) -> None:
    shell.run_cell(
        "import os.path as p, json\nlr = 0.1\nkeep = object\n"
        "settings = {'api_key': 'hush-1'}\nhf_token = 'hush-2'\n"
        "place = 'https://me:hush-3@x.org/'\nnames = ['x' * 300]\n"
        "class Net: pass\nnet = Net()\ndef area(r):\n    return r * lr",
        store_history=True,
    )
    shell.run_cell(
        "%%aml_run --as run --wait --with net,hf_token -- --epochs 2\n"
        "print(json.dumps(area(2)), p, settings, hf_token, place, names, net)",
        store_history=True,
    )
    run = shell.user_ns["run"]
    finish(run)
    request = layout.read_json(str(run.folder / layout.REQUEST))
    found = {each["name"]: each for each in request["source"]["captured"]}
    assert found["lr"] == {
        **{"name": "lr", "how": "value", "type": "float"},
        **{"value": "0.1", "size": 3},
    }
    assert found["json"]["how"] == "import"
    assert found["json"]["type"] == "module json"
    assert (found["area"]["how"], found["area"]["type"]) == ("source", "function")
    assert (found["net"]["how"], found["net"]["type"]) == ("pickled", "Net")
    assert found["net"]["size"] > 0
    assert found["names"]["value"] == "['" + "x" * 197 + "…"
    assert found["place"]["value"] == "'https://x.org/'"
    assert {n for n, each in found.items() if each["value"] is None} == {
        *("json", "p", "area", "net"),
        *("settings", "hf_token"),
    }
    assert "hush" not in json.dumps(request["source"])
    assert "hush" not in json.dumps(facts_of(run))
    assert parameters_of(run)["lr"] == "0.1"
    assert f"settings = {HIDDEN}  (dict, value" in text(facts_of(run), "Captured")


def test_only_so_much_is_recorded_and_values_come_first() -> None:
    names = [f"x{n}" for n in range(captured.MOST + 50)]
    imports = [capture.Item("import", f"m{n}", "") for n in range(50)]
    values = [capture.Item("value", name, f"{name} = 1", size=1) for name in names]
    found = captured.record([*imports, *values], dict.fromkeys(names, 1))
    assert len(found) == captured.MOST
    assert {each["how"] for each in found} == {"value"}
