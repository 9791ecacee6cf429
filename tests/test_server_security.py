"""Who may ask the server about runs: nobody without a token, and some only for some things."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import websocket

from aml_jupyter import Experiment, Run, Workspace
from aml_jupyter.server import app
from tests.services.jupyter import Answer, Server, home_of_its_own, running_server

API = json.loads((Path(app.__file__).parent / "api.json").read_text())
READS = [each for each in API["routes"] if each["method"] == "GET" or each.get("needs") == "read"]
WRITES = [each for each in API["routes"] if each not in READS]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with home_of_its_own() as made:
        yield made


@pytest.fixture(scope="module")
def run(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of a project of its own, with a file."""
    project = tmp_path_factory.mktemp("root") / "project"
    project.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        found = Experiment(Workspace.from_config(), "secured").start_logging()
    found.complete()
    (found.folder / "outputs").mkdir(exist_ok=True)
    (found.folder / "outputs" / "a.txt").write_text("a")
    return found


def root_of(run: Run) -> Path:
    return run.experiment.workspace.folder.project.parent


@pytest.fixture(scope="module")
def server(run: Run, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that lies below an address of its own, as JupyterHub has it."""
    folder = tmp_path_factory.mktemp("server")
    with running_server(folder, root_of(run), base="/user/ann/") as started:
        yield started


def path_of(route: dict[str, str], server: Server, run: Run, action: str = "archive") -> str:
    names = {"place": server.place(), "run": run.id, "path": "outputs/a.txt", "action": action}
    return route["path"].format(**names)


def assert_problem(answer: Answer, *statuses: int) -> None:
    """It is refused in words, and in nothing but words."""
    assert answer.status in statuses, answer
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.json) == {"message", "hint"}
    assert answer.json["message"]
    assert answer.json["hint"]
    assert b"Traceback" not in answer.body
    assert b"<" not in answer.body


def name_of(route: dict[str, str]) -> str:
    return f"{route['method']} {route['path']}"


def test_the_schema_lists_the_routes_that_there_are() -> None:
    """Each address of the schema leads to a handler with that method, and every handler has one."""
    kinds = [(re.compile(pattern), handler) for pattern, handler in app.ROUTES]
    found = set()
    for route in API["routes"]:
        path = "/aml/api/" + re.sub(r"\{\w+\}", "x", route["path"])
        handler = next(handler for pattern, handler in kinds if pattern.fullmatch(path))
        assert handler.__name__ != "Unknown", path
        method = getattr(handler, route["method"].lower())
        assert method.__qualname__.startswith(handler.__name__), path
        found.add(handler)
    assert found == {handler for _, handler in kinds if handler.__name__ != "Unknown"}


@pytest.mark.parametrize("route", API["routes"], ids=name_of)
@pytest.mark.parametrize("token", [None, "wrong"], ids=["no token", "wrong token"])
def test_no_route_answers_a_stranger(
    server: Server, run: Run, route: dict[str, str], token: str | None
) -> None:
    path = path_of(route, server, run)
    if route["path"] == "live":
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            server.live(token=token)
        assert refused.value.status_code == 403
        return
    body = {} if route["method"] == "POST" else None
    assert_problem(server.ask(path, route["method"], body, token=token), 403)
    if route["method"] == "GET":
        assert server.ask(path, "HEAD", token=token).status in (403, 405)


@pytest.mark.parametrize("path", ["nothing", "run", "run/a/b/c/d", "file/a", ""])
def test_what_is_no_route_is_told_as_everything_else(server: Server, path: str) -> None:
    assert_problem(server.ask(path), 404)
    assert_problem(server.ask(path, token=None), 403)


@pytest.mark.parametrize("route", WRITES, ids=name_of)
def test_a_page_that_is_logged_in_needs_its_xsrf_token_to_change_anything(
    server: Server, run: Run, route: dict[str, str]
) -> None:
    """A cookie alone is what another site's form would come with."""
    cookies = logged_in(server)
    path = server.address(path_of(route, server, run, "cancel"))
    sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    assert_problem(server.raw("POST", path, b"{}", sent), 403)
    xsrf = {**sent, "X-XSRFToken": cookies["_xsrf"]}
    assert server.raw("POST", path, b"{}", xsrf).status != 403
    foreign = {**xsrf, "Origin": "http://elsewhere.example"}
    assert_problem(server.raw("POST", path, b"{}", foreign), 403, 404)


def logged_in(server: Server) -> dict[str, str]:
    """The cookies of a browser that has shown its token once."""
    found: dict[str, str] = {}
    for path in (f"{server.base}?token={server.token}", f"{server.base}login"):
        cookie = "; ".join(f"{name}={value}" for name, value in found.items())
        answer = server.raw("GET", path, headers={"Cookie": cookie} if cookie else {})
        for line in answer.headers.get_all("Set-Cookie") or []:  # type: ignore[attr-defined]
            name, _, value = line.partition(";")[0].partition("=")
            found[name] = value
    return found


def test_the_websocket_is_for_pages_of_this_server(server: Server) -> None:
    cookies = logged_in(server)
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    own = f"http://127.0.0.1:{server.port}"
    server.live(token=None, cookie=cookie, origin=own).close()
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        server.live(token=None, cookie=cookie, origin="http://elsewhere.example")
    assert refused.value.status_code == 403


def test_everything_lies_below_the_address_of_the_server(server: Server) -> None:
    sent = {"Authorization": f"token {server.token}"}
    assert server.raw("GET", "/user/ann/aml/api/hello", headers=sent).status == 200
    assert server.raw("GET", "/aml/api/hello", headers=sent).status == 404


def test_who_may_only_read_can_change_nothing(run: Run, home: Path, tmp_path: Path) -> None:
    option = "--ServerApp.authorizer_class=tests.services.authorizers.NoWriting"
    with running_server(tmp_path, root_of(run), option) as server:
        for route in READS:
            if route["path"] == "live":
                server.live().close()
                continue
            path, body = path_of(route, server, run), {} if route["method"] == "POST" else None
            answer = server.ask(path, route["method"], body, place=server.place())
            assert answer.status in ((200,) if "{" in path else (200, 400)), answer
        for route in WRITES:
            assert_problem(server.ask(path_of(route, server, run), "POST", {}), 403)
        refused = refused_in_a_view(server, run)
    assert refused == "You may not change runs on this server."
    assert not run._read().archived
    assert not run.tags


def refused_in_a_view(server: Server, run: Run) -> str:
    """What a view says when it is asked to tag its run."""
    socket = server.live()
    view, tag = {"view": "v"}, {"kind": "tag", "name": "a", "value": "b"}
    opened = {"kind": "open", **view, "place": server.place(), "runs": [run.id]}
    for message in (opened, {"kind": "ask", **view, "asked": tag}):
        socket.send(json.dumps(message))
    socket.settimeout(20)
    while True:
        told = json.loads(socket.recv()).get("told") or {}
        if told.get("bad"):
            socket.close()
            socket.shutdown()
            return str(told["said"])


def test_who_may_not_read_sees_nothing(run: Run, home: Path, tmp_path: Path) -> None:
    option = "--ServerApp.authorizer_class=tests.services.authorizers.Nothing"
    with running_server(tmp_path, root_of(run), option) as server:
        for route in API["routes"]:
            path = route["path"].format(place="p", run=run.id, path="a", action="cancel")
            if path == "live":
                with pytest.raises(websocket.WebSocketBadStatusException) as refused:
                    server.live()
                assert refused.value.status_code == 403
            else:
                body = {} if route["method"] == "POST" else None
                assert_problem(server.ask(path, route["method"], body), 403)


def test_a_server_that_only_shows_changes_nothing(run: Run, home: Path, tmp_path: Path) -> None:
    with running_server(tmp_path, root_of(run), "--AmlServer.read_only=True") as server:
        assert server.ask("hello").json["read_only"] is True
        for action in ("cancel", "rerun", "archive", "restore", "delete", "tag", "untag", "name"):
            path = f"run/{server.place()}/{run.id}/{action}"
            answer = server.ask(path, "POST", {"name": "a"})
            assert_problem(answer, 403)
            assert "AmlServer.read_only" in answer.json["hint"]
        for route in WRITES:
            assert_problem(server.ask(path_of(route, server, run), "POST", {}), 403)
        assert refused_in_a_view(server, run)
    assert run.folder.exists()
    assert not run.tags
    assert not run._read().archived
