"""The process that builds one environment, for all who wait, and outlives whoever began it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aml_jupyter.errors import AmlError

from . import cache, damage
from .making import BuildError, Made, Site, of_system, with_room_in_mind
from .recipe import CONDA, IMAGE, VENV, Recipe
from .shelf import BUILD_VARIABLE, Shelf

_TELL_EVERY = 0.25
_OWN_VARIABLES = ("AML_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "PYTHONPATH", BUILD_VARIABLE)


def main() -> None:
    """Read the order from standard input and build what it asks for, in the folder named."""
    order = json.load(sys.stdin)
    # What this starts must not hold the lock when this has ended.
    os.set_inheritable(int(order["lock"]), False)
    # Pythons, conda and engines are looked for where the submitter would find them.
    given = order["variables"].items()
    os.environ.update((name, text) for name, text in given if name not in _OWN_VARIABLES)
    Builder(Shelf(Path(sys.argv[1])), order).run()


class Builder:
    """One attempt to build one environment."""

    def __init__(self, shelf: Shelf, order: Mapping[str, Any]) -> None:
        self._shelf = shelf
        self._order = order
        self._recipe = Recipe.from_json(order["recipe"])
        self._why = [str(reason) for reason in order["why"]]
        self._begun = time.time()
        self._told = 0.0
        self._latest = (0, 0, "")
        self._timer: threading.Timer | None = None
        self._is_mending = False

    def run(self) -> None:
        """Build, unless all is well already, and write down how it ended."""
        try:
            self._tell(0, 0, "preparing")
            if not self._is_whole_already():
                self._finish(self._build())
        except BuildError as error:
            self._fail(error)
        except OSError as error:
            self._fail(of_system(error, self._shelf.folder))
        except Exception as error:  # noqa: BLE001 - the process ends here, and must say how
            self._fail(_of_ours(error))
        finally:
            if self._timer is not None:
                self._timer.cancel()
            shutil.rmtree(self._shelf.scratch, ignore_errors=True)
            for mark in self._shelf.wanted.iterdir():
                mark.unlink(missing_ok=True)

    def _is_whole_already(self) -> bool:
        """Look over what is there; what is wrong with it becomes a reason to build."""
        shelf = self._shelf
        if not shelf.read("ready"):
            return False
        if cache.must_pull(self._recipe, self._order["options"]):
            self._why += ["the target's setting pull is `always`"]
            return False
        self._tell(0, 0, "looking over the cached environment")
        deep = bool(shelf.read("damaged").get("deep"))
        problems = cache.check(shelf.key, deep=deep, options=self._order["options"])
        if problems:
            self._is_mending = True
            what = "" if self._recipe.kind == IMAGE else "the cached environment was damaged: "
            self._why += [f"{what}{text}" for text in problems[:5]]
            return False
        self._say(f"Environment {shelf.key} was looked over; all files are there.")
        shelf.write("ready", {**shelf.read("ready"), "attempt": self._order["attempt"]})
        return True

    def _build(self) -> Made:
        shelf = self._shelf
        self._head()
        # Whoever starts anything makes one of these first, and a failure ends what it started.
        if shelf.scratch.exists() or shelf.env.exists():
            cache.end_leftovers(shelf)
        shelf.clear()
        shelf.drop("size", "damaged")
        shelf.reserve()
        with self._site() as site:
            made = _maker(self._recipe.kind)(self._recipe, site)
            return self._made_whole(made, site) if self._is_mending else made

    def _made_whole(self, made: Made, site: Site) -> Made:
        """``made``, or made once more from fresh downloads if it is as damaged as it was before.

        An environment's files are links into uv's cache: who wrote into one damaged both.
        """
        problems = damage.thorough_problems(site.target, deep=True)
        if not problems or self._recipe.kind == IMAGE:
            return made
        from . import venv

        names = sorted({problem.partition(":")[0] for problem in problems})
        self._say(f"The download cache is damaged, too: {', '.join(names)}.")
        venv.forget(names, site)
        shutil.rmtree(site.target)
        return _maker(self._recipe.kind)(self._recipe, site)

    @contextmanager
    def _site(self) -> Iterator[Site]:
        scratch = self._shelf.scratch
        for folder in (scratch.parent, scratch):
            folder.mkdir(mode=0o700, exist_ok=True)
        order = self._order
        yield Site(
            target=self._shelf.env,
            scratch=scratch,
            variables={**order["variables"], BUILD_VARIABLE: str(self._shelf.folder)},
            options=order["options"],
            secrets=order["secrets"],
            log=self._shelf.log,
            on_progress=self._progress,
        )

    def _head(self) -> None:
        name = self._order["name"] or "without a name"
        self._say(f"Building environment {name} ({self._recipe.kind} {self._shelf.key})")
        for line in self._why:
            self._say(f"  {line}")
        for line in self._order["notes"]:
            self._say(str(line))
        self._tell(0, 0, "starting")

    def _finish(self, made: Made) -> None:
        shelf, recipe = self._shelf, self._recipe
        sealed = damage.seal(shelf.env, made.interpreter) if recipe.kind != IMAGE else {}
        seconds = time.time() - self._begun
        facts = dict(made.facts)
        if recipe.kind == IMAGE:
            self._remember_engine(facts)
        record = {
            "attempt": self._order["attempt"],
            "name": self._order["name"],
            "kind": recipe.kind,
            "interpreter": made.interpreter,
            "image": made.image,
            "python": made.python,
            "packages": list(made.packages),
            "seal": sealed,
            "made": time.time(),
            "seconds": seconds,
            "notes": facts.pop("notes", []),
            "facts": facts,
        }
        (shelf.folder / "reserve").unlink(missing_ok=True)
        (shelf.folder / "checked").touch(mode=0o600)
        self._say(f"Ready after {seconds:.1f} s: {_counted(len(made.packages))}.")
        shelf.write("ready", record)
        # Those who wait go on already; the size is for lists.
        shelf.write("size", {"size": self._size(made)})

    def _remember_engine(self, facts: dict[str, object]) -> None:
        """Keep what there is on this engine apart from what others have under the same key."""
        seen = {"image": facts.get("image"), "bases": facts.pop("bases")}
        self._shelf.write(
            "engines", {**self._shelf.read("engines"), str(facts.pop("engine")): seen}
        )

    def _size(self, made: Made) -> int:
        if self._recipe.kind == IMAGE:
            from . import image_store

            return image_store.size(made, self._order["options"])
        return _size_of(self._shelf.env)

    def _fail(self, error: BuildError) -> None:
        shelf = self._shelf
        if self._recipe.kind != IMAGE:  # whose disk is the engine's
            error = with_room_in_mind(error, shelf.folder)
        cache.end_leftovers(shelf)
        shelf.clear()
        record = {"message": error.message, "hint": error.hint, "line": error.line}
        shelf.write("failed", {**record, "said": error.said, "attempt": self._order["attempt"]})
        self._say("\n".join(filter(None, [f"Failed: {error.message}", error.hint])))

    def _progress(self, done: int, total: int, text: str) -> None:
        """Tell it now or soon, and never more often than is good for the disk."""
        self._latest = (done, total, text)
        soon = self._told + _TELL_EVERY - time.monotonic()
        if soon <= 0:
            self._tell(done, total, text)
        elif self._timer is None or not self._timer.is_alive():
            self._timer = threading.Timer(soon, lambda: self._tell(*self._latest))
            self._timer.daemon = True
            self._timer.start()

    def _tell(self, done: int, total: int, text: str) -> None:
        self._told = time.monotonic()
        state = {"done": done, "total": total, "text": text, "why": self._why, "spoken": True}
        self._shelf.write("state", {**state, "attempt": self._order["attempt"]})

    def _say(self, line: str) -> None:
        try:
            with open(self._shelf.log, "a", encoding="utf-8", errors="replace") as log:
                log.write(f"{line}\n")
        except OSError:
            pass  # A full disk: what went wrong is in a record that has room put aside.


def _counted(packages: int) -> str:
    return "1 package" if packages == 1 else f"{packages} packages"


def _maker(kind: str) -> Callable[[Recipe, Site], Made]:
    if kind == VENV:
        from . import venv

        return venv.make
    if kind == CONDA:
        from . import conda

        return conda.make
    if kind == IMAGE:
        from . import image

        return image.make
    raise BuildError(
        f"Environments of the kind {kind!r} cannot be built here.",
        "The run was submitted by another version of aml-jupyter; submit it again.",
    )


def _of_ours(error: Exception) -> BuildError:
    import traceback

    if isinstance(error, AmlError):
        return BuildError(error.message, error.hint)
    traceback.print_exc()
    message = f"The environment could not be built: {type(error).__name__}: {error}"
    return BuildError(message, "Where it happened stands in the build's log.")


def _size_of(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            total += os.lstat(os.path.join(place, name)).st_size
    return total
