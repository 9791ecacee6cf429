"""How groups of configuration fields become JSON or YAML, and come back."""

from __future__ import annotations

import copy
import numbers
import os
from collections.abc import Mapping
from typing import ClassVar

from aml_jupyter.errors import RunConfigurationException

_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (int, "a whole number"),
    (str, "text"),
    (list, "a list"),
    (dict, "a mapping"),
)


def keys(*fields: str, **odd: str) -> Mapping[str, str]:
    """Each field's key in v1's files: camelCase, but for the ``odd`` ones."""
    return {field: odd.get(field) or _camel_case(field) for field in fields}


def _camel_case(field: str) -> str:
    first, *others = field.split("_")
    return first + "".join(word.capitalize() for word in others)


class Section:
    """A group of fields that reads and writes itself under v1's camelCase keys.

    A subclass sets its defaults when constructed and names its fields with ``_keys = keys(…)``,
    in the order in which they are written.
    Attributes beyond those are allowed and ignored, as v1 does.
    """

    _keys: ClassVar[Mapping[str, str]] = keys()

    def to_json(self) -> dict[str, object]:
        """The fields under v1's keys, made of nothing but what JSON and YAML know."""
        return {key: plain(getattr(self, field)) for field, key in self._keys.items()}

    def update(self, record: Mapping[str, object], where: str = "") -> None:
        """Take over the fields that ``record`` names; the others stay as they are.

        Keys are compared without case (v1 itself writes both ``amlcompute`` and ``amlCompute``)
        and unknown ones are skipped. ``where`` says in errors where the record came from.
        """
        found = {str(key).lower(): value for key, value in record.items()}
        for field, key in self._keys.items():
            if key.lower() in found:
                self._take(field, found[key.lower()], f"{where}.{key}" if where else key)

    def changed(self) -> dict[str, object]:
        """The part of :meth:`to_json` that differs from a section nobody has touched."""
        fresh = self._fresh().to_json()
        return {key: value for key, value in self.to_json().items() if value != fresh.get(key)}

    def _fresh(self) -> Section:
        return type(self)()

    def _take(self, field: str, value: object, where: str) -> None:
        current = getattr(self, field)
        if isinstance(current, Section):
            if value is not None:
                current.update(as_mapping(value, where), where)
        else:
            setattr(self, field, _fitting(value, current, where))

    def __repr__(self) -> str:
        fields = ", ".join(f"{field}={getattr(self, field)!r}" for field in self._keys)
        return f"{type(self).__name__}({fields})"


def shown(section: Section, *always: str) -> dict[str, object]:
    """The keys ``always`` of the section, and of its other keys those that somebody has set.

    v1's run definitions leave some fields out; ours do so only while they say nothing.
    """
    everything = section.to_json()
    return {key: everything[key] for key in dict.fromkeys((*always, *section.changed()))}


def plain(value: object) -> object:
    """``value`` made of nothing but what JSON and YAML know."""
    if value is None or isinstance(value, bool):
        return value
    # Numbers of numpy are subclasses or look-alikes, which a YAML writer refuses.
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(member) for member in value]
    to_json = getattr(value, "to_json", None)
    return to_json() if callable(to_json) else str(value)


def as_mapping(value: object, where: str) -> Mapping[str, object]:
    """``value``, which has to be a mapping; ``where`` names it in the error."""
    if isinstance(value, Mapping):
        return value
    raise _misfit(value, "a mapping", where)


def _fitting(value: object, current: object, where: str) -> object:
    """``value`` for a field that holds ``current``; refused when it is of another kind."""
    kind, name = next((pair for pair in _KINDS if isinstance(current, pair[0])), (object, ""))
    if value is None:
        return None if kind in (str, object) else current
    if kind is str and isinstance(value, (int, float)):
        return str(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _misfit(value, name, where)
    return copy.deepcopy(value)


def _misfit(value: object, wanted: str, where: str) -> RunConfigurationException:
    return RunConfigurationException(
        f"{where} is {value!r}, but it has to be {wanted}.", "Correct it there and try again."
    )


def read_yaml(path: str, what: str) -> Mapping[str, object]:
    """The mapping in the YAML file ``path``; ``what`` names such a file in errors."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        raise RunConfigurationException(
            f"There is no {what} {path}.", f"Paths are relative to {os.getcwd()}; check the name."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RunConfigurationException(
            f"The {what} {path} cannot be read: {error}.", "It has to be a text file in UTF-8."
        ) from error
    return _parse_yaml(text, path)


def _parse_yaml(text: str, where: str) -> Mapping[str, object]:
    """The mapping that ``text`` holds; an empty text is an empty mapping."""
    import yaml

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise RunConfigurationException(
            f"{where}{line} is not YAML: {getattr(error, 'problem', None) or error}.",
            "Look for tabs, missing spaces after `:` and unclosed brackets near that line.",
        ) from error
    return as_mapping({} if content is None else content, where)


def dump_yaml(content: object) -> str:
    """``content`` as YAML in block style, keys in the order they have."""
    import yaml

    text = yaml.safe_dump(content, default_flow_style=False, sort_keys=False, allow_unicode=True)
    return str(text)
