"""The text of the files that a captured cell becomes. They run in any Python >= 3.8."""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .capture import Item

NAME = "aml_prelude.py"
VALUES = "aml_values.pkl"
OUT = "aml_out.pkl"

DISPLAY = '''\
def display(*things, **_):
    """What a notebook would show, a run prints."""
    print(*things, sep="\\n")'''

_LOAD = '''\
def _aml_load():
    """Give the names in aml_values.pkl to the cell."""
    import os, pickle, sys

    if sys.version_info[:2] != {version}:
        raise RuntimeError(
            "The values sent with --with were pickled by Python {shown}, and this is Python %d.%d: "
            "use an environment with Python {shown}, or make them inside the cell."
            % sys.version_info[:2]
        )

    class Loader(pickle.Unpickler):
        def persistent_load(self, name):
            return globals()[name]

    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "aml_values.pkl"), "rb") as f:
        try:
            globals().update(Loader(f).load())
        except ImportError as error:
            raise RuntimeError(
                "The values sent with --with need a package that this environment lacks: %s."
                % error
            ) from error


_aml_load()'''

_SAVE = '''\
def _aml_save_out(names, shipped, folder=__import__("os").path.abspath("outputs")):
    """Keep the variables that --out asked for; called at the end of the cell."""
    import os, pickle

    missing = [name for name in names if name not in globals()]
    if missing:
        raise NameError("--out asked for %s, which the cell did not make." % ", ".join(missing))
    try:
        from cloudpickle import Pickler
    except ImportError:
        Pickler = pickle.Pickler
    by_name = {id(globals()[name]): name for name in shipped if name in globals()}

    class Saver(Pickler):
        def persistent_id(self, value):
            return by_name.get(id(value))

    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "aml_out.pkl")
    with open(path + ".tmp", "wb") as f:
        Saver(f).dump({name: globals()[name] for name in names})
    os.replace(path + ".tmp", path)'''


def files(
    cell: str,
    items: Sequence[Item],
    values: bytes | None,
    *,
    futures: Sequence[str],
    out: Sequence[str],
    script: str,
) -> dict[str, bytes]:
    """The script, its prelude and its pickled values, by file name."""
    made = {
        script: _script(cell, items, futures, out, script).encode(),
        NAME: _prelude(items, futures, out).encode(),
    }
    if values is not None:
        made[VALUES] = values
    return made


def pickled(values: Mapping[str, object], shipped: Mapping[str, object]) -> bytes:
    """``values`` pickled; what is ``shipped`` as source is referred to by its name there."""
    import cloudpickle

    by_name = {id(value): name for name, value in shipped.items()}

    class Saver(cloudpickle.Pickler):  # type: ignore[misc]
        def persistent_id(self, value: object) -> str | None:
            return by_name.get(id(value))

    buffer = io.BytesIO()
    Saver(buffer).dump(dict(values))
    return buffer.getvalue()


def unpickled(data: bytes, namespace: Mapping[str, object]) -> dict[str, object]:
    """What ``--out`` kept; definitions that the notebook has are the notebook's own."""

    class Loader(pickle.Unpickler):
        def persistent_load(self, name: str) -> object:
            return namespace[name]

    found = Loader(io.BytesIO(data)).load()
    return dict(found)


def _script(
    cell: str, items: Iterable[Item], futures: Sequence[str], out: Sequence[str], script: str
) -> str:
    future = f"from __future__ import {', '.join(futures)}; " if futures else ""
    # Lines 2 and on are the cell's own, so that a traceback names the line the user sees.
    path = f'__file__[:-{len(script)}] + "{NAME}"'
    first = f'{future}exec(compile(open({path}, "rb").read(), {path}, "exec"))'
    text = f"{first}\n{cell.rstrip()}\n"
    if out:
        shipped = [item.name for item in items if item.kind == "source"]
        text += f"\n_aml_save_out({list(out)!r}, {shipped!r})\n"
    return text


def _prelude(items: Sequence[Item], futures: Sequence[str], out: Sequence[str]) -> str:
    parts = ["# What the cell took along from its notebook; line 1 of the script executes it."]
    if futures:
        parts.append(f"from __future__ import {', '.join(futures)}")
    for kind in ("import", "value"):
        lines = [item.code for item in items if item.kind == kind]
        if lines:
            parts.append("\n".join(dict.fromkeys(lines)))
    loaded = False
    for item in items:
        if item.kind == "source":
            origin = f"# from {item.origin}\n" if item.origin else ""
            parts.append(f"\n{origin}{item.code}")
        elif item.kind == "pickle" and not loaded:
            loaded = True
            parts.append(f"\n{_load()}")
    if out:
        parts.append(f"\n{_SAVE}")
    return "\n\n".join(parts) + "\n"


def _load() -> str:
    version = sys.version_info[:2]
    shown = f"{version[0]}.{version[1]}"
    return _LOAD.replace("{version}", str(tuple(version))).replace("{shown}", shown)
