"""``aml completion``: what the Tab key offers.

The scripts only ask back: ``aml completion words WORD… CURRENT`` prints what may stand in the
place of the last word. Nothing printed means that the shell offers file names.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence

from ..errors import AmlError
from ..job import states
from ..workspace.command_table import offered
from . import COMMANDS as ALL_COMMANDS
from . import OK, parser_for
from .parser import Command, Parser
from .present import print_json

_NEWEST = 100
_BREAKS = (":", "=")

_BASH = """\
_aml() {
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "$(aml completion words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" \\
        -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o bashdefault -o default -F _aml aml
"""

_ZSH = """\
#compdef aml
_aml() {
    local -a found
    found=(${(f)"$(aml completion words "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( $#found )); then compadd -a found; else _files; fi
}
compdef _aml aml
"""

_FISH = """\
function __aml_words
    set -l words (commandline -opc) (commandline -ct)
    set -l found (aml completion words $words[2..-1] 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c aml -f -a '(__aml_words)'
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def _arguments(parser: Parser) -> None:
    parser.add_argument("shell", choices=[*_SCRIPTS, "words"], metavar="{bash,zsh,fish}")
    parser.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def _completion(options: argparse.Namespace) -> int:
    if options.shell == "words":
        for word in candidates(options.words or [""]):
            print(word)
    elif options.json:
        print_json({"shell": options.shell, "script": _SCRIPTS[options.shell]})
    else:
        print(_SCRIPTS[options.shell], end="")
    return OK


def candidates(words: list[str]) -> list[str]:
    """What may stand in the place of the last word; none where only a file may."""
    *before, current = words
    if not before:
        found: Iterable[str] = [*ALL_COMMANDS, "--help", "--version"]
    elif before[0] not in ALL_COMMANDS:
        found = []
    else:
        found = _within(before[0], before[1:], current)
    return [word for word in found if word.startswith(current)]


def _within(name: str, before: Sequence[str], current: str) -> Iterable[str]:
    """What may stand after the words ``before`` of that command."""
    if name == "env":
        from .environments import GROUP

        return offered(GROUP, before, current, _known)
    parser = parser_for(name)
    options = {flag: a for a in parser.actions for flag in a.option_strings}
    option = options.get(before[-1]) if before else None
    if option is not None and option.nargs != 0:
        return _after_name(current, _asked(_VALUES.get(option.dest, _nothing)), option.dest)
    if current.startswith("-"):
        return sorted(parser.flags)
    place = _place_after(parser, before)
    if place is None:
        return sorted(parser.flags)
    if place.choices is not None:
        return [str(choice) for choice in place.choices if choice != "words"]
    if place.dest == "filter":
        return _asked(lambda: _filter_words(before, current))
    return _asked(_PLACES.get((name, place.dest), _PLACES.get(("", place.dest), _nothing)))


def _after_name(current: str, found: list[str], option: str) -> list[str]:
    """Values of an option that says ``NAME=VALUE``, behind the name that is there."""
    if option != "data":
        return found
    name, is_said, _ = current.partition("=")
    return [f"{name}={each}" for each in found] if is_said else []


def _place_after(parser: Parser, before: Sequence[str]) -> argparse.Action | None:
    """The argument that the next word would be; the last one takes all that are left."""
    places = [action for action in parser.actions if not action.option_strings]
    options = {flag: a for a in parser.actions for flag in a.option_strings}
    plain = 0
    for at, word in enumerate(before):
        after = options.get(before[at - 1]) if at else None
        is_value = after is not None and after.nargs != 0
        plain += not word.startswith("-") and not is_value
    return places[min(plain, len(places) - 1)] if places else None


def _known(source: str) -> Sequence[str]:
    return _asked(_environments) if source == "environments" else []


def _asked(ask: Callable[[], Iterable[str]]) -> list[str]:
    """An answer from the workspace; where there is none, nothing is offered and nothing said."""
    try:
        return list(ask())
    except (AmlError, OSError):
        return []


def _runs() -> Iterable[str]:
    from .finding import LAST, workspace_here

    return [LAST, *(run.id for run in workspace_here().runs(_NEWEST))]


def _filter_words(before: Sequence[str], current: str) -> Iterable[str]:
    """Words of a filter; bash has taken them apart at each ``:`` and ``=``."""
    from .finding import workspace_here

    start, left = "", list(before)
    while left and (left[-1] in _BREAKS or start[:1] in _BREAKS):
        start = left.pop() + start
    found = workspace_here().filter_completions(start + current)
    return [word.removeprefix(start) for word in found]


def _experiments() -> Iterable[str]:
    from .finding import workspace_here

    return sorted(workspace_here().experiments)


def _targets() -> Iterable[str]:
    from .finding import workspace_here

    return sorted(workspace_here().targets())


def _environments() -> Iterable[str]:
    from .finding import workspace_here

    return sorted(workspace_here().environments)


def _models() -> Iterable[str]:
    from ..assets.model_shelf import ModelShelf
    from .finding import workspace_here

    shelf = ModelShelf(workspace_here())
    return [*shelf.names(), *(f"{n}:{v}" for n in shelf.names() for v in shelf.versions(n))]


def _model_actions() -> Iterable[str]:
    from .models import ACTIONS

    return ACTIONS


def _data() -> Iterable[str]:
    from ..assets import dataset_records, stores
    from .finding import workspace_here

    root = str(workspace_here().folder.root)
    return [*dataset_records.names(root), *stores.stores(root)]


def _datasets() -> Iterable[str]:
    from ..assets.dataset_records import names
    from .finding import workspace_here

    return names(str(workspace_here().folder.root))


def _metrics() -> Iterable[str]:
    from .finding import workspace_here

    return sorted({name for run in workspace_here().runs(_NEWEST) for name in run.metrics})


def _states() -> Iterable[str]:
    return sorted(states.ALL)


def _nothing() -> Iterable[str]:
    return []


_VALUES: Mapping[str, Callable[[], Iterable[str]]] = {
    "run": _runs,
    "experiment": _experiments,
    "target": _targets,
    "env": _environments,
    "data": _datasets,
    "state": _states,
    "by": _metrics,
    "metrics": _metrics,
}

_PLACES: Mapping[tuple[str, str], Callable[[], Iterable[str]]] = {
    ("", "run"): _runs,
    ("", "runs"): _runs,
    ("models", "action"): _model_actions,
    ("models", "names"): _models,
    ("data", "name"): _data,
    ("target", "words"): _targets,
}
"""What completes an argument, by command and name; for all commands if none is said."""

COMMANDS = {
    "completion": Command(
        _arguments,
        _completion,
        (
            'eval "$(aml completion bash)"      in ~/.bashrc',
            'eval "$(aml completion zsh)"       in ~/.zshrc, after compinit',
            "aml completion fish | source       in ~/.config/fish/config.fish",
        ),
        usage="{bash,zsh,fish}",
    ),
}
