"""What `%aml_env` does and shows: tables, facts, and a build while it goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AmlError, UserErrorException
from ..watching.markup import FAINT, MONO, clean, escaped
from ..watching.terminal import plain
from .targets import Table

if TYPE_CHECKING:
    from ..environments.making import BuildError
    from ..spec import Environment
    from ..workspace import Workspace
    from ..workspace.command_table import Parsed
    from ..workspace.env_commands import EnvironmentBuild, Look
    from ..workspace.env_prune import Candidate, Pruned

_EVERY = 0.25
_TAIL = 12
_TAIL_OF_FAILED = 40
_BAR = 24


class Environments:
    """Carries out `%aml_env`, and remembers what the notebook uses."""

    def __init__(self, namespace: Mapping[str, object]) -> None:
        self._namespace = namespace
        self.used: str | None = None
        """What cells run in that do not say ``--env``; None for the notebook's own Python."""

    def for_run(self, named: str | None) -> Environment | None:
        """The environment of a run that names this one, or none."""
        chosen = self.used if named is None else named
        return None if chosen is None else _environment(chosen)

    def do(self, action: str, asked: Parsed) -> object:
        """Carry it out; returns what is to be shown of it."""
        doing: Mapping[str, Callable[[Parsed], object]] = {
            "list": self._list,
            "show": self._show,
            "use": self._use,
            "create": self._create,
            "build": self._build,
            "register": self._register,
            "clone": self._clone,
            "save": self._save,
            "check": self._check,
            "why": self._why,
            "prune": self._prune,
            "remove": self._remove,
        }
        return doing[action](asked)

    # Looking

    def _list(self, asked: Parsed) -> Table:
        from ..workspace.env_facts import COLUMNS, listed

        rows = [each.row() for each in listed(_workspace())]
        return Table(COLUMNS, [[_marked(row[0], self.used), *row[1:]] for row in rows])

    def _show(self, asked: Parsed) -> Facts:
        from ..workspace.env_facts import described

        return Facts(described(_workspace(), _environment(asked.words[0])).lines())

    def _why(self, asked: Parsed) -> Lines:
        from ..workspace.env_commands import target_for
        from ..workspace.env_facts import reasons_for

        environment = _environment(asked.words[0])
        target = target_for(environment, asked.given("docker"))
        return Lines(reasons_for(_workspace().folder, environment, target).text().split("\n"))

    def _check(self, asked: Parsed) -> Table:
        from ..workspace.env_commands import checked

        named = asked.words[0] if asked.words else None
        rows = [
            ["✖ damaged" if each.problems else "✔ whole", each.name, each.key,
             "; ".join(each.problems)]
            for each in checked(_workspace(), named, asked.given("deep"))
        ]  # fmt: skip
        return Table(("state", "environment", "key", "problems"), rows)

    # Using, making and keeping

    def _use(self, asked: Parsed) -> None:
        if asked.given("reset") == bool(asked.words):
            if asked.words:
                raise UserErrorException("`use` was told a name and --reset.", "Say one of them.")
            print(f"Cells run in {self.used or 'the Python of this notebook'}.")
            return
        if asked.given("reset"):
            self.used = None
            print("Cells run in the Python of this notebook again.")
            return
        named = _absolute(asked.words[0])
        environment = _told(_environment(named))
        self.used = named
        version = f":{environment.version}" if environment.version else ""
        print(f"Cells run in {environment.name}{version} from now on; --env says another.")

    def _create(self, asked: Parsed) -> None:
        from ..workspace.env_commands import created

        _tell_registered(created(_workspace, asked))

    def _register(self, asked: Parsed) -> None:
        from ..spec import Environment
        from ..workspace.env_commands import registered

        word = asked.words[0]
        found = self._namespace.get(word)
        if not isinstance(found, Environment):
            if not Path(word).expanduser().exists():
                raise UserErrorException(
                    f"{word} is no Environment of this notebook, and no file or folder.",
                    "Name a variable, a folder that `%aml_env save` wrote, or a file: env.yml.",
                )
            found = _environment(_absolute(word))
        _tell_registered(registered(_workspace, found, asked.text("name")))

    def _clone(self, asked: Parsed) -> None:
        from ..workspace.env_commands import cloned

        _tell_registered(cloned(_workspace, *asked.words))

    def _save(self, asked: Parsed) -> None:
        from ..workspace.env_commands import saved

        print(f"Saved in {saved(_workspace, asked)}.")

    def _build(self, asked: Parsed) -> None:
        from ..workspace.env_commands import EnvironmentBuild

        environment = _told(_environment(asked.words[0]))
        follow(EnvironmentBuild(_workspace(), environment, asked.given("docker")))

    # Removing

    def _prune(self, asked: Parsed) -> Table | None:
        from ..workspace.env_prune import candidates
        from ..workspace.env_table import OLDEST_KEPT

        older = asked.count("older_than")
        if asked.given("all") and older is not None:
            raise UserErrorException(
                "--all and --older-than exclude each other.", "Leave one of them out."
            )
        usual = 0 if asked.given("all") else OLDEST_KEPT
        return _removed(candidates(usual if older is None else older), asked)

    def _remove(self, asked: Parsed) -> Table | None:
        from ..workspace.env_commands import built_named
        from ..workspace.env_prune import of_builds

        return _removed(of_builds(built_named(_workspace(), asked.words[0])), asked)


def _removed(found: Sequence[Candidate], asked: Parsed) -> Table | None:
    """Remove what may go if that was confirmed; a table of what there is, and is to go."""
    from ..workspace.env_facts import SHORT_KEY, shown_age, shown_size
    from ..workspace.env_prune import remove

    may_go = [each for each in found if not each.kept]
    if asked.given("yes") and not asked.given("dry_run"):
        done: Pruned = remove(found, _workspace().folder)
        print(f"Freed {shown_size(done.freed)}: {_counted(len(done.removed))}.")
        left = done.kept
    else:
        size = shown_size(sum(each.size for each in may_go))
        how = "" if asked.given("dry_run") or not may_go else " Add --yes to remove them."
        print(f"Would free {size}: {_counted(len(may_go))}.{how}")
        left = found
    heads = ("key", "environment", "kind", "size", "used", "stays because")
    rows = [
        [
            each.key[:SHORT_KEY],
            each.name,
            each.kind,
            shown_size(each.size),
            shown_age(each.used),
            each.kept,
        ]
        for each in left
    ]
    return Table(heads, rows) if rows else None


def _counted(number: int) -> str:
    return f"{number} environment{'' if number == 1 else 's'}"


def _marked(name: str, used: str | None) -> str:
    plain = name.partition(":")[0].lower()
    is_used = used is not None and used.partition(":")[0].lower() == plain
    return f"{name} (in use here)" if is_used else name


def _absolute(text: str) -> str:
    """A path as it is found after the notebook changed its folder; other words as they are."""
    path = Path(text).expanduser()
    return str(path.absolute()) if path.exists() and (os.sep in text or path.is_file()) else text


def _workspace() -> Workspace:
    from ..workspace import Workspace

    return Workspace.from_config()


def _environment(text: str) -> Environment:
    from ..workspace.run_options import environment_of

    return environment_of(text, _workspace)


def _told(environment: Environment) -> Environment:
    for note in environment.notes:
        print(note)
    return environment


def _tell_registered(environment: Environment) -> None:
    _told(environment)
    print(f"{environment.name}:{environment.version} is registered.")


# A build --------------------------------------------------------------------------------------


def follow(build: EnvironmentBuild) -> None:
    """Show a build in one display until it is over; BuildError when it failed.

    Interrupting this leaves the build alone.
    """
    from ..environments.making import BuildError

    view = BuildView(build)
    try:
        for look in build.looks():
            view.show(look)
        build.end()
    except KeyboardInterrupt:
        raise UserErrorException(
            f"Watching the build of {build.environment.name} was interrupted; it goes on.",
            f"%aml_env build {build.environment.name} shows it again.",
        ) from None
    except BuildError as error:
        raise _in_short(error) from error


def _in_short(error: BuildError) -> AmlError:
    """The error in two lines; its words are in the display already."""
    at_fault = f" At fault: {clean(error.line)}." if error.line else ""
    return AmlError(clean(error.message) + at_fault, error.hint)


class BuildView:
    """One display that shows a build, and is updated where displays can be."""

    def __init__(self, build: EnvironmentBuild) -> None:
        self._build = build
        self._handle: Any = None
        self._shown: dict[str, object] = {}
        self._next = 0.0

    def show(self, look: Look) -> None:
        """Show how it is now, if that is due or the end."""
        if time.monotonic() < self._next and not look.is_over:
            return
        self._next = time.monotonic() + _EVERY
        bundle = self.bundle(look)
        if bundle == self._shown:
            return
        self._shown = bundle
        self._display(bundle, look.is_over)

    def _display(self, bundle: dict[str, object], is_over: bool) -> None:
        from IPython.display import display

        from .views import surface

        if surface() == "once":  # where a display cannot be changed, only the end is shown
            if is_over:
                display(bundle, raw=True)  # type: ignore[no-untyped-call]
        elif self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)

    def bundle(self, look: Look) -> dict[str, object]:
        """The build as text and as HTML."""
        head = self._head(look)
        why = [] if self._build.had_nothing_to_do else [plain(line) for line in look.why]
        log = [] if self._is_fine(look) else self._log(look)
        bar = look.total and not look.is_over
        text = [head, *(f"  {clean(line)}" for line in why)]
        text += [_bar_text(look)] if bar else []
        text += [clean(line) for line in log]
        inner = f"<div><b>{escaped(head)}</b></div>"
        inner += "".join(f'<div style="{FAINT}">{escaped(line)}</div>' for line in why)
        inner += _bar(look) if bar else ""
        if log:
            wrapped = "white-space:pre-wrap;overflow-wrap:anywhere;word-break:normal"
            style = f"{MONO};{wrapped};margin:4px 0 0;{FAINT}"
            inner += f'<pre style="{style}">{escaped(chr(10).join(log))}</pre>'
        return {"text/plain": "\n".join(text), "text/html": f"<div>{inner}</div>"}

    def _is_fine(self, look: Look) -> bool:
        return look.is_over and look.error is None

    def _log(self, look: Look) -> list[str]:
        lines = self._build.tail(_TAIL_OF_FAILED if look.error else _TAIL)
        said_above = [f"  {line}" for line in look.why]
        return [plain(line) for line in lines if line not in said_above]

    def _head(self, look: Look) -> str:
        from ..workspace.env_facts import shown_size

        name, build = clean(self._build.environment.name), self._build
        if look.error is not None:
            return f"✖ {name} could not be built."
        if not look.is_over:
            return f"Building {name} · {look.seconds:.0f} s · {clean(look.text)}"
        built = build.built
        if not build.key:
            return f"✔ {name} needs no build: {build.result}"
        if built is None or build.had_nothing_to_do:
            return f"✔ {name} is built already: {build.result}"
        count = len(built.packages)
        size = f"{count} package{'' if count == 1 else 's'}"
        # An image's size is known a bit later.
        size += f", {shown_size(built.size)}" if built.size else ""
        return f"✔ {name} is ready, built in {built.seconds:.1f} s ({size}): {build.result}"


def _bar(look: Look) -> str:
    return (
        f'<div><progress max="{look.total}" value="{look.done}"></progress> '
        f"{look.done} of {look.total}</div>"
    )


def _bar_text(look: Look) -> str:
    filled = min(_BAR, _BAR * look.done // look.total)
    return f"{'█' * filled}{'·' * (_BAR - filled)} {look.done} of {look.total}"


# Forms ----------------------------------------------------------------------------------------


class Facts:
    """Names and texts, one below the other; a text may have several lines."""

    def __init__(self, lines: Sequence[tuple[str, str]]) -> None:
        self._lines = [(clean(name), clean(text)) for name, text in lines]

    def __repr__(self) -> str:
        width = max((len(name) for name, _ in self._lines), default=0)
        shown = []
        for name, text in self._lines:
            first, *more = text.split("\n")
            shown.append(f"{name:{width}}  {first}".rstrip())
            shown += [f"{'':{width}}  {line}" for line in more]
        return "\n".join(shown)

    def _repr_html_(self) -> str:
        left = "text-align:left;vertical-align:top"
        style = f"{left};white-space:pre-wrap;overflow-wrap:anywhere"
        rows = "".join(
            f'<tr><th scope="row" style="{left}">{escaped(name)}</th>'
            f'<td style="{style}">{escaped(text)}</td></tr>'
            for name, text in self._lines
        )
        return f"<table><tbody>{rows}</tbody></table>"


class Lines:
    """A sentence, and what it is about in the lines below."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = [clean(line) for line in lines]

    def __repr__(self) -> str:
        return "\n".join(self._lines)

    def _repr_html_(self) -> str:
        first, *more = self._lines
        style = f"{MONO};white-space:pre-wrap;overflow-wrap:anywhere"
        rest = "".join(f'<div style="{style}">{escaped(line)}</div>' for line in more)
        return f"<div>{escaped(first)}</div>{rest}"
