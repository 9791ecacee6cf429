"""Runconfig files, and lists of packages for conda: what of v1 they hold."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from .differences import A_PACKAGE, AN_IMAGE, V1_IMAGE, V1_PACKAGES, rule_for
from .report import SAME, FileReport, Finding
from .sources import Place, Source

_RUNCONFIG = {"framework", "target", "environment", "script", "nodeCount", "history"}
_CONDA = {"dependencies", "channels", "name", "prefix", "variables"}
_OURS = re.compile(r"azureml[-_.]")


def examined(source: Source, report: FileReport) -> None:
    """Add what the file holds to its report; a file of another kind is nobody's business."""
    try:
        root = yaml.compose(source.text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        if source.path.suffix == ".runconfig":
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            report.problems.append((Place(line), f"no YAML: {error.problem}"))
        return
    except (yaml.YAMLError, RecursionError):
        return
    if not isinstance(root, yaml.MappingNode):
        return
    keys = {_text(key) for key, _ in root.value}
    if len(_RUNCONFIG & keys) >= 3 and "$schema" not in keys:
        found = _of_runconfig(root)
    elif "dependencies" in keys and keys <= _CONDA:
        found = _of_packages(root)
    else:
        return
    report.findings = sorted(found, key=lambda each: each.place.line)


def _of_runconfig(root: yaml.MappingNode) -> Iterator[Finding]:
    for path, node in _leaves(root, ""):
        text = _text(node)
        if path == "framework":
            yield _framework(node, text)
        elif path.endswith("docker.baseImage") and "mcr.microsoft.com/azureml/" in text:
            yield Finding(_place(node), AN_IMAGE.verdict, V1_IMAGE, AN_IMAGE.text)
        elif path in ("target", "script", "communicator", "nodeCount"):
            yield Finding(_place(node), SAME, path)
    yield from _of_packages(root)


def _framework(node: yaml.Node, text: str) -> Finding:
    rule = rule_for("RunConfiguration.framework", text)
    if rule is None:
        return Finding(_place(node), SAME, "framework")
    return Finding(_place(node), rule.fact.verdict, rule.subject, rule.fact.text, rule.fact.way)


def _of_packages(root: yaml.MappingNode) -> Iterator[Finding]:
    for path, node in _leaves(root, ""):
        text = _text(node)
        if "ependencies" in path and _OURS.match(text):
            yield Finding(_place(node), A_PACKAGE.verdict, V1_PACKAGES, A_PACKAGE.text)


def _leaves(node: yaml.Node, path: str) -> Iterator[tuple[str, yaml.Node]]:
    """Each scalar with the keys that lead to it; what is named twice is looked at once."""
    waiting = [(path, node)]
    seen: set[int] = set()
    while waiting:
        path, node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            waiting += [(f"{path}.{_text(key)}".strip("."), value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(path, value) for value in node.value]
        else:
            yield path, node


def _text(node: yaml.Node) -> str:
    return node.value if isinstance(node, yaml.ScalarNode) else ""


def _place(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1)
