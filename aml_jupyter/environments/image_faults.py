"""Why an image could not be made, in words that say what to change."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..engine.errors import hint_for
from . import dockerfile, venv
from .conda import names_python, pythons
from .conda_tools import at_fault
from .image_builders import BuildFailed
from .making import BuildError
from .recipe import Recipe

_SOLVING = "aml: solving "
_UNTRUSTED = ("UnknownIssuer", "CERTIFICATE_VERIFY_FAILED", "unable to get local issuer", "x509")
_NO_NETWORK = ("dns error", "Temporary failure in name resolution", "Could not resolve host")


def of_step(error: BuildFailed, text: str) -> BuildError:
    """A step of the user's own Dockerfile failed."""
    at = dockerfile.place(text, error.step) if error.step else ""
    what = f"The Dockerfile fails at {at}." if at else f"The image cannot be built{_words(error)}."
    # Words of the engine itself; those of a command in a step may mean anything.
    of_engine = "" if error.step.upper().startswith("RUN") else hint_for(error.said)
    default = "Change that step; the build's log has all that it said."
    hint = _hint(error.said) or of_engine or default
    return BuildError(what, hint, line=at, said=error.said)


def _words(error: BuildFailed) -> str:
    """What was said last, where no step has failed: the Dockerfile itself is not understood."""
    last = error.said.strip().rpartition("\n")[2].rstrip(".")
    return f": {last}" if last else ""


def of_packages(error: BuildFailed, recipe: Recipe, lines: Sequence[str]) -> BuildError:
    """Our own step failed: for lack of a Python, of a tool, or of packages that go together."""
    refused = re.search(r"^aml: refused: (.*)$", error.said, re.MULTILINE)
    said = "\n".join(line for line in error.said.splitlines() if not line.startswith("ERROR"))
    reason = refused[1] if refused else ""
    line = venv.fault(lines, said) if reason == "packages" else ""
    if reason == "conda":
        said = said.rpartition(_SOLVING)[2]  # what other Pythons met with is no matter
        asked = () if names_python(recipe) else pythons(recipe.python)
        line = at_fault([*asked, *recipe.conda], said)
    message, hint = _REASONS.get(reason, _UNKNOWN)
    message = message.format(python=recipe.python or "", base=recipe.base or "of the Dockerfile")
    if line:
        message += f" It is about {line!r}."
        hint = f"Change {line!r} in the environment."
    if reason == "no Python":
        line = f"python={recipe.python}" if recipe.python else ""
    of_engine = "" if reason else hint_for(said)
    return BuildError(message, _hint(said) or of_engine or hint, line=line, said=said)


_UNKNOWN = (
    "The environment cannot be put into the image {base}.",
    "The build's log has all that was said. The base image has to have a shell (/bin/sh).",
)
_REASONS = {
    "packages": ("The packages cannot be installed.", "See the build's log."),
    "conda": (
        "No set of conda packages is what the environment asks for.",
        "The build's log has the solver's words.",
    ),
    "no channel": (
        "No conda channel can be reached from the build, and not all of the conda packages may be "
        "taken from PyPI.",
        "Check the network, HTTPS_PROXY, and the target's settings build_network and "
        "conda_from_pypi; `channel_alias` in ~/.condarc names a mirror.",
    ),
    "no conda": (
        "The conda packages cannot be installed in the image {base}, which has no conda.",
        "Take a base image with conda in it, such as mambaorg/micromamba or "
        "continuumio/miniconda3, or name the packages as pip packages.",
    ),
    "no Python": (
        "The image {base} has no Python {python} that fits, and none can be fetched.",
        "Take a base image with a Python, such as python:3.11-slim, ask for the version that the "
        "image has, or name a mirror of uv's Pythons: UV_PYTHON_INSTALL_MIRROR.",
    ),
    "no uv": (
        "uv, which installs packages, does not run in the image {base}, and the image has no pip "
        "to get one that does.",
        "Take a base image for this kind of processor with Python and pip, such as "
        "python:3.11-slim.",
    ),
}


def _hint(said: str) -> str:
    """What to do about words that builds are known to say; empty for others."""
    if any(word in said for word in _UNTRUSTED):
        return (
            "Name the file with your company's certificates: the target's setting "
            "ca_certificates, or SSL_CERT_FILE."
        )
    if any(word in said for word in _NO_NETWORK):
        return (
            "The build reaches no network: look at the proxy (HTTPS_PROXY), or let it use this "
            "machine's own by the target's setting build_network: host."
        )
    return ""
