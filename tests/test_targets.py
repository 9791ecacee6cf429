"""targets.yaml: what is read, what is wrong and where, and edits that leave the rest alone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aml_jupyter.errors import UserErrorException
from aml_jupyter.store import WorkspaceFolder
from aml_jupyter.store.targets import (
    Entry,
    entries_of,
    with_added,
    with_changed,
    without,
)

WRITTEN = """\
# all of ours
local: {slots: 4}   # this box

# the one upstairs
gpu-box:   # loud
  type: docker  # containers
  mounts:
  - /a:/b   # one
  - /c:/d
  # how much of it
  shm_size: 4g

base: &base
  type: local
  description: |
    two
    lines

other:
  <<: *base
  slots: 2
# the end
"""


def settings_in(text: str) -> dict[str, dict[str, object]]:
    return {name: dict(entry.settings) for name, entry in entries_of(text).items()}


def refused(text: str) -> UserErrorException:
    with pytest.raises(UserErrorException) as caught:
        entries_of(text)
    return caught.value


# Reading --------------------------------------------------------------------------------------


def test_targets_are_read_as_yaml_reads_them_and_know_their_lines() -> None:
    found = entries_of(WRITTEN)
    assert settings_in(WRITTEN) == yaml.safe_load(WRITTEN)
    assert list(found) == ["local", "gpu-box", "base", "other"]
    assert found["gpu-box"].kind == "docker"
    assert found["gpu-box"].lines == {"": 5, "type": 6, "mounts": 7, "shm_size": 11}
    assert found["other"].lines["slots"] == 21


def test_a_target_without_a_type_is_of_the_kind_that_it_is_named_after() -> None:
    found = entries_of("docker:\nlocal: {slots: 2}\nbox: {type: docker}\n")
    assert [entry.kind for entry in found.values()] == ["docker", "local", "docker"]


def test_names_are_what_is_written_even_where_yaml_has_another_idea() -> None:
    assert list(entries_of("on: {type: local}\n12: {type: local}\n")) == ["on", "12"]


@pytest.mark.parametrize("text", ["", "\n", "# nothing yet\n", "{}\n", "null\n", "---\n"])
def test_a_file_with_nothing_in_it_has_no_targets(text: str) -> None:
    assert entries_of(text) == {}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a:\n  type: local\n\ttags: {}\n", 3, "a tab"),
        ("a:\n\ttype: local\n", 2, "a tab"),
        ("a: {}\nb: {}\na: {}\n", 3, "two targets are named a"),
        ("a:\n  slots: 1\n  slots: 2\n", 3, "two settings slots"),
        ("a: {\n", 2, "expected"),
        ("a:\n  x: 1: 2\n", 2, "mapping values are not allowed"),
        ("- a\n- b\n", 1, "no mapping"),
        ("just words\n", 1, "no mapping"),
        ("# one\na: 5\n", 2, "settings of a are no mapping"),
        ("a: [local]\n", 1, "settings of a are no mapping"),
        ("a:\n  x: *other\n", 2, "undefined alias"),
        ("a: &a\n  x: *a\n", 1, "recursive"),
        ("a: {}\n---\nb: {}\n", 2, "but found another document"),
        ("a:\n  t: 2025-99-99\n", 2, "no timestamp"),
        ("a:\n  t: !!python/name:os.system\n", 2, "could not determine a constructor"),
        ("[a]: {}\n", 1, "a name is missing"),
        ("'': {}\n", 1, "a name is missing"),
        ("a: {}\nb: {x: '\x07'}\n", 2, "U+0007"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, line: int, words: str) -> None:
    error = refused(text)
    assert error.message.startswith(f"targets.yaml, line {line}: ")
    assert words in error.message
    assert error.hint


def test_a_name_used_twice_tells_where_the_first_is() -> None:
    assert refused("a: {}\nb: {}\na: {}\n").hint == "The first is in line 1."


def test_nesting_without_end_is_no_crash() -> None:
    assert "too deep" in refused("a: " + "[" * 5000).message


def test_files_that_cannot_be_read_are_errors_of_the_user(tmp_path: Path) -> None:
    folder = WorkspaceFolder.create(tmp_path)
    assert folder.target_entries() == {}
    folder.targets_file.write_bytes(b"a: {}\nb: \xff\xfe\n")
    with pytest.raises(UserErrorException, match=r"targets.yaml, line 2: it is no UTF-8 text"):
        folder.target_entries()
    folder.targets_file.unlink()
    folder.targets_file.mkdir()
    with pytest.raises(UserErrorException, match=r"targets.yaml cannot be read: Is a directory"):
        folder.target_entries()


def test_a_byte_order_mark_and_line_ends_of_windows_do_not_matter(tmp_path: Path) -> None:
    folder = WorkspaceFolder.create(tmp_path)
    folder.targets_file.write_bytes(b"\xef\xbb\xbfa:\r\n  type: local\r\n")
    assert folder.target_entries()["a"].settings == {"type": "local"}
    folder.edit_targets(lambda text: with_changed(text, "a", {"slots": 2}))
    assert folder.targets_file.read_bytes() == b"a:\r\n  type: local\r\n  slots: 2\r\n"


# Settings -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """A setting as backends declare them."""

    help: str
    read: Callable[[object], object]
    example: str = ""


def even(value: object) -> int:
    if not isinstance(value, int) or value % 2:
        raise ValueError("write an even number")
    return value


KNOWN = {"type": Known("The kind.", str), "slots": Known("How many at once.", even, "4")}


def test_settings_are_read_by_who_knows_them() -> None:
    entry = entries_of("a: {type: x, slots: 4}\n")["a"]
    assert entry.read(KNOWN) == {"type": "x", "slots": 4}


def test_an_unknown_setting_is_told_with_its_line_and_the_nearest_one() -> None:
    entry = entries_of("# mine\na:\n  type: x\n  slot: 4\n")["a"]
    with pytest.raises(UserErrorException) as caught:
        entry.read(KNOWN)
    assert caught.value.message == "targets.yaml, line 4: a target of type x has no setting 'slot'."
    assert caught.value.hint == "Did you mean slots?"


def test_a_value_that_makes_no_sense_is_told_with_its_line_and_an_example() -> None:
    entry = entries_of("a:\n  type: x\n  slots: 3\n")["a"]
    with pytest.raises(UserErrorException) as caught:
        entry.read(KNOWN)
    assert caught.value.message == (
        "targets.yaml, line 3: slots 3 is not understood: write an even number."
    )
    assert caught.value.hint == "How many at once. For example `slots: 4`."


def test_what_is_not_in_the_file_yet_is_named_by_its_target() -> None:
    with pytest.raises(UserErrorException, match=r"^target new: slots 3 is not understood"):
        Entry("new", {"slots": 3}).read(KNOWN)


# Editing --------------------------------------------------------------------------------------


def test_a_target_is_added_at_the_end_and_nothing_else_changes() -> None:
    text = with_added(WRITTEN, "new", {"type": "local", "tags": {"a": "b"}, "mounts": ["x", "y"]})
    assert text == WRITTEN + textwrap.dedent("""\
        new:
          type: local
          tags:
            a: b
          mounts:
          - x
          - y
        """)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "n:\n  type: x\n"),
        ("# only words", "# only words\nn:\n  type: x\n"),
        ("---\n{}\n# words\n", "---\n# words\nn:\n  type: x\n"),
        ("null\n", "n:\n  type: x\n"),
        ("  a:\n    type: local\n", "  a:\n    type: local\n  n:\n    type: x\n"),
        ("a: {}\r\n", "a: {}\r\nn:\r\n  type: x\r\n"),
        ("a:", "a:\nn:\n  type: x\n"),
    ],
)
def test_a_target_is_added_in_the_manner_of_the_file(before: str, after: str) -> None:
    assert with_added(before, "n", {"type": "x"}) == after


def test_a_name_that_is_taken_is_not_added_again() -> None:
    with pytest.raises(UserErrorException, match=r"target gpu-box already \(targets.yaml, line 5"):
        with_added(WRITTEN, "gpu-box", {"type": "local"})


def test_a_changed_setting_leaves_comments_and_all_others() -> None:
    text = with_changed(WRITTEN, "gpu-box", {"type": "local", "shm_size": "8g", "cpus": 2})
    expected = WRITTEN.replace("type: docker", "type: local")
    assert text == expected.replace("  shm_size: 4g\n", "  shm_size: 8g\n  cpus: 2\n")
    assert with_changed(WRITTEN, "gpu-box", {"shm_size": None}) == WRITTEN.replace(
        "  shm_size: 4g\n", ""
    )


def test_a_list_that_is_changed_is_written_in_its_place() -> None:
    text = with_changed(WRITTEN, "gpu-box", {"mounts": ["/x:/y"]})
    assert settings_in(text)["gpu-box"]["mounts"] == ["/x:/y"]
    assert "# how much of it" in text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: {slots: 1}  # mine\n", "a: {slots: 2}  # mine\n"),
        ("a: {type: x}\n", "a: {type: x, slots: 2}\n"),
        ("a:\nb:\n", "a: {slots: 2}\nb:\n"),
        ("a: ~\n", "a: {slots: 2}\n"),
        ("{a: {type: x}}", "{a: {type: x, slots: 2}}"),
        ("a:\n  slots:\n  type: x\n", "a:\n  slots: 2\n  type: x\n"),
        ("a:\n  slots: |\n    1\n\n# end\n", "a:\n  slots: 2\n\n# end\n"),
        ("n: &n 5\na:\n  slots: *n\n", None),
        ("b:\n  slots: &n 5\na:\n  slots: *n # it\n", "b:\n  slots: &n 5\na:\n  slots: 2 # it\n"),
        ("a:\n  type: x # the last", "a:\n  type: x # the last\n  slots: 2"),
    ],
)
def test_a_setting_is_changed_however_it_is_written(before: str, after: str | None) -> None:
    if after is None:  # `n` is no target
        with pytest.raises(UserErrorException):
            with_changed(before, "a", {"slots": 2})
    else:
        assert with_changed(before, "a", {"slots": 2}) == after


def test_a_setting_that_is_merged_in_is_overridden_where_it_is_used() -> None:
    text = with_changed(WRITTEN, "other", {"description": "mine"})
    assert settings_in(text)["other"] == {"type": "local", "description": "mine", "slots": 2}
    assert settings_in(text)["base"]["description"] == "two\nlines\n"


def test_a_target_is_cut_out_with_what_is_said_beside_it() -> None:
    assert without(WRITTEN, "local") == WRITTEN.replace("local: {slots: 4}   # this box\n", "")
    left = without(WRITTEN, "gpu-box")
    assert "loud" not in left
    assert left.startswith("# all of ours\nlocal: {slots: 4}   # this box\n\n# the one upstairs\n")
    assert without(WRITTEN, "other").endswith("    lines\n\n# the end\n")


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda: without(WRITTEN, "base"), "would become unreadable"),
        (lambda: with_changed(WRITTEN, "base", {"cpus": 7}), "other targets would change"),
        (lambda: without("{a: {}, b: {}}", "a"), "one pair of braces"),
        (lambda: with_added("{a: {}, b: {}}", "c", {}), "one pair of braces"),
        (lambda: with_changed("a: &x {}\nb: *x\n", "b", {"slots": 2}), "written as an alias"),
        (lambda: with_added("a: {}\n...\n", "b", {}), "would become unreadable"),
        (lambda: without(WRITTEN, "gpu"), "There is no target gpu"),
    ],
)
def test_an_edit_that_cannot_be_made_safely_is_refused(edit: Callable[[], str], why: str) -> None:
    with pytest.raises(UserErrorException, match=why):
        edit()


names = st.text("abcxyz0123456789-_.", min_size=1, max_size=6)
plain = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.lists(st.text(max_size=4))
)
targets = st.dictionaries(names, st.dictionaries(names, plain, max_size=4), max_size=5)


@settings(max_examples=60, deadline=None)
@given(targets, names, st.dictionaries(names, plain, max_size=3), st.booleans())
@example({"0": {}}, "0", {"0": "\x85"}, False)
def test_any_targets_survive_any_edit_of_another(
    there: dict[str, dict[str, object]], name: str, said: dict[str, object], inline: bool
) -> None:
    flow = None if inline else False
    text = yaml.safe_dump(there, default_flow_style=flow) if there else ""
    others = {other: of for other, of in there.items() if other != name}
    kept = {key: value for key, value in said.items() if value is not None}
    if name in there:
        changed = with_changed(text, name, said)
        merged = {key: of for key, of in there[name].items() if key not in said}
        assert settings_in(changed) == {**others, name: {**merged, **kept}}
    else:
        changed = with_added(text, name, kept)
        assert settings_in(changed) == {**others, name: kept}
    assert settings_in(without(changed, name)) == others


# The file -------------------------------------------------------------------------------------


def test_an_edit_keeps_who_may_read_the_file_and_where_a_link_leads(tmp_path: Path) -> None:
    folder = WorkspaceFolder.create(tmp_path)
    kept = tmp_path / "kept.yaml"
    kept.write_text("a: {}\n")
    kept.chmod(0o600)
    folder.targets_file.symlink_to(kept)
    folder.edit_targets(lambda text: with_added(text, "b", {"type": "local"}))
    assert folder.targets_file.is_symlink()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert list(folder.target_entries()) == ["a", "b"]


def test_an_edit_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    folder = WorkspaceFolder.create(tmp_path)
    folder.targets_file.write_text(WRITTEN)
    with pytest.raises(UserErrorException):
        folder.edit_targets(lambda text: without(text, "nobody"))
    assert folder.targets_file.read_text() == WRITTEN
    assert [path.name for path in folder.root.glob("*.tmp")] == []


@pytest.mark.service("root")
def test_who_may_not_write_is_told_so() -> None:
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        folder = WorkspaceFolder.create(Path(place))
        os.seteuid(65534)
        try:
            with pytest.raises(UserErrorException, match=r"targets.yaml cannot be changed: Perm"):
                folder.edit_targets(lambda text: with_added(text, "b", {"type": "local"}))
        finally:
            os.seteuid(0)


def test_many_that_edit_at_once_lose_nothing(tmp_path: Path) -> None:
    folder = WorkspaceFolder.create(tmp_path)
    script = textwrap.dedent("""\
        import sys
        from pathlib import Path
        from aml_jupyter.store import WorkspaceFolder
        from aml_jupyter.store.targets import with_added
        folder = WorkspaceFolder(Path(sys.argv[1]))
        for number in range(5):
            name = f"{sys.argv[2]}-{number}"
            folder.edit_targets(lambda text: with_added(text, name, {"type": "local"}))
        """)
    words = [sys.executable, "-c", script, str(folder.root)]
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    writers = [subprocess.Popen([*words, name], env=environment) for name in "abcd"]
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    assert sorted(folder.target_entries()) == [f"{n}-{i}" for n in "abcd" for i in range(5)]
