"""``targets.yaml``: the compute targets of a workspace, read with lines and edited in place.

What settings a target may have, its backend knows; this module holds any mapping of names to
something that reads a value. Edits are made to the text, so that the user's comments and order
stay; whoever edits, holds the lock (:meth:`WorkspaceFolder.edit_targets`).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..errors import UserErrorException
from ..job import layout
from ..spec.words import near

FILE_NAME = "targets.yaml"
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_RARE_BREAK = re.compile("[\x85\u2028\u2029]")
_ALIAS = re.compile(r"\*[^\s,\]}]+")
_BY_HAND = "Edit it by hand."
_SPACES = "Indent with spaces."
_EXAMPLE = "It holds names of targets, each with its settings, for example `local: {slots: 4}`."


class Readable(Protocol):
    """A setting: what it is for, and what turns the written value into the one that is used."""

    @property
    def help(self) -> str:
        """What it is for."""

    @property
    def read(self) -> Callable[[object], object]:
        """Reads a value; ValueError says what it should look like."""

    @property
    def example(self) -> str:
        """A value, as it is written."""


@dataclass(frozen=True)
class Entry:
    """A target as it is written; ``lines`` say where: of each setting, and of ``""`` itself."""

    name: str
    settings: Mapping[str, object] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Its type; a target that names none is of the kind that it is named after."""
        return str(self.settings.get("type") or self.name)

    def read(self, known: Mapping[str, Readable]) -> dict[str, object]:
        """The settings as they are used; one that is not ``known``, or misspelt, is an error."""
        found = {}
        for key, value in self.settings.items():
            if key not in known:
                hint = near(key, known)
                raise self.wrong(key, f"a target of type {self.kind} has no setting {key!r}", hint)
            found[key] = self._value(key, value, known[key])
        return found

    def _value(self, key: str, value: object, setting: Readable) -> object:
        try:
            return setting.read(value)
        except ValueError as error:
            example = f" For example `{key}: {setting.example}`." if setting.example else ""
            raise self.wrong(
                key, f"{key} {value!r} is not understood: {error}", f"{setting.help}{example}"
            ) from None

    def wrong(self, key: str, message: str, hint: str) -> UserErrorException:
        """An error about one of the settings, or ``""``, that says where it stands."""
        line = self.lines.get(key) or self.lines.get("")
        place = f"{FILE_NAME}, line {line}" if line else f"target {self.name}"
        return UserErrorException(f"{place}: {message}.", hint[:1].upper() + hint[1:])


def read_entries(path: Path) -> dict[str, Entry]:
    """The targets in the file, in its order; none when there is no file."""
    return entries_of(read_text(path))


def read_text(path: Path) -> str:
    """The text of the file; empty when there is no file."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UserErrorException(
            f"{path} cannot be read: {error.strerror}.", "Make it a file that you may read."
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise _wrong(line, "it is no UTF-8 text", "Save it as UTF-8.") from error


def write_text(path: Path, text: str) -> None:
    """Replace the file's text, whole or not at all; a link stays, and who may read it."""
    target = os.path.realpath(path)
    aside = f"{target}.{os.getpid()}.tmp"
    try:
        with open(aside, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        if os.path.exists(target):
            shutil.copymode(target, aside)
        os.replace(aside, target)
    except OSError as error:
        Path(aside).unlink(missing_ok=True)
        raise layout.full_disk(error, target) from error


def entries_of(text: str) -> dict[str, Entry]:
    """The targets in the text of a file."""
    return {block.name: block.entry for block in _Document(text).blocks} if text else {}


# Editing ------------------------------------------------------------------------------------------


def with_added(text: str, name: str, settings: Mapping[str, object]) -> str:
    """The text with one more target at its end."""
    document = _Document(text)
    for block in document.blocks:
        if block.name == name:
            where = f"{FILE_NAME}, line {_line(block.key)}"
            raise UserErrorException(
                f"There is a target {name} already ({where}).", "Remove it, or take another name."
            )
    return _only_changed(text, document.with_more({name: dict(settings)}), name)


def with_changed(text: str, name: str, settings: Mapping[str, object]) -> str:
    """The text with these settings of a target changed, or added; None takes one away."""
    changed = text
    for key, value in settings.items():
        document = _Document(changed)
        changed = document.changed(document.block(name), key, value)
    return _only_changed(text, changed, name)


def without(text: str, name: str) -> str:
    """The text without a target; what is written about others stays."""
    document = _Document(text)
    block = document.block(name)
    document.refuse_braces()
    return _only_changed(text, document.cut(block.key, block.value), name)


def _only_changed(before: str, after: str, name: str) -> str:
    """``after``, if it can be read and says of all other targets what ``before`` says."""
    try:
        old, new = entries_of(before), entries_of(after)
        old.pop(name, None), new.pop(name, None)
        if {n: e.settings for n, e in old.items()} == {n: e.settings for n, e in new.items()}:
            return after
        why = "other targets would change with it"
    except UserErrorException as error:
        why = f"the file would become unreadable ({error.message.rstrip('.')})"
    raise UserErrorException(
        f"{FILE_NAME} cannot be edited for you: {why}.", f"Edit the target {name} by hand."
    )


class _Block:
    """One target in the text: its key, the node of its settings, and what they say."""

    def __init__(self, loader: Any, key: Any, value: Any) -> None:
        self.name, self.key, self.value = _word(key), key, value
        self.is_alias = value.start_mark.index < key.start_mark.index
        self.pairs: list[tuple[Any, Any]] = []
        if not _is_nothing(value):
            self.pairs = _pairs(value, f"the settings of {self.name} are no mapping")
        self.entry = self._read(loader)

    def _read(self, loader: Any) -> Entry:
        import yaml

        _refuse_twice(self.pairs, f"{self.name} has two settings")
        # A copy, since what is merged in (`<<`) is put among the pairs, first: the own ones count.
        whole = yaml.MappingNode(self.value.tag, list(self.pairs))
        loader.flatten_mapping(whole)
        settings, lines = {}, {"": _line(self.key)}
        for key, value in whole.value:
            settings[_word(key)] = _made(loader, value)
            lines[_word(key)] = _line(key)
        return Entry(self.name, settings, lines)


class _Document:
    """The text of a file with the places of what is in it."""

    def __init__(self, text: str) -> None:
        self.text = text
        found = _BREAK.search(text)
        self._break = found[0] if found else "\n"
        self._root: Any = None
        self.blocks: Sequence[_Block] = []
        with _located(text):
            self._read()

    def _read(self) -> None:
        import yaml

        # The one written in Python: its marks count letters, and merges are open to us.
        loader = yaml.SafeLoader(self.text)
        self._root = loader.get_single_node()
        if self._root is not None and not _is_nothing(self._root):
            pairs = _pairs(self._root, "there is no mapping")
            _refuse_twice(pairs, "two targets are named")
            self.blocks = [_Block(loader, key, value) for key, value in pairs]

    def block(self, name: str) -> _Block:
        """The target of that name."""
        for block in self.blocks:
            if block.name == name:
                return block
        raise UserErrorException(
            f"There is no target {name} in {FILE_NAME}.", near(name, [b.name for b in self.blocks])
        )

    def refuse_braces(self) -> None:
        """Raise when all targets are in one pair of braces, which is not taken apart here."""
        if self.blocks and self._root.flow_style:
            raise _wrong(_line(self._root), "all targets are in one pair of braces", _BY_HAND)

    def with_more(self, content: Mapping[str, object]) -> str:
        """The text with more of it at the end."""
        self.refuse_braces()
        text, indent = self.text, 0
        if self.blocks:
            indent = self.blocks[0].key.start_mark.column
        elif self._root is not None:  # `{}` or `null`, the word for nothing, makes room
            start, end = self._root.start_mark.index, self._root.end_mark.index
            text = text[:start] + text[end:].lstrip()
        gap = self._break if text and not _BREAK.match(text[-1]) else ""
        return text + gap + self._lines(content, indent)

    def changed(self, block: _Block, key: str, value: object) -> str:
        """The text with one setting of a target as it should be."""
        if block.is_alias:
            raise _wrong(_line(block.key), f"{block.name} is written as an alias", _BY_HAND)
        if not block.pairs or block.value.flow_style:
            return self._in_braces(block, key, value)
        for word, node in block.pairs:
            if _word(word) == key:
                return self.cut(word, node) if value is None else self._replaced(word, node, value)
        if value is None:
            return self.text
        at = self._end_of_line(_end(*block.pairs[-1]))
        added = self._lines({key: value}, block.pairs[0][0].start_mark.column)
        return self.text[:at] + self._break + added.rstrip("\r\n") + self.text[at:]

    def cut(self, key: Any, value: Any) -> str:
        """The text without the lines of a key and its value, and what is said beside them."""
        start = key.start_mark.index - key.start_mark.column
        end = self._end_of_line(_end(key, value))
        after = _BREAK.match(self.text, end)
        return self.text[:start] + self.text[after.end() if after else end :]

    def _in_braces(self, block: _Block, key: str, value: object) -> str:
        settings = {**block.entry.settings, key: value}
        if value is None:
            del settings[key]
        start, end = block.value.start_mark.index, block.value.end_mark.index
        return self._put(start, end, settings)

    def _replaced(self, key: Any, node: Any, value: object) -> str:
        if node.start_mark.index < key.start_mark.index:  # an alias; its name stands here
            found = _ALIAS.search(self.text, key.end_mark.index)
            assert found is not None
            return self._put(found.start(), found.end(), value)
        return self._put(node.start_mark.index, _end(key, node), value)

    def _put(self, start: int, end: int, value: object) -> str:
        # A list may stand below its key without indentation, `[...]` may not.
        gap = "  " if self.text[start : start + 1] == "-" else " "
        beside = self.text[start - 1] in " \t"
        between = "" if beside and gap == " " else gap
        return self.text[:start] + between + _inline(value) + self.text[end:]

    def _lines(self, content: object, indent: int) -> str:
        lines = _dump(content, default_flow_style=False).splitlines()
        return "".join(f"{' ' * indent}{line}{self._break}" for line in lines)

    def _end_of_line(self, at: int) -> int:
        found = _BREAK.search(self.text, at)
        return found.start() if found else len(self.text)


# Nodes --------------------------------------------------------------------------------------------


def _pairs(node: Any, otherwise: str) -> list[tuple[Any, Any]]:
    import yaml

    if not isinstance(node, yaml.MappingNode):
        raise _wrong(_line(node), otherwise, _EXAMPLE)
    return list(node.value)


def _is_nothing(node: Any) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def _made(loader: Any, node: Any) -> object:
    try:
        return loader.construct_object(node, deep=True)
    except ValueError as error:
        kind = node.tag.rpartition(":")[2]
        raise _wrong(_line(node), f"{node.value!r} is no {kind}: {error}", _EXAMPLE) from None


def _word(node: Any) -> str:
    """A key as it is written: names such as `on` or `12` mean themselves."""
    import yaml

    if not isinstance(node, yaml.ScalarNode) or not node.value:
        raise _wrong(_line(node), "a name is missing, or is no word", _EXAMPLE)
    return str(node.value)


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1


def _end(key: Any, node: Any) -> int:
    """Where the text of a value ends, or of its key for an alias; comments after it stay out."""
    import yaml

    if node.start_mark.index < key.start_mark.index:
        return int(key.end_mark.index)
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        last = node.value[-1]
        return _end(*last) if isinstance(last, tuple) else _end(node, last)
    end = int(node.end_mark.index)
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        # Empty lines after it belong to it; ends of texts that are kept whole are in the buffer.
        return len(str(node.end_mark.buffer)[:end].rstrip())
    return end


def _dump(content: object, **how: Any) -> str:
    import yaml

    how = {"sort_keys": False, "width": 10_000, **how}
    text = str(yaml.safe_dump(content, allow_unicode=True, **how))
    # Unicode's rarer line breaks would be read as blanks: then all is escaped.
    return str(yaml.safe_dump(content, **how)) if _RARE_BREAK.search(text) else text


def _inline(value: object) -> str:
    """A value as YAML within a line."""
    return _dump([value], default_flow_style=True).strip()[1:-1]


# Errors -------------------------------------------------------------------------------------------


@contextmanager
def _located(text: str) -> Iterator[None]:
    """What YAML cannot read becomes an error that names the line."""
    import yaml

    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark, said = error.problem_mark or error.context_mark, error.problem or "it is not YAML"
        line = mark.line + 1 if mark else 0
        if "\\t" in said:
            raise _wrong(line, "a tab stands where YAML wants spaces", _SPACES) from error
        raise _wrong(line, said, _EXAMPLE) from error
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        what = f"it holds the character U+{error.character:04X}"
        raise _wrong(line, what, _EXAMPLE) from error
    except RecursionError as error:
        raise _wrong(0, "it is nested too deeply", _EXAMPLE) from error


def _wrong(line: int, what: str, hint: str) -> UserErrorException:
    place = f"{FILE_NAME}, line {line}" if line else FILE_NAME
    return UserErrorException(f"{place}: {what}.", hint)


def _refuse_twice(pairs: Iterable[tuple[Any, Any]], what: str) -> None:
    seen: dict[str, int] = {}
    for key, _ in pairs:
        word = _word(key)
        if word in seen:
            raise _wrong(_line(key), f"{what} {word}", f"The first is in line {seen[word]}.")
        seen[word] = _line(key)
