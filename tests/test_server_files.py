"""Files of runs by the server: ranges, caching, policies, and no way out of a run's folder."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from aml_jupyter import Experiment, Run, Workspace
from tests.services.jupyter import Answer, Server, empty_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with empty_server(tmp_path_factory.mktemp("files")) as started:
        (started.root / "project").mkdir()
        yield started


@pytest.fixture(autouse=True)
def here(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AML_HOME", str(server.home))
    monkeypatch.chdir(server.root / "project")


@pytest.fixture
def run(here: None) -> Run:
    """A run whose outputs the test makes."""
    found = Experiment(Workspace.from_config(), "files").start_logging()
    found.complete()
    (found.folder / "outputs").mkdir(exist_ok=True)
    return found


def put(run: Run, name: str, data: bytes) -> Path:
    path = run.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def fetch(server: Server, run: Run, path: str, method: str = "GET", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    place = server.place()
    return server.ask(f"file/{place}/{quote(run.id)}/{quote(path)}", method, headers=named)


DATA = bytes(range(256)) * 4


def test_a_file_comes_as_it_is_and_says_when_it_changes(server: Server, run: Run) -> None:
    put(run, "outputs/model.bin", DATA)
    answer = fetch(server, run, "outputs/model.bin")
    assert answer.status == 200
    assert answer.body == DATA
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Length"] == str(len(DATA))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    again = fetch(server, run, "outputs/model.bin", If_None_Match=answer.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    dated = fetch(
        server, run, "outputs/model.bin", If_Modified_Since=answer.headers["Last-Modified"]
    )
    assert dated.status == 304
    put(run, "outputs/model.bin", DATA + b"more")
    changed = fetch(server, run, "outputs/model.bin", If_None_Match=answer.headers["ETag"])
    assert (changed.status, changed.body) == (200, DATA + b"more")


@pytest.mark.parametrize(
    ("asked", "wanted", "told"),
    [
        ("bytes=0-9", DATA[:10], "bytes 0-9/1024"),
        ("bytes=1000-", DATA[1000:], "bytes 1000-1023/1024"),
        ("bytes=-24", DATA[-24:], "bytes 1000-1023/1024"),
        ("bytes=1020-9999", DATA[1020:], "bytes 1020-1023/1024"),
        ("bytes=-9999", DATA, "bytes 0-1023/1024"),
    ],
)
def test_a_range_is_that_part(
    server: Server, run: Run, asked: str, wanted: bytes, told: str
) -> None:
    put(run, "outputs/model.bin", DATA)
    answer = fetch(server, run, "outputs/model.bin", Range=asked)
    assert (answer.status, answer.body) == (206, wanted)
    assert answer.headers["Content-Range"] == told


@pytest.mark.parametrize("asked", ["bytes=1024-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(server: Server, run: Run, asked: str) -> None:
    put(run, "outputs/model.bin", DATA)
    answer = fetch(server, run, "outputs/model.bin", Range=asked)
    assert answer.status == 416
    assert answer.headers["Content-Range"] == "bytes */1024"
    assert answer.json == {"message": "The file ends after 1024 bytes.", "hint": "Ask for less."}


@pytest.mark.parametrize("asked", ["bytes=9-3", "bytes=0-1,5-6", "lines=1-2", "bytes=-", "x"])
def test_a_range_that_means_nothing_is_the_whole_file(server: Server, run: Run, asked: str) -> None:
    put(run, "outputs/model.bin", DATA)
    answer = fetch(server, run, "outputs/model.bin", Range=asked)
    assert (answer.status, answer.body) == (200, DATA)


def test_a_range_of_a_file_that_has_changed_since_is_the_whole_file(
    server: Server, run: Run
) -> None:
    put(run, "outputs/model.bin", DATA)
    tag = fetch(server, run, "outputs/model.bin").headers["ETag"]
    same = fetch(server, run, "outputs/model.bin", Range="bytes=0-9", If_Range=tag)
    assert (same.status, same.body) == (206, DATA[:10])
    put(run, "outputs/model.bin", DATA + b"!")
    other = fetch(server, run, "outputs/model.bin", Range="bytes=0-9", If_Range=tag)
    assert (other.status, other.body) == (200, DATA + b"!")


def test_head_tells_what_get_would_without_the_bytes(server: Server, run: Run) -> None:
    put(run, "outputs/model.bin", DATA)
    answer = fetch(server, run, "outputs/model.bin", "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == "1024"
    part = fetch(server, run, "outputs/model.bin", "HEAD", Range="bytes=0-9")
    assert (part.status, part.headers["Content-Length"]) == (206, "10")


def test_a_download_is_an_attachment_under_its_own_name(server: Server, run: Run) -> None:
    put(run, "outputs/größe & so.csv", b"a,b\n1,2\n")
    path = f"file/{server.place()}/{run.id}/{quote('outputs/größe & so.csv')}"
    answer = server.ask(path, download=1)
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert quote("größe & so.csv") in answer.headers["Content-Disposition"].replace("+", "%20")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("a.svg", "image/svg+xml"),
        ("a.PNG", "image/png"),
        ("a.log", "text/plain; charset=utf-8"),
        ("a.py", "text/plain; charset=utf-8"),
        ("a.js", "text/plain; charset=utf-8"),
        ("a.ipynb", "application/json"),
        ("a.tar.gz", "application/gzip"),
        ("a", "application/octet-stream"),
    ],
)
def test_no_file_of_a_run_may_run_anything(server: Server, run: Run, name: str, kind: str) -> None:
    put(run, f"outputs/{name}", b"<script>parent.alert(document.cookie)</script>")
    answer = fetch(server, run, f"outputs/{name}")
    assert answer.headers["Content-Type"] == kind
    policy = answer.headers.get_all("Content-Security-Policy")  # type: ignore[attr-defined]
    assert len(policy) == 1
    rules = [rule.strip() for rule in policy[0].split(";")]
    assert "sandbox" in rules  # and nothing is allowed in it
    assert "default-src 'none'" in rules
    assert not any(rule.startswith("script-src") for rule in rules)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    [
        "../../workspace.json",
        "outputs/../../../workspace.json",
        "%2e%2e/%2e%2e/workspace.json",
        "..%2f..%2fworkspace.json",
        "outputs/%2e%2e%2f%2e%2e%2f%2e%2e%2fworkspace.json",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "outputs",
        "outputs/",
        "outputs/.",
        "outputs/missing",
        "outputs/a%00b",
        "outputs/" + "x" * 300,
        "outputs/%ff",
        "C:%5cwindows%5cwin.ini",
    ],
)
def test_no_path_leads_out_of_the_run(server: Server, run: Run, path: str) -> None:
    answer = server.ask(f"file/{server.place()}/{run.id}/{path}")
    assert answer.status in (400, 404), answer.body
    assert set(answer.json) == {"message", "hint"}
    assert b"Traceback" not in answer.body


def test_links_are_followed_inside_the_run_and_nowhere_else(
    server: Server, run: Run, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "secret.txt").write_text("secret")
    put(run, "outputs/epoch-3.ckpt", b"weights")
    os.symlink("epoch-3.ckpt", run.folder / "outputs" / "latest.ckpt")
    os.symlink(secret, run.folder / "outputs" / "away.txt")
    os.symlink(tmp_path / "folder", run.folder / "outputs" / "away")
    os.symlink("../../../workspace.json", run.folder / "outputs" / "up.json")
    os.symlink("loop", run.folder / "outputs" / "loop")
    assert fetch(server, run, "outputs/latest.ckpt").body == b"weights"
    for name in ("away.txt", "away/secret.txt", "up.json", "loop"):
        answer = fetch(server, run, f"outputs/{name}")
        assert answer.status == 404, name
        assert b"secret" not in answer.body.replace(b"secret.txt", b"")


def test_pipes_and_sockets_keep_nobody_waiting(server: Server, run: Run) -> None:
    os.mkfifo(run.folder / "outputs" / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(run.folder / "outputs")
        made.bind("socket")
        begun = time.monotonic()
        assert fetch(server, run, "outputs/pipe").status == 404
        assert fetch(server, run, "outputs/socket").status == 404
        assert time.monotonic() - begun < 5


def test_what_is_written_meanwhile_is_there_the_next_time(server: Server, run: Run) -> None:
    path = put(run, "logs/growing.log", b"one\n")
    assert fetch(server, run, "logs/growing.log").body == b"one\n"
    with path.open("ab") as file:
        file.write(b"two\n")
    more = fetch(server, run, "logs/growing.log", Range="bytes=4-")
    assert (more.status, more.body) == (206, b"two\n")


def test_a_large_file_is_sent_in_pieces_while_others_are_answered(server: Server, run: Run) -> None:
    size = 256 << 20
    with (run.folder / "outputs" / "large.bin").open("wb") as file:
        file.truncate(size)
    before = server.memory()
    path = server.address(f"file/{server.place()}/{run.id}/outputs/large.bin")
    with socket.create_connection(("127.0.0.1", server.port), 10) as slow:
        lines = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: token {server.token}\r\n\r\n"
        )
        slow.sendall(lines.encode())
        assert slow.recv(1000).startswith(b"HTTP/1.1 200")
        # It is read no further: the server neither takes it all into memory nor waits for it.
        time.sleep(0.5)
        assert server.ask("hello").status == 200
        assert server.memory() - before < 64 << 20
    answer = fetch(server, run, "outputs/large.bin", Range=f"bytes={size - 1}-")
    assert (answer.status, answer.body) == (206, b"\0")


def test_a_run_that_is_not_there_is_said_so(server: Server, run: Run) -> None:
    answer = server.ask(f"file/{server.place()}/no-such-run/outputs/a")
    assert answer.status == 404
    assert answer.json["message"].startswith("There is no run no-such-run")
    assert server.ask(f"file/0123456789ab/{run.id}/outputs/a").status == 404
