"""Snapshots of real folders: what is taken, what is refused, what comes back."""

from __future__ import annotations

import os
import random
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pathspec import PathSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from aml_jupyter.errors import ServiceException, SnapshotException, StorageFullError
from aml_jupyter.store import snapshots
from aml_jupyter.store.ignore import NOT_NAMED, parse_rules
from aml_jupyter.store.objects import LARGE, Objects
from aml_jupyter.store.snapshots import lay_out, read_manifest, remove_unchanged, take, zip_to

ROOT = Path(__file__).parent.parent


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(tmp_path / "objects")


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        put(folder / name, text)


def put(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def names(snapshot_id: str, objects: Objects) -> list[str]:
    return [entry.path for entry in read_manifest(snapshot_id, objects).files]


def taken(source: Path, objects: Objects) -> list[str]:
    return names(take(source, objects).id, objects)


def content(folder: Path) -> dict[bytes, bytes]:
    found = {}
    for where, _, files in os.walk(os.fsencode(folder)):
        for name in files:
            path = os.path.join(where, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, os.fsencode(folder))] = file.read()
    return found


def laid_out(snapshot_id: str, objects: Objects, tmp_path: Path) -> dict[bytes, bytes]:
    target = Path(tempfile.mkdtemp(dir=tmp_path))
    lay_out(snapshot_id, objects, target)
    return content(target)


def stored_bytes(objects: Objects) -> int:
    packs = [*objects.folder.glob("pack-*.bin"), *objects.folder.glob("??/*")]
    return sum(path.stat().st_size for path in packs)


# What comes back


def test_a_tree_comes_back_as_it_was(source: Path, objects: Objects, tmp_path: Path) -> None:
    put(source / "a" / "b" / "deep.py", "print('deep')")
    put(source / "empty.txt", "")
    (source / "large.bin").write_bytes(os.urandom(LARGE + 1))
    put(source / "run.sh", "#!/bin/sh\n").chmod(0o755)
    snapshot = take(source, objects)
    target = tmp_path / "target"
    lay_out(snapshot.id, objects, target)
    assert content(target) == content(source)
    assert os.access(target / "run.sh", os.X_OK)
    assert not (target / "empty.txt").stat().st_mode & stat.S_IXUSR
    assert snapshot.files == 4
    assert snapshot.bytes == sum(map(len, content(source).values()))


def test_any_file_name_survives(source: Path, objects: Objects, tmp_path: Path) -> None:
    odd = [b'it\'s "quoted".py', b"two\nlines", b"caf\xe9", b"tab\there", b"*?[x]", "ünï".encode()]
    for name in odd:
        with open(os.path.join(os.fsencode(source), name), "wb") as file:
            file.write(name)
    os.mkdir(os.path.join(os.fsencode(source), b"f\xff"))
    with open(os.path.join(os.fsencode(source), b"f\xff/inner"), "wb") as file:
        file.write(b"inner")
    first = take(source, objects)
    assert laid_out(first.id, objects, tmp_path) == content(source)
    assert take(source, objects).id == first.id


def test_a_snapshot_can_consist_of_given_files_alone(objects: Objects, tmp_path: Path) -> None:
    snapshot = take(None, objects, files={"cell.py": b"print(1)", "data/x": b"y" * (LARGE + 1)})
    expected = {b"cell.py": b"print(1)", b"data/x": b"y" * (LARGE + 1)}
    assert laid_out(snapshot.id, objects, tmp_path) == expected


def test_given_files_lie_over_the_folder(source: Path, objects: Objects, tmp_path: Path) -> None:
    write(source, keep="keep", hide="old")
    snapshot = take(source, objects, files={"hide": b"new"})
    assert laid_out(snapshot.id, objects, tmp_path) == {b"keep": b"keep", b"hide": b"new"}


@pytest.mark.parametrize("name", ["../x", "/x", "", "a/../../x"])
def test_given_files_may_not_leave_the_folder(name: str, objects: Objects) -> None:
    with pytest.raises(SnapshotException, match="cannot be the name"):
        take(None, objects, files={name: b""})


@pytest.mark.parametrize("name", ["a", "a/b/c"])
def test_a_given_file_that_clashes_with_a_folder_is_refused(
    name: str, source: Path, objects: Objects
) -> None:
    put(source / "a" / "b")
    with pytest.raises(SnapshotException, match="needs a file to be a folder too"):
        take(source, objects, files={name: b""})


# The same again


def test_an_unchanged_folder_gives_the_same_id(source: Path, objects: Objects) -> None:
    write(source, a="1", b="2")
    first = take(source, objects)
    os.utime(source / "a")
    assert take(source, objects).id == first.id
    put(source / "a", "3")
    assert take(source, objects).id != first.id


def test_making_a_file_executable_changes_the_id(source: Path, objects: Objects) -> None:
    write(source, a="1")
    first = take(source, objects)
    (source / "a").chmod(0o755)
    assert take(source, objects).id != first.id


def test_bytes_already_there_are_not_stored_again(source: Path, objects: Objects) -> None:
    block, large = "x" * 1000, "y" * (LARGE + 1)
    write(source, a=block, b=block, big=large, big2=large)
    take(source, objects)
    assert stored_bytes(objects) == len(block) + len(large)
    write(source, c=block, big3=large, d="new")
    take(source, objects)
    assert stored_bytes(objects) == len(block) + len(large) + 3


def test_a_file_changed_right_after_its_snapshot_is_noticed(
    source: Path, objects: Objects, tmp_path: Path
) -> None:
    path = put(source / "a", "000")
    for number in range(100, 130):
        times = path.stat().st_mtime_ns
        take(source, objects)
        path.write_text(str(number))
        os.utime(path, ns=(times, times))
        seen = laid_out(take(source, objects).id, objects, tmp_path)
        assert seen == {b"a": str(number).encode()}


def test_a_settled_file_is_not_read_again(source: Path, objects: Objects) -> None:
    (source / "large").write_bytes(b"x" * (3 * LARGE))
    time.sleep(0.2)
    told: list[tuple[int, int]] = []
    first = take(source, objects, progress=lambda done, total: told.append((done, total)))
    assert len(told) > 1  # it was read
    told.clear()
    again = take(source, objects, progress=lambda done, total: told.append((done, total)))
    assert (again.id, told) == (first.id, [(3 * LARGE, 3 * LARGE)])


def test_a_damaged_stat_cache_changes_nothing(source: Path, objects: Objects) -> None:
    put(source / "a", "1")
    time.sleep(0.2)
    first = take(source, objects)
    (cache,) = objects.folder.glob("stat/*.bin")
    for noise in (b"", b"noise", random.Random(1).randbytes(500), cache.read_bytes()[:-1]):
        cache.write_bytes(noise)
        assert take(source, objects).id == first.id


def test_remembered_files_whose_bytes_are_gone_are_stored_anew(
    source: Path, objects: Objects, tmp_path: Path
) -> None:
    write(source, a="1", b="2" * (LARGE + 1))
    time.sleep(0.2)
    first = take(source, objects)
    for path in [*objects.folder.glob("pack-*"), *objects.folder.glob("??/*")]:
        path.unlink()
    assert take(source, objects).id == first.id
    assert laid_out(first.id, objects, tmp_path) == content(source)


# Links and odd files


def test_links_are_followed(source: Path, objects: Objects, tmp_path: Path) -> None:
    outside = put(tmp_path / "outside" / "data.csv", "1,2").parent
    put(source / "real.py", "real")
    (source / "alias.py").symlink_to("real.py")
    (source / "linked.csv").symlink_to(outside / "data.csv")
    (source / "folder").symlink_to(outside)
    assert laid_out(take(source, objects).id, objects, tmp_path) == {
        b"real.py": b"real",
        b"alias.py": b"real",
        b"linked.csv": b"1,2",
        b"folder/data.csv": b"1,2",
    }


@pytest.mark.parametrize(
    ("link", "target"), [("loop", "loop"), ("up", ".."), ("a/back", "../a"), ("a/top", "../..")]
)
def test_a_circular_link_is_refused_and_the_remedy_works(
    link: str, target: str, source: Path, objects: Objects
) -> None:
    put(source / "a" / "file")
    (source / link).symlink_to(target)
    with pytest.raises(SnapshotException, match=f"{link} is circular") as caught:
        take(source, objects)
    line = caught.value.hint.split("`")[1]
    assert str(source / ".amlignore") in caught.value.hint
    put(source / ".amlignore", line)
    assert taken(source, objects) == [".amlignore", "a/file"]


def test_two_links_that_lead_to_each_other_are_refused(source: Path, objects: Objects) -> None:
    put(source / "a" / "file")
    put(source / "b" / "file")
    (source / "a" / "to_b").symlink_to("../b")
    (source / "b" / "to_a").symlink_to("../a")
    with pytest.raises(SnapshotException, match=r"is circular"):
        take(source, objects)


def test_a_link_to_nothing_is_refused_by_name(source: Path, objects: Objects) -> None:
    (source / "weights.pt").symlink_to("/nowhere/weights.pt")
    with pytest.raises(SnapshotException, match=r"weights\.pt cannot be taken along.*not exist"):
        take(source, objects)


@pytest.mark.parametrize("name", ["secret.txt", "closed", "listed/x"])
def test_what_cannot_be_read_is_refused_by_name(name: str) -> None:
    """In a process without root's rights, for root can read everything."""
    with tempfile.TemporaryDirectory() as folder:
        put(Path(folder) / "secret.txt").chmod(0 if name == "secret.txt" else 0o644)
        put(Path(folder) / "closed" / "x").parent.chmod(0 if name == "closed" else 0o755)
        put(Path(folder) / "listed" / "x").parent.chmod(0o744 if name == "listed/x" else 0o755)
        Path(folder).chmod(0o777)
        script = f"""
            import os
            from aml_jupyter.errors import SnapshotException
            from aml_jupyter.store import objects, snapshots
            if os.geteuid() == 0:
                os.setuid(65534)
            try:
                snapshots.take({folder!r}, objects.Objects({folder + "/.aml/objects"!r}))
            except SnapshotException as error:
                print(error)
        """
        result = python(script)
        for closed in ("closed", "listed"):
            (Path(folder) / closed).chmod(0o755)
    assert f"{folder}/{name}" in result.stdout
    assert "Permission denied" in result.stdout


def python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )


def test_pipes_and_sockets_stay_at_home_and_are_named(objects: Objects) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/socket")
        os.mkfifo(f"{folder}/pipe")
        put(Path(folder) / "a")
        snapshot = take(folder, objects)
    assert snapshot.skipped == ("pipe", "socket")
    assert names(snapshot.id, objects) == ["a"]


def test_a_file_that_changes_while_it_is_read_is_stored_as_one_of_its_states(
    source: Path, objects: Objects, tmp_path: Path
) -> None:
    path = source / "busy"
    path.write_bytes(b"0" * 1000)
    stop = threading.Event()

    def keep_writing() -> None:
        while not stop.is_set():
            with open(path, "r+b") as file:
                size = random.randrange(LARGE + 100_000)
                file.write(random.randbytes(100) * (size // 100))
                file.truncate(size)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        taken_while_busy = [take(source, objects) for _ in range(10)]
    finally:
        stop.set()
        writer.join()
    assert objects.verify() == []
    for snapshot in taken_while_busy:
        assert len(laid_out(snapshot.id, objects, tmp_path)[b"busy"]) == snapshot.bytes


def test_a_missing_source_folder_is_refused(tmp_path: Path, objects: Objects) -> None:
    with pytest.raises(SnapshotException, match="does not exist"):
        take(tmp_path / "missing", objects)
    with pytest.raises(SnapshotException, match="is not a folder"):
        take(put(tmp_path / "file"), objects)


# The limit


def test_over_the_limit_the_largest_are_named_and_nothing_is_stored(
    source: Path, objects: Objects
) -> None:
    put(source / "src" / "train.py")
    put(source / "src" / "model.bin", "m" * 3_000_000)
    for number in range(10):
        put(source / "data" / f"{number}.csv", "d" * 500_000)
    with pytest.raises(SnapshotException) as caught:
        take(source, objects, limit_bytes=2 * 1024 * 1024)
    assert caught.value.message == (
        "Your total snapshot size exceeds the limit of 2.0 MB. "
        "Largest: data/ (4.8 MB), src/model.bin (2.9 MB)."
    )
    assert f"{source}/.amlignore, such as `/data/`" in caught.value.hint
    assert not objects.folder.exists()
    put(source / ".amlignore", "/data/\nmodel.bin")
    assert take(source, objects, limit_bytes=2 * 1024 * 1024).files == 2


def test_the_limit_can_be_raised_by_variable_and_by_attribute(
    source: Path, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(source, a="12345")
    monkeypatch.setenv("AML_SNAPSHOT_MAX_BYTES", "4")
    with pytest.raises(SnapshotException, match="exceeds the limit"):
        take(source, objects)
    monkeypatch.setattr(snapshots, "SNAPSHOT_MAX_SIZE_BYTES", 5)
    assert take(source, objects).files == 1
    monkeypatch.undo()
    monkeypatch.setenv("AML_SNAPSHOT_MAX_BYTES", "lots")
    with pytest.raises(SnapshotException, match="not a number of bytes"):
        take(source, objects)


# Ignore files


def test_only_one_ignore_file_counts(source: Path, objects: Objects) -> None:
    write(source, **{".gitignore": "a", "a": "", "b": "", "sub/.gitignore": "*", "sub/c": ""})
    assert taken(source, objects) == [".gitignore", "b", "sub/.gitignore", "sub/c"]
    put(source / ".amlignore", "b\n.*")
    assert taken(source, objects) == ["a", "sub/c"]


def test_some_things_are_always_left_out(source: Path, objects: Objects) -> None:
    for left_out in (
        ".git/HEAD",
        ".aml/x",
        "a/__pycache__/a.pyc",
        "azureml-logs/70",
        "user_logs/x",
    ):
        put(source / left_out)
    put(source / "logs" / "azureml" / "x")
    put(source / "logs" / "mine")
    put(source / "a" / "user_logs" / "mine")
    assert taken(source, objects) == ["a/user_logs/mine", "logs/mine"]


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ("*.csv\n!keep.csv", ["data/keep.csv", "data/x.py", "fo", "src/a.py", "src/x.log/y"]),
        ("data/\n!data/keep.csv", ["data/keep.csv", "fo", "src/a.py", "src/x.log/y"]),
        ("data\n!*.py", ["fo", "src/a.py", "src/x.log/y"]),
        ("*\n!src/", ["src/a.py", "src/x.log/y"]),
        ("*\n!src/a.py", ["src/a.py"]),
        ("src/**\n!*.py\n/data", ["fo", "src/a.py"]),
        ("fo?\n*.log/\n/*/*.csv", ["data/x.py", "fo", "src/a.py"]),
        ("# comment\n\n**/x*\r\nda?a/k[a-f]ep.*\n", ["fo", "src/a.py", "data/z.csv"]),
        ("fo/", ["data/keep.csv", "data/x.py", "data/z.csv", "fo", "src/a.py", "src/x.log/y"]),
    ],
)
def test_patterns_mean_what_they_mean_to_git(
    rules: str, kept: list[str], source: Path, objects: Objects
) -> None:
    for name in ("data/keep.csv", "data/z.csv", "data/x.py", "fo", "src/a.py", "src/x.log/y"):
        put(source / name)
    put(source / ".amlignore", rules)
    found = [name for name in taken(source, objects) if name != ".amlignore"]
    assert found == sorted(kept)


SEGMENT = st.sampled_from(["a", "b", "ab", "*", "**", "a*", "?", "[ab]"])
PATTERN = st.builds(
    lambda negated, start, parts, end: negated + start + "/".join(parts) + end,
    st.sampled_from(["", ""]),
    st.sampled_from(["", "/"]),
    st.lists(SEGMENT, min_size=1, max_size=3),
    st.sampled_from(["", "/"]),
) | st.builds(lambda a, b: f"!/{a}/{b}", SEGMENT, SEGMENT)
PATH = st.lists(st.sampled_from(["a", "b", "ab", "ba"]), min_size=1, max_size=3)


@settings(max_examples=300, deadline=None)
@given(st.lists(PATTERN, min_size=1, max_size=4), PATH)
def test_a_walk_decides_as_pathspec_does_for_whole_paths(
    patterns: list[str], parts: list[str]
) -> None:
    rules = parse_rules("\n".join(patterns), Path(".amlignore"))
    verdict, left_out = NOT_NAMED, False
    for depth, name in enumerate(parts[:-1], start=1):
        folder = "/".join(parts[:depth])
        verdict = rules.on_folder(folder, name, verdict)
        left_out |= rules.leaves_out(verdict) and not rules.may_return_below(folder, verdict)
    path = "/".join(parts)
    left_out |= rules.leaves_out(rules.on_file(path, parts[-1], verdict))
    assert left_out == PathSpec(map(GitIgnoreSpecPattern, patterns)).match_file(path)


def test_a_line_that_is_no_pattern_is_named(source: Path, objects: Objects) -> None:
    put(source / ".amlignore", "*.csv\n!\n")
    with pytest.raises(SnapshotException, match=r"Line 2 of .*\.amlignore is not a pattern: '!'"):
        take(source, objects)


def test_an_ignore_file_that_is_a_folder_is_named(source: Path, objects: Objects) -> None:
    (source / ".amlignore").mkdir()
    with pytest.raises(SnapshotException, match=r"\.amlignore cannot be read"):
        take(source, objects)


# Laying out, and cleaning up afterwards


def test_files_under_outputs_go_through_the_run_s_link(
    source: Path, objects: Objects, tmp_path: Path
) -> None:
    put(source / "outputs" / "start.pt", "weights")
    work, outputs = tmp_path / "work", tmp_path / "outputs"
    work.mkdir()
    outputs.mkdir()
    (work / "outputs").symlink_to("../outputs")
    snapshot = take(source, objects)
    lay_out(snapshot.id, objects, work)
    assert (outputs / "start.pt").read_text() == "weights"
    remove_unchanged(snapshot.id, objects, work)
    assert content(outputs) == {}
    assert (work / "outputs").is_symlink()


def test_a_file_in_the_place_of_outputs_is_refused(
    source: Path, objects: Objects, tmp_path: Path
) -> None:
    write(source, outputs="a file")
    (tmp_path / "work" / "outputs").mkdir(parents=True)
    with pytest.raises(SnapshotException, match="outputs cannot be laid out"):
        lay_out(take(source, objects).id, objects, tmp_path / "work")


def test_laying_out_over_a_half_finished_try_is_fine(
    source: Path, objects: Objects, tmp_path: Path
) -> None:
    write(source, a="right", b="right too")
    put(tmp_path / "work" / "a", "half-written and much longer")
    lay_out(take(source, objects).id, objects, tmp_path / "work")
    assert content(tmp_path / "work") == content(source)


def test_only_unchanged_files_are_removed(source: Path, objects: Objects, tmp_path: Path) -> None:
    for name in ("same", "edited", "copied_over", "deleted", "sub/same", "kept/same"):
        put(source / name, f"{len(name) % 7}")
    put(source / "other", "8")
    snapshot = take(source, objects)
    work = tmp_path / "work"
    lay_out(snapshot.id, objects, work)
    put(work / "edited", "9")
    shutil.copy2(work / "other", work / "copied_over")
    (work / "deleted").unlink()
    put(work / "kept" / "new", "new")
    remove_unchanged(snapshot.id, objects, work)
    assert content(work) == {b"edited": b"9", b"copied_over": b"8", b"kept/new": b"new"}
    assert not (work / "sub").exists()


def test_nothing_is_removed_where_a_link_of_the_job_leads(
    source: Path, objects: Objects, tmp_path: Path
) -> None:
    write(source, **{"sub/kept": "1", "sub/deep/kept": "2", "gone": "3"})
    snapshot = take(source, objects)
    work, other = tmp_path / "run/work", tmp_path / "other"
    work.mkdir(parents=True)
    for folder in (work, other):
        lay_out(snapshot.id, objects, folder)
    shutil.rmtree(work / "sub")
    (work / "sub").symlink_to(other / "sub")
    remove_unchanged(snapshot.id, objects, work)
    assert content(other) == content(source)
    assert not (work / "gone").exists()


def test_rough_timestamps_are_settled_by_content(
    source: Path, objects: Objects, tmp_path: Path
) -> None:
    write(source, same="1", edited="1")
    snapshot = take(source, objects)
    work = tmp_path / "work"
    lay_out(snapshot.id, objects, work)
    put(work / "edited", "2")
    second = int((work / "same").stat().st_mtime)
    for name in ("same", "edited"):
        os.utime(work / name, (second, second))
    remove_unchanged(snapshot.id, objects, work)
    assert content(work) == {b"edited": b"2"}


def test_a_snapshot_as_zip_holds_everything(source: Path, objects: Objects, tmp_path: Path) -> None:
    write(source, **{"a/b.py": "print()", "empty": ""})
    put(source / "run.sh", "#!/bin/sh").chmod(0o755)
    put(Path(os.fsdecode(os.fsencode(source) + b"/caf\xe9")), "latin")
    snapshot = take(source, objects)
    path = zip_to(snapshot.id, objects, tmp_path / "snapshot.zip")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a/b.py", "caf\\xe9", "empty", "run.sh"]
        assert archive.getinfo("run.sh").external_attr >> 16 & stat.S_IXUSR
    assert zip_to(snapshot.id, objects, tmp_path / "again.zip").read_bytes() == path.read_bytes()


def test_an_unknown_snapshot_is_refused(objects: Objects, tmp_path: Path) -> None:
    with pytest.raises(SnapshotException, match="no snapshot 'none'"):
        lay_out("none", objects, tmp_path)


def test_progress_ends_at_the_total(source: Path, objects: Objects, tmp_path: Path) -> None:
    (source / "large").write_bytes(b"x" * (3 * LARGE))
    told: list[tuple[int, int]] = []
    snapshot = take(source, objects, progress=lambda done, total: told.append((done, total)))
    assert len(told) > 2
    assert told == sorted(told)
    assert told[-1] == (3 * LARGE, 3 * LARGE)
    told.clear()
    lay_out(snapshot.id, objects, tmp_path / "work", lambda done, total: told.append((done, total)))
    assert told[-1] == (3 * LARGE, 3 * LARGE)


# Faults


def test_leftovers_of_a_crash_are_ignored_and_removed_after_an_hour(
    source: Path, objects: Objects
) -> None:
    write(source, a="1")
    old = [put(objects.folder / "tmp" / "old"), put(objects.folder / "pack-0.bin")]
    young = [put(objects.folder / "tmp" / "young"), put(objects.folder / "pack-1.bin")]
    for path in old:
        os.utime(path, (time.time() - 4000,) * 2)
    assert taken(source, objects) == ["a"]
    assert [path.exists() for path in old + young] == [False, False, True, True]
    assert objects.verify() == []


def test_a_pack_cut_short_is_not_trusted(source: Path, objects: Objects, tmp_path: Path) -> None:
    write(source, a="12345")
    time.sleep(0.2)
    first = take(source, objects)
    (pack,) = objects.folder.glob("pack-*.bin")
    os.truncate(pack, 2)
    assert objects.verify() == [f"{pack.name}: shorter or longer than its index says"]
    with pytest.raises(ServiceException, match="is missing"):
        lay_out(first.id, objects, tmp_path / "work")
    assert take(source, objects).id == first.id
    assert laid_out(first.id, objects, tmp_path) == content(source)


def test_verify_finds_a_flipped_bit(source: Path, objects: Objects) -> None:
    write(source, a="12345", big="x" * (LARGE + 1))
    take(source, objects)
    for path in (*objects.folder.glob("pack-*.bin"), *objects.folder.glob("??/*")):
        with open(path, "r+b") as file:
            file.write(b"?")
    assert len(objects.verify()) == 2


def test_an_object_is_read_and_copied_by_its_hash(
    source: Path, objects: Objects, tmp_path: Path
) -> None:
    write(source, a="12345", big="x" * (LARGE + 1))
    for entry in read_manifest(take(source, objects).id, objects).files:
        digest = bytes.fromhex(entry.hash)
        objects.copy(digest, tmp_path / "copy")
        assert objects.read(digest) == (tmp_path / "copy").read_bytes()
        assert objects.read(digest) == (source / entry.path).read_bytes()


def test_four_processes_may_add_at_once(source: Path, objects: Objects, tmp_path: Path) -> None:
    for number in range(300):
        put(source / f"{number}.txt", f"{number}" * 50)
    script = f"""
        import sys
        from aml_jupyter.store import objects, snapshots
        store = objects.Objects({str(objects.folder)!r})
        for turn in range(8):
            mine = {{"mine.txt": f"{{sys.argv[1:]}} {{turn}}".encode()}}
            print(snapshots.take({str(source)!r}, store).id)
            print(snapshots.take({str(source)!r}, store, files=mine).id)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    workers = [
        subprocess.Popen([*command, str(n)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for n in range(4)
    ]
    printed = [worker.communicate()[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4
    plain = {snapshot_id for ids in printed for snapshot_id in ids[::2]}
    assert len(plain) == 1
    assert objects.verify() == []
    assert laid_out(plain.pop(), objects, tmp_path) == content(source)
    for ids in printed:
        assert len(laid_out(ids[-1], objects, tmp_path)) == 301


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)]
    subprocess.run(command, check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.service("mount")
@pytest.mark.parametrize("sizes", [[100_000] * 70, [7_000_000]])
def test_a_full_disk_is_an_error_that_says_so_and_leaves_the_store_whole(
    sizes: list[int], small_disk: Path, source: Path, tmp_path: Path
) -> None:
    objects = Objects(small_disk / "objects")
    put(source / "first", "first")
    first = take(source, objects)
    for number, size in enumerate(sizes):
        (source / str(number)).write_bytes(random.randbytes(size))
    with pytest.raises(StorageFullError, match=r"7,000,\d+ bytes were needed in .*objects"):
        take(source, objects)
    assert list((objects.folder / "tmp").iterdir()) == []
    assert objects.verify() == []
    assert laid_out(first.id, objects, tmp_path) == {b"first": b"first"}


@pytest.mark.service("mount")
def test_a_full_disk_while_laying_out_says_so(
    small_disk: Path, source: Path, objects: Objects
) -> None:
    (source / "big").write_bytes(b"x" * 7_000_000)
    with pytest.raises(StorageFullError, match="7,000,000 bytes were needed"):
        lay_out(take(source, objects).id, objects, small_disk / "work")
