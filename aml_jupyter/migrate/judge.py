"""What becomes of each use of v1: asked of the names, of our classes, and of the differences."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from ..compat import modules, shims
from ..compat.names import AZURE_ONLY, FEATURES, SETTABLE
from . import surface
from .differences import CALLED, KEYWORDS, LINES, MISSING, OF_FEATURES, Fact, rule_for
from .flow import Use
from .report import CANNOT, DIFFERS, SAME, Finding
from .sources import OddLine
from .types import lineage

_SAME = Fact(SAME, "")
_MOST_NAMED = 4


def judged(use: Use) -> Finding | None:
    """What becomes of that use; None where it says nothing about v1."""
    subject, fact = _JUDGES[use.kind](use)
    if fact is None:
        return None
    return Finding(use.place, fact.verdict, subject, fact.text, fact.way)


def judged_line(line: OddLine) -> Finding | None:
    """What becomes of a magic or a shell line, if it has to do with v1."""
    for pattern, subject, fact in LINES:
        if pattern.match(line.text):
            return Finding(line.place, fact.verdict, subject, fact.text, fact.way)
    return None


# Names ----------------------------------------------------------------------------------------


def _import(use: Use) -> tuple[str, Fact | None]:
    if use.name in ("", "*"):
        return _module(use.owner)
    if use.name in modules.later_of(use.owner):
        return use.name, _SAME  # it is the use that cannot be
    return _name(use)


def _module(module: str) -> tuple[str, Fact]:
    if module in modules.MODULES:
        return module, _SAME
    feature = _feature(module)
    return feature or module, _of_feature(feature) or Fact(CANNOT, "is a module that is not here")


def _name(use: Use) -> tuple[str, Fact | None]:
    path = f"{use.owner}.{use.name}"
    if use.name in modules.homes_of(use.owner) or path in modules.MODULES:
        return use.name, _SAME
    feature = modules.later_of(use.owner).get(use.name) or _feature(path)
    if feature:
        return feature, _of_feature(feature)
    return path, Fact(CANNOT, "is not here", _elsewhere(use.name))


def _elsewhere(name: str) -> str:
    if name.startswith("_") and not name.startswith("__"):
        return "it was private to SDK v1; what is public can do without"
    found = [module for module in sorted(modules.MODULES) if name in modules.homes_of(module)]
    return f"it is in {found[0]}" if found else ""


def _feature(path: str) -> str:
    """The feature of Azure that a module or a name belongs to; empty for none."""
    while path:
        if path in AZURE_ONLY:
            return AZURE_ONLY[path]
        path = path.rpartition(".")[0]
    return ""


def _of_feature(feature: str) -> Fact | None:
    if not feature:
        return None
    purpose, instead = FEATURES[feature]
    return Fact(CANNOT, f"is not here; v1 used it to {purpose}", instead)


# What objects have and take -------------------------------------------------------------------


def _member(use: Use) -> tuple[str, Fact | None]:
    subject = f"{use.owner}.{use.name}"
    there = surface.has(use.owner, use.name)
    feature = _feature_of(use.owner, use.module) or (not there and OF_FEATURES.get(subject))
    if feature:
        return feature, _of_feature(feature)
    rule = use.value is not None and rule_for(subject, use.value)
    if rule:
        return rule.subject, rule.fact
    if f"{use.owner}.{use.name}" in SETTABLE:
        return subject, _SAME
    known = _looked_up(CALLED, use.owner, use.name) or _refused(use.owner)
    if known is not None or there is not False:
        return subject, known or (_SAME if there else None)
    if use.stored:
        return subject, None  # Python lets one put anything there
    return subject, _looked_up(MISSING, use.owner, use.name) or _missing(use)


def _refused(owner: str) -> Fact | None:
    """What is said of a class that cannot be used at all."""
    known = CALLED.get(owner)
    return known if known is not None and known.verdict == CANNOT else None


def _missing(use: Use) -> Fact:
    close = difflib.get_close_matches(use.name, surface.members(use.owner), 2, 0.75)
    if use.name.startswith("_"):
        return Fact(CANNOT, "was private to SDK v1", "what is public can do without")
    return Fact(CANNOT, "is not here", f"there is {' and '.join(close)}" if close else "")


def _looked_up(table: Mapping[str, Fact], owner: str, member: str) -> Fact | None:
    """What a table says of a member, of the class or of a more general one."""
    found = (table.get(f"{name}.{member}") for name in lineage(owner))
    return next(filter(None, found), None)


def _keyword(use: Use) -> tuple[str, Fact | None]:
    subject = f"{use.owner}({use.name})"
    if surface.feature_of_class(use.owner.partition(".")[0]):
        return subject, None  # said at the name already
    known = KEYWORDS.get(subject)
    if known is not None:
        return subject, known
    rule = use.value is not None and rule_for(subject, use.value)
    if rule:
        return rule.subject, rule.fact
    taken = surface.keywords(use.owner)
    if taken is None or use.name in taken:
        return subject, None
    close = difflib.get_close_matches(use.name, taken, 2, 0.6) or taken[:_MOST_NAMED]
    more = ", …" if len(close) < len(taken) and close == taken[:_MOST_NAMED] else ""
    return subject, Fact(CANNOT, "is not taken", f"it takes {', '.join(close)}{more}")


def _value(use: Use) -> tuple[str, Fact | None]:
    rule = use.value is not None and rule_for(use.owner, use.value)
    return (rule.subject, rule.fact) if rule else (use.owner, None)


def _called_class(use: Use) -> tuple[str, Fact | None]:
    feature = surface.feature_of_class(use.name)
    return (feature, _of_feature(feature)) if feature else (use.name, CALLED.get(use.name))


def _object(use: Use) -> tuple[str, Fact | None]:
    feature = _feature_of(use.name, use.module)
    return feature, _of_feature(feature)


def _feature_of(name: str, module: str) -> str:
    """The feature that a class belongs to which we do not have; empty for one of ours."""
    return surface.feature_of_class(name) or _feature(f"{module}.{name}" if module else "")


def _foreign(use: Use) -> tuple[str, Fact | None]:
    module, _, name = use.owner.rpartition(".")
    today = shims.MODULES.get(use.owner) or shims.NAMES.get(module, {}).get(name)
    if today is None:
        return use.owner, None
    today = today.replace("builtins.", "")
    text = f"is no longer in {module.partition('.')[0]}"
    return use.owner, Fact(DIFFERS, text, f"{today}, or aml compat run --shims")


_JUDGES = {
    "import": _import,
    "name": _name,
    "member": _member,
    "keyword": _keyword,
    "value": _value,
    "call": _called_class,
    "object": _object,
    "foreign": _foreign,
}
