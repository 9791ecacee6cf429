"""The parameters that a notebook has: a cell with the tag ``parameters``, as papermill reads it."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import UserErrorException
from ..spec.words import near

_NOT_SAID = "None"
_NUMBERS = (int, float)
_TYPES: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "float": _NUMBERS,
    "str": (str,),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
    "tuple": (list,),
}
_GENERIC = {"List": "list", "Sequence": "list", "Dict": "dict", "Mapping": "dict", "Tuple": "tuple"}
_HOW = "Put its parameters, with their defaults, into a cell with the tag `parameters`."


@dataclass(frozen=True)
class Parameter:
    """A parameter of a notebook, with its default as it is written there."""

    name: str
    default: str
    type: str = ""
    help: str = ""

    @property
    def wants(self) -> str:
        """The type that a value must have, said or told by the default; "" for any."""
        said = self.type.split("[")[0].strip()
        return _GENERIC.get(said, said) if said in _GENERIC or said in _TYPES else self._told()

    def _told(self) -> str:
        if self.type:
            return ""  # a type of its own kind, such as Optional[int]
        try:
            value = ast.literal_eval(self.default)
        except (ValueError, SyntaxError):
            return ""
        kind = type(value).__name__
        return kind if kind in _TYPES else ""

    def problem(self, value: object) -> str:
        """Why a value will not do; "" if it will."""
        wanted = self.wants
        if not wanted or (value is None and self.default.strip() == _NOT_SAID):
            return ""
        is_number_for_bool = isinstance(value, bool) and wanted in ("int", "float")
        if isinstance(value, _TYPES[wanted]) and not is_number_for_bool:
            return ""
        return f"{self.name} is {_article(wanted)}, not {value!r} ({type(value).__name__})"


def parameters_in(notebook: str) -> list[Parameter]:
    """The parameters of the notebook, in order."""
    return [
        Parameter(
            str(found["name"]),
            str(found["default"]),
            "" if found["inferred_type_name"] == _NOT_SAID else str(found["inferred_type_name"]),
            str(found["help"] or ""),
        )
        for found in _inspected(notebook).values()
    ]


def _inspected(notebook: str) -> Mapping[str, Mapping[str, object]]:
    from papermill.inspection import inspect_notebook

    logger = logging.getLogger("papermill")
    level = logger.level
    logger.setLevel(logging.ERROR)  # what it warns of is said here, with what to do
    try:
        found: Mapping[str, Mapping[str, object]] = inspect_notebook(notebook)
    except Exception as error:
        raise UserErrorException(
            f"{notebook} cannot be read as a notebook: {_brief(error)}.",
            "Open it in JupyterLab to see what is wrong with it.",
        ) from error
    finally:
        logger.setLevel(level)
    return found


def _brief(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def check(notebook: str, there: Sequence[Parameter], sets: Iterable[Mapping[str, object]]) -> None:
    """Refuse sets of values that name a parameter that is not there, or are of another type."""
    known = {parameter.name: parameter for parameter in there}
    for each in sets:
        for name, value in each.items():
            if name not in known:
                raise _unknown(notebook, name, list(known))
            problem = known[name].problem(value)
            if problem:
                raise UserErrorException(
                    f"{notebook}: {problem}.",
                    f"Its default is {known[name].default}. Texts that look like something else "
                    "are written in two pairs of quotes: '\"1\"'.",
                )


def _unknown(notebook: str, name: str, known: Sequence[str]) -> UserErrorException:
    if not known:
        return UserErrorException(f"{notebook} has no parameters, so {name} cannot be set.", _HOW)
    return UserErrorException(
        f"{notebook} has no parameter {name!r}.", f"{near(name, known)} {_HOW}"
    )


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
