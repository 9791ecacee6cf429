"""Write the table of v1's import names into docs/compat.md, from `aml_jupyter.compat.names`.

With `--check` nothing is written, only compared.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from aml_jupyter.compat.modules import MODULES, homes_of, later_of
from aml_jupyter.compat.names import AZURE_ONLY, FEATURES

TARGET = Path(__file__).resolve().parent.parent / "docs" / "compat.md"
BEGIN = "<!-- generated from aml_jupyter/compat/names.py by scripts/generate_names.py -->\n"
END = "<!-- end of what is generated -->\n"


def main() -> int:
    """Write the table, or with `--check` say whether it is up to date."""
    page = TARGET.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    wanted = f"{before}{BEGIN}\n{render()}\n{END}{rest.partition(END)[2]}"
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(wanted, encoding="utf-8")
        return 0
    if page == wanted:
        return 0
    print("docs/compat.md is out of date: run scripts/generate_names.py")
    return 1


def render() -> str:
    """Return the three tables: modules, features that come later, features of Azure only."""
    return "\n".join([*modules(), "", *features("Not here yet", later()), "", *azure_only()])


def modules() -> Iterator[str]:
    """Yield the table of modules and their names."""
    yield "| Module | Names |"
    yield "| --- | --- |"
    for module in sorted(MODULES):
        ours, names = homes_of(module), {**homes_of(module), **later_of(module)}
        shown = [f"`{name}`" if name in ours else f"*{name}*" for name in sorted(names)]
        if shown:
            yield f"| `{module}` | {', '.join(shown)} |"


def later() -> dict[str, list[str]]:
    """Return the features that come later, and their modules."""
    found: dict[str, list[str]] = {}
    for module in sorted(MODULES):
        for feature in dict.fromkeys(later_of(module).values()):
            found.setdefault(feature, []).append(module)
    return found


def azure_only() -> Iterator[str]:
    """Yield the table of what only a service of Azure can give."""
    found: dict[str, list[str]] = {}
    for name, feature in AZURE_ONLY.items():
        found.setdefault(feature, []).append(name)
    yield from features("Azure only", found)


def features(title: str, found: dict[str, list[str]]) -> Iterator[str]:
    """Yield a table of features: where they were, what for, and what there is instead."""
    yield f"| {title} | Modules and names | SDK v1 used it to | Here |"
    yield "| --- | --- | --- | --- |"
    for feature, names in sorted(found.items()):
        purpose, instead = FEATURES[feature]
        shown = ", ".join(f"`{name}`" for name in names)
        yield f"| {feature} | {shown} | {purpose} | {instead} |"


if __name__ == "__main__":
    sys.exit(main())
