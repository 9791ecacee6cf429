"""Whatever the server answers is what ``api.json`` says; the page's types are made from that."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jsonschema
import pytest
from referencing import Registry, Resource

from aml_jupyter import Experiment, Model, Run, ScriptRunConfig, Workspace
from aml_jupyter.server import app
from tests.services.jupyter import Server, home_of_its_own, running_server
from tests.support import finish, remains_of_a_build, script

API = json.loads((Path(app.__file__).parent / "api.json").read_text())
WIRE = Path(app.__file__).parents[2] / "labextension" / "wire"


def definitions() -> dict[str, Any]:
    """All types of the schema, those it takes from the wire's among them."""
    found: dict[str, Any] = {}
    for path in sorted(WIRE.glob("*.schema.json")):
        schema = json.loads(path.read_text())
        found.update(schema.get("$defs", {}))
        found[schema["title"]] = {k: v for k, v in schema.items() if k not in ("$defs", "$id")}
    return {**found, **API["$defs"]}


def linked(schema: Any) -> Any:
    """References by a bare name lead to the type of that name."""
    if isinstance(schema, list):
        return [linked(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: linked(value) for key, value in schema.items()}
    if isinstance(made.get("$ref"), str):
        made["$ref"] = "#/$defs/" + made["$ref"].rsplit("/", 1)[-1]
    return made


ALL = {"$id": "urn:aml", "$defs": linked(definitions())}
DRAFT = "https://json-schema.org/draft/2020-12/schema"
REGISTRY: Registry[Any] = Registry().with_resource(
    "urn:aml", Resource.from_contents({"$schema": DRAFT, **ALL})
)


def check(name: str, content: Any) -> None:
    """Fail where the content is not of that type, or has what the type does not know."""
    schema = {"$ref": f"urn:aml#/$defs/{name}"}
    jsonschema.Draft202012Validator(schema, registry=REGISTRY).validate(content)
    known = ALL["$defs"][name].get("properties")
    if known is not None:
        assert set(content) <= set(known), set(content) - set(known)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with home_of_its_own() as made:
        yield made


@pytest.fixture(scope="module")
def run(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that failed after it had logged, in a project that has others."""
    project = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        patch.setenv("AML_RUNNER_IDLE_SECONDS", "20")
        experiment = Experiment(Workspace.from_config(), "checked")
        text = """
            from aml_jupyter import Run
            run = Run.get_context()
            run.log("loss", 0.5)
            run.log("not finite", float("nan"))
            print("a line")
            raise RuntimeError("it broke")
            """
        script(project, text)
        run = experiment.submit(ScriptRunConfig(str(project), script="train.py"), tags={"a": "b"})
        finish(run, 60)
        child = experiment.start_logging(snapshot_directory=None)
        child.child_run(name="inner").complete()
    (run.folder / "outputs").mkdir(exist_ok=True)
    (run.folder / "outputs" / "a.txt").write_text("a")
    return run


@pytest.fixture(scope="module")
def server(run: Run, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = run.experiment.workspace.folder.project
    with running_server(tmp_path_factory.mktemp("server"), root) as started:
        yield started


QUERIES: dict[str, dict[str, Any]] = {
    "runs": {"filter": "children:yes", "sort": "created", "descending": "true"},
    "groups": {"by": "experiment"},
    "options": {"path": "train.py"},
}
BODIES: dict[str, Any] = {
    "run/{place}/{run}/{action}": {"name": "seen", "value": "yes"},
    "compare": {"runs": [], "ranges": True},
    "environments/prune": {"keys": []},
    "models": {"name": "net", "version": 1},
    "submit": {"do": "check", "path": "train.py", "values": {}},
}


@pytest.fixture
def model(run: Run) -> Model:
    """A model that can be deleted."""
    return Model.register(run.experiment.workspace, str(run.folder / "outputs" / "a.txt"), "net")


@pytest.fixture
def build(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is left of a build, which can be read and removed."""
    monkeypatch.setenv("AML_HOME", str(server.home))
    return remains_of_a_build(time.time())


def all_of(server: Server, place: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = server.ask("runs", place=place).json["rows"]
    return rows


@pytest.mark.parametrize(
    "route", API["routes"], ids=lambda route: f"{route['method']} {route['path']}"
)
def test_each_route_answers_what_the_schema_says(
    server: Server, run: Run, build: str, model: Model, route: dict[str, Any]
) -> None:
    answer_type = route["answer"]
    if answer_type == "websocket":
        return
    place = server.place()
    named = {"place": place, "run": run.id, "action": "tag"}
    file = "train.py" if route["path"].startswith("source/") else "outputs/a.txt"
    path = route["path"].format(**named, path=file)
    other = next(row["id"] for row in all_of(server, place) if row["id"] != run.id)
    query = {"place": place, "with": other, "key": build, **QUERIES.get(route["path"], {})}
    given = urlencode({name: query[name] for name in route.get("query", ()) if name in query})
    body = BODIES.get(route["path"])
    if body is not None and "runs" in body:
        body = {**body, "runs": [run.id]}
    if body is not None and "keys" in body:
        body = {**body, "keys": [build]}
    if body is not None and "version" in body:
        body = {**body, "version": model.version}
    if body is not None and "body" in route:
        check(route["body"], body)
    answer = server.ask(f"{path}?{given}", route["method"], body)
    assert answer.status == 200, answer
    if answer_type == "bytes":
        assert answer.body == b"a"
    else:
        check(answer_type, answer.json)


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("runs", {}, 400),
        ("runs", {"place": "nowhere"}, 404),
        ("runs", {"filter": "state:nonsense"}, 400),
        ("runs", {"sort": "beauty"}, 400),
        ("runs", {"limit": "many"}, 400),
        ("groups", {}, 400),
        ("groups", {"by": "colour"}, 400),
        ("run/nowhere/x", {}, 404),
        ("nothing", {}, 404),
    ],
)
def test_what_cannot_be_answered_is_a_problem_with_a_hint(
    server: Server, path: str, query: dict[str, str], status: int
) -> None:
    asked = dict(query)
    if path in ("runs", "groups") and (query or path == "groups"):
        asked.setdefault("place", server.place())
    answer = server.ask(path, **asked)
    assert answer.status == status, answer
    check("Problem", answer.json)
    assert answer.json["hint"]


@pytest.mark.parametrize(("path", "found"), [("runs", "rows"), ("groups", "groups")])
def test_a_filter_that_is_still_typed_is_answered_with_what_is_wrong_about_it(
    server: Server, path: str, found: str
) -> None:
    asked = {"place": server.place(), "by": "experiment", "filter": "metric.loss<"}
    refused = server.ask(path, **asked)
    assert refused.status == 400
    answer = server.ask(path, **asked, typed="1")
    assert answer.status == 200
    check("RunList" if path == "runs" else "GroupList", answer.json)
    assert answer.json["problem"] == refused.json
    assert (answer.json["total"], answer.json[found]) == (0, [])
    whole = server.ask(path, **{**asked, "filter": "metric.loss"}, typed="1").json
    assert whole["total"] == 1
    assert "problem" not in whole
    # Nobody types how a list is sorted.
    assert server.ask("runs", place=asked["place"], sort="beauty", typed="1").status == 400


def test_a_run_tells_where_it_came_from(server: Server, run: Run) -> None:
    detail = server.ask(f"run/{server.place()}/{run.id}").json
    assert detail["row"]["status"] == "Failed"
    assert detail["row"]["metrics"] == {"loss": 0.5, "not finite": None}
    assert detail["folder"] == f".aml/runs/{run.id}"
    assert detail["script"] == "train.py"
    assert detail["cell"] is None
    assert "it broke" in detail["error"]


def test_what_is_told_over_the_websocket_is_what_the_schema_says(server: Server, run: Run) -> None:
    socket = server.live()
    part = {"path": "outputs/a.txt", "from": 0, "count": 10, "token": "t"}
    asked = [
        {"kind": "watch", "place": server.place(), "level": "rows", "since": 0},
        {"kind": "open", "view": "v", "place": server.place(), "runs": [run.id]},
        {"kind": "ask", "view": "v", "asked": {"kind": "files"}},
        {"kind": "ask", "view": "v", "asked": {**part, "kind": "bytes"}},
        {"kind": "open", "view": "w", "place": server.place(), "runs": ["no-such-run"]},
    ]
    for message in asked:
        check("LiveAsked", message)
        socket.send(json.dumps(message))
    wanted, seen, data = {"counts", "behind", "state", "told", "failed"}, set(), b""
    end = time.monotonic() + 30
    while (wanted - seen or not data) and time.monotonic() < end:
        opcode, frame = socket.recv_data()
        length = int.from_bytes(frame[:4], "little") if opcode == 2 else 0
        told = json.loads(frame[4 : 4 + length] if length else frame)
        check("LiveTold", told)
        seen.add(told["kind"])
        if length:
            start = 4 + length + -(4 + length) % 8
            data = frame[start:]
            assert told["told"]["kind"] == "bytes"
    assert seen >= wanted
    assert data == b"a"
    socket.close()
    socket.shutdown()
