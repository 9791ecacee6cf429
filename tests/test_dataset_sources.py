"""Data at addresses: fetched once, kept by its content, used where nobody answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest

from aml_jupyter import Dataset, FileDataset, Workspace
from aml_jupyter.assets.resolve import locate
from aml_jupyter.errors import StorageFullError, UserErrorException
from tests.support import project, until, ws

__all__ = ["project", "ws"]


@dataclass
class Site:
    """A web server on loopback: what it has, what it was asked, and how it behaves."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    marks: bool = True
    cut_after: int | None = None
    pause: float = 0.0
    close: Callable[[], None] = lambda: None

    def sent(self, path: str) -> int:
        """How often the whole file was sent."""
        return self.asked.count((path, 200))


@pytest.fixture
def site() -> Iterator[Site]:
    """A server that marks its files with an ETag and knows "not modified"."""
    made = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = made.files.get(self.path)
            if content is None:
                made.asked.append((self.path, 404))
                return self.send_error(404)
            mark = f'"{hash(content)}"'
            if made.marks and self.headers.get("If-None-Match") == mark:
                made.asked.append((self.path, 304))
                self.send_response(304)
                return self.end_headers()
            made.asked.append((self.path, 200))
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            if made.marks:
                self.send_header("ETag", mark)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            time.sleep(made.pause)
            self.wfile.write(content[len(content) // 2 : made.cut_after])
            return None

        def log_message(self, *words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()
        made.close = lambda: None

    made.address, made.close = f"http://127.0.0.1:{server.server_port}", close
    yield made
    made.close()


def content_of(dataset: FileDataset) -> bytes:
    """What the one file of a dataset holds."""
    single = dataset.located().single
    assert single is not None
    return Path(single).read_bytes()


# http -----------------------------------------------------------------------------------------


def test_a_url_is_one_file_with_its_own_name_that_is_fetched_once(
    ws: Workspace, site: Site
) -> None:
    site.files["/data/train.csv.gz?sig=1"] = b"abc"
    dataset = Dataset.File.from_files(f"{site.address}/data/train.csv.gz?sig=1")
    assert site.asked == []
    found = dataset.located()
    assert found.single is not None
    assert Path(found.single).name == "train.csv.gz"
    assert content_of(dataset) == content_of(dataset) == b"abc"
    assert [answer for _, answer in site.asked] == [200, 304, 304]


def test_urls_keep_their_hosts_as_folders(ws: Workspace, site: Site, project: Path) -> None:
    site.files.update({"/a/x.gz": b"1", "/b/x.gz": b"2"})
    dataset = Dataset.File.from_files([f"{site.address}/a/x.gz", f"{site.address}/b/x.gz"])
    host = site.address.partition("://")[2]
    assert dataset.to_path() == [f"/http%3A/%2F{host}/a/x.gz", f"/http%3A/%2F{host}/b/x.gz"]
    assert site.asked == []
    assert dataset.located().single is None
    paths = dataset.download("data")
    assert [Path(path).read_bytes() for path in paths] == [b"1", b"2"]
    assert sorted(Path("data").glob("**/x.gz")) == [
        Path(path).relative_to(project) for path in paths
    ]
    Path(paths[0]).write_text("a copy is the user's own")
    assert content_of(Dataset.File.from_files(f"{site.address}/a/x.gz")) == b"1"


def test_what_changed_is_fetched_again(ws: Workspace, site: Site) -> None:
    site.files["/x"] = b"old"
    dataset = Dataset.File.from_files(f"{site.address}/x")
    assert content_of(dataset) == b"old"
    site.files["/x"] = b"new"
    assert content_of(dataset) == b"new"


def test_a_server_without_marks_is_believed_when_the_length_is_the_same(
    ws: Workspace, site: Site
) -> None:
    site.marks = False
    site.files["/x"] = b"old"
    dataset = Dataset.File.from_files(f"{site.address}/x")
    assert content_of(dataset) == b"old"
    site.files["/x"] = b"longer"
    assert content_of(dataset) == b"longer"


def test_offline_what_was_fetched_before_is_used_and_that_is_said(
    ws: Workspace, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.files["/x"] = b"abc"
    dataset = Dataset.File.from_files(f"{site.address}/x")
    content_of(dataset)
    assert capsys.readouterr().err == ""
    site.close()
    assert content_of(dataset) == b"abc"
    assert f"{site.address}/x cannot be reached" in capsys.readouterr().err
    with pytest.raises(UserErrorException, match=rf"/y cannot be reached[^$]*{site.address}/x"):
        Dataset.File.from_files(f"{site.address}/y").located()


def test_a_file_that_a_server_does_not_have_is_told(ws: Workspace, site: Site) -> None:
    dataset = Dataset.File.from_files(f"{site.address}/gone")
    with pytest.raises(UserErrorException, match=r"/gone cannot be reached: .*404[^$]*AML_MIRRORS"):
        dataset.located()


def test_a_damaged_file_of_the_cache_is_noticed_and_fetched_again(
    ws: Workspace, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.files["/x"] = b"abc"
    dataset = Dataset.File.from_files(f"{site.address}/x")
    kept = Path(str(dataset.located().single))
    kept.chmod(0o644)
    kept.write_bytes(b"abd")
    assert content_of(dataset) == b"abc"
    assert "is damaged; it is fetched again" in capsys.readouterr().err
    assert site.sent("/x") == 2
    os.utime(kept)  # touched, and still what it was
    assert content_of(dataset) == b"abc"
    assert site.sent("/x") == 2


@pytest.mark.parametrize("damaged", ["{}", "[]", "{", '{"sha256": null, "name": "x"}'])
def test_a_damaged_record_of_the_cache_is_as_good_as_none(
    ws: Workspace, site: Site, damaged: str
) -> None:
    site.files["/x"] = b"abc"
    dataset = Dataset.File.from_files(f"{site.address}/x")
    assert content_of(dataset) == b"abc"
    (record,) = (ws.folder.root / "datasets/cache/addresses").glob("*.json")
    record.write_text(damaged)
    with pytest.raises(UserErrorException, match="Nothing is kept of other addresses"):
        Dataset.File.from_files(f"{site.address}/gone").located()
    assert content_of(dataset) == b"abc"


def test_addresses_that_differ_after_the_question_mark_are_files_of_their_own(
    ws: Workspace, site: Site
) -> None:
    site.files.update({"/f.csv?id=1": b"1", "/f.csv?id=2": b"2"})
    addresses = [f"{site.address}/f.csv?id={number}" for number in (1, 2, 2)]
    dataset = Dataset.File.from_files(addresses)
    assert len(set(dataset.to_path())) == 2
    assert all(path.endswith(".csv") for path in dataset.to_path())
    assert [Path(path).read_text() for path in dataset.download()] == ["1", "2"]
    with dataset.mount() as mounted:
        found = Path(mounted.mount_point).rglob("*.csv")
        assert sorted(path.read_text() for path in found) == ["1", "2"]


def test_an_address_leads_out_of_no_folder(ws: Workspace, site: Site, project: Path) -> None:
    site.files["/a/../../../../x"] = b"1"
    (path,) = Dataset.File.from_files(f"{site.address}/a/../../../../x").download("data")
    assert (project / "data") in Path(path).resolve().parents
    with pytest.raises(UserErrorException, match="is no address"):
        Dataset.File.from_files("http://[::1/x")


def test_a_download_that_is_cut_off_is_no_file(ws: Workspace, site: Site) -> None:
    site.files["/x"] = b"x" * 100_000
    site.cut_after = 90_000
    dataset = Dataset.File.from_files(f"{site.address}/x")
    with pytest.raises(UserErrorException, match="the connection ended after"):
        dataset.located()
    assert list(coming_in(ws).iterdir()) == []
    site.cut_after = None
    assert content_of(dataset) == site.files["/x"]


def coming_in(ws: Workspace) -> Path:
    """The folder of downloads that are not whole yet."""
    return ws.folder.root / "datasets/cache/coming"


FETCH = """
import sys
from aml_jupyter.assets.definition import Definition, Source
from aml_jupyter.assets.resolve import locate
print(locate(Definition("file", (Source(sys.argv[2]),), {}), sys.argv[1]).single, flush=True)
"""


def fetching(ws: Workspace, address: str) -> subprocess.Popen[str]:
    """A process that fetches an address and says where it is."""
    command = [sys.executable, "-c", FETCH, str(ws.folder.root), address]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_fetch_an_address_once(ws: Workspace, site: Site) -> None:
    site.files["/x"] = b"abc"
    site.pause = 1.0
    both = [fetching(ws, f"{site.address}/x") for _ in range(2)]
    paths = {each.communicate(timeout=60)[0].strip() for each in both}
    assert [Path(path).read_bytes() for path in paths] == [b"abc"]
    assert site.sent("/x") == 1


@pytest.mark.parametrize("next_one", ["/x", "/y"], ids=["the same", "another"])
def test_what_a_killed_process_left_half_goes_when_something_is_fetched(
    ws: Workspace, site: Site, next_one: str
) -> None:
    site.files.update({"/x": b"x" * 3_000_000, "/y": b"y"})
    site.pause = 30.0
    first = fetching(ws, f"{site.address}/x")
    coming = coming_in(ws)
    until(lambda: coming.exists() and any(each.stat().st_size for each in coming.iterdir()), 30)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    site.pause = 0.0
    content = content_of(Dataset.File.from_files(f"{site.address}{next_one}"))
    assert content == site.files[next_one]
    assert list(coming.iterdir()) == []


def test_what_another_process_is_fetching_stays(ws: Workspace, site: Site) -> None:
    site.files.update({"/x": b"x" * 3_000_000, "/y": b"y"})
    site.pause = 2.0
    first = fetching(ws, f"{site.address}/x")
    until(lambda: coming_in(ws).exists() and list(coming_in(ws).iterdir()), 30)
    site.pause = 0.0
    assert content_of(Dataset.File.from_files(f"{site.address}/y")) == b"y"
    assert Path(first.communicate(timeout=60)[0].strip()).read_bytes() == site.files["/x"]


def test_progress_is_told_to_who_asks(ws: Workspace, site: Site) -> None:
    site.files.update({"/x": b"x" * 3_000_000, "/y": b"y"})
    told: list[tuple[int, int]] = []
    one = Dataset.File.from_files(f"{site.address}/x").definition
    locate(one, str(ws.folder.root), lambda done, total: told.append((done, total)))
    assert told[-1] == (3_000_000, 3_000_000)
    assert len(told) > 1
    told.clear()
    two = Dataset.File.from_files([f"{site.address}/x", f"{site.address}/y"]).definition
    locate(two, str(ws.folder.root), lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


@pytest.mark.service("mount")
def test_a_full_disk_says_what_to_do(ws: Workspace, site: Site) -> None:
    site.files["/x"] = b"x" * 1_000_000
    cache = ws.folder.root / "datasets" / "cache"
    cache.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(cache)], check=True)
    try:
        dataset = Dataset.File.from_files(f"{site.address}/x")
        with pytest.raises(StorageFullError, match="Free some space"):
            dataset.located()
        assert [each for each in cache.rglob("*") if each.is_file() and each.stat().st_size] == []
        subprocess.run(["mount", "-o", "remount,size=2m", str(cache)], check=True)
        assert content_of(dataset) == site.files["/x"]
    finally:
        subprocess.run(["umount", str(cache)], check=True)


def test_a_table_is_read_from_a_url(ws: Workspace, site: Site) -> None:
    site.files["/Titanic.csv"] = b"Name,Age\nA,3\nB,\n"
    dataset = Dataset.Tabular.from_delimited_files(f"{site.address}/Titanic.csv")
    registered = dataset.register(ws, "titanic")
    assert registered.take(1).to_pandas_dataframe()["Age"].tolist() == [3]
    site.close()
    again = Dataset.get_by_name(Workspace.from_config(), "titanic")
    assert again.to_pandas_dataframe()["Name"].tolist() == ["A", "B"]


# Mirrors --------------------------------------------------------------------------------------


def test_addresses_may_be_mapped_to_files_folders_and_other_addresses(
    ws: Workspace, site: Site, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "mirror").mkdir()
    (project / "mirror" / "a.csv").write_text("a")
    (project / "one.csv").write_text("one")
    site.files["/z.csv"] = b"z"
    (project / "mirrors.json").write_text(
        '{"https://example.org/data": "mirror", "https://example.org/data/one.csv": "one.csv",'
        f' "https://example.net": "{site.address}"}}'
    )
    monkeypatch.setenv("AML_MIRRORS", str(project / "mirrors.json"))

    def read(address: str) -> bytes:
        return content_of(Dataset.File.from_files(address))

    assert read("https://example.org/data/a.csv") == b"a"
    assert read("https://example.org/data/one.csv") == b"one"
    assert read("https://example.net/z.csv") == b"z"
    dataset = Dataset.File.from_files("https://example.org/data/a.csv")
    assert dataset.to_path() == ["/https%3A/%2Fexample.org/data/a.csv"]
    with pytest.raises(UserErrorException, match=r"is mapped to .*mirror/b\.csv by AML_MIRRORS"):
        read("https://example.org/data/b.csv")
    (project / "mirrors.json").write_text("[]")
    with pytest.raises(UserErrorException, match="does not hold a JSON object"):
        read("https://example.org/data/a.csv")


# fsspec ---------------------------------------------------------------------------------------


def test_other_protocols_are_fsspecs_with_folders_and_patterns(ws: Workspace) -> None:
    system = fsspec.filesystem("memory")
    for name, text in {"d/a.csv": b"1", "d/e/b.csv": b"2", "d/e/c": b"3"}.items():
        system.pipe_file(f"/bucket/{name}", text)
    folder = Dataset.File.from_files("memory://bucket/d/")
    assert folder.to_path() == ["/a.csv", "/e/b.csv", "/e/c"]
    assert [Path(path).read_bytes() for _, path in folder.located().files] == [b"1", b"2", b"3"]
    assert Dataset.File.from_files("memory://bucket/d/**/*.csv").to_path() == ["/a.csv", "/e/b.csv"]
    assert content_of(Dataset.File.from_files("memory://bucket/d/e/c")) == b"3"
    system.pipe_file("/bucket/d/e/c", b"changed")
    assert content_of(Dataset.File.from_files("memory://bucket/d/e/c")) == b"changed"
    system.rm("/bucket", recursive=True)
    assert [name for name, _ in folder.located().files] == ["a.csv", "e/b.csv", "e/c"]


def test_a_protocol_that_needs_a_package_names_it(ws: Workspace) -> None:
    with pytest.raises(UserErrorException, match=r"needs s3fs[^$]*pip install s3fs"):
        Dataset.File.from_files("s3://bucket/x.csv").located()
    with pytest.raises(UserErrorException, match=r"nobody here speaks[^$]*Did you mean"):
        Dataset.File.from_files("htpps://example.org/x.csv").located()


def test_a_file_address_is_a_path(ws: Workspace, project: Path) -> None:
    (project / "with space.csv").write_text("x")
    address = (project / "with space.csv").as_uri()
    assert Dataset.File.from_files(address).located().single == str(project / "with space.csv")
