"""Dockerfiles as text: the ones written here, and what has to be known of those that are given."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

STAGE = "/opt/aml/build"
"""Where what a build needs is seen in the image, while it is built."""

ENVIRONMENT = "/opt/aml/env"
LOCK = "/opt/aml/environment.lock"
_CACHE = "/opt/aml/cache"
_UV = "/opt/aml/uv"
_CERTIFICATES = "/opt/aml/ca.pem"
_CERTIFICATE_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
)


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile: the number of its first line, and its whole text."""

    line: int
    text: str

    @property
    def word(self) -> str:
        """What it is, such as ``RUN``."""
        return self.text.split(None, 1)[0].upper()

    @property
    def flat(self) -> str:
        """Its text on one line, as builders show it."""
        return " ".join(re.sub(r"\\\s*\n", " ", self.text).split())


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions of a Dockerfile, comments left out."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        first = number
        if not lines[first].strip() or lines[first].lstrip().startswith("#"):
            number += 1
            continue
        number = _end_of_heredocs(lines, _end_of_lines(lines, first))
        kept = [line for line in lines[first:number] if not line.lstrip().startswith("#")]
        yield Instruction(first + 1, "\n".join(kept).strip())


def _end_of_lines(lines: Sequence[str], first: int) -> int:
    """The number after the last line of an instruction, whose lines end in a backslash."""
    number = first
    while number < len(lines) and (
        lines[number].rstrip().endswith("\\") or (number > first and _is_skipped(lines[number]))
    ):
        number += 1
    return min(number + 1, len(lines))


def _is_skipped(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _end_of_heredocs(lines: Sequence[str], number: int) -> int:
    """The number after the texts that the instruction's last line announces by ``<<EOF``."""
    word = lines[number - 1].split(None, 1)[0].upper() if lines[number - 1].strip() else ""
    if word not in ("RUN", "COPY", "ADD"):
        return number
    for _, mark in re.findall(r"<<-?(['\"]?)(\w+)\1", lines[number - 1]):
        while number < len(lines) and lines[number].strip() != mark:
            number += 1
        number += 1
    return min(number, len(lines))


def images_used(text: str, arguments: Mapping[str, str]) -> list[str]:
    """The images that a Dockerfile begins from, without its own stages; ARGs are filled in."""
    values: dict[str, str] = {}
    stages: set[str] = {"scratch"}
    found: list[str] = []
    for instruction in instructions(text):
        if instruction.word == "ARG" and not found:
            name, _, default = instruction.flat.split(None, 1)[1].partition("=")
            values[name] = arguments.get(name, default.strip("\"'"))
        elif instruction.word == "FROM":
            words = [word for word in instruction.flat.split()[1:] if not word.startswith("--")]
            image = re.sub(
                r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))", lambda m: _value(m, values), words[0]
            )
            if image.lower() not in stages and image not in found:
                found.append(image)
            stages.update(word.lower() for word in words[2:3])
    return found


def arguments_of(text: str) -> set[str]:
    """The names of the build arguments that a Dockerfile asks for, in any of its stages."""
    lines = [each.flat for each in instructions(text) if each.word == "ARG"]
    return {word.partition("=")[0] for line in lines for word in line.split()[1:]}


def _value(found: re.Match[str], values: Mapping[str, str]) -> str:
    return values.get(found[1] or found[3]) or found[2] or ""


def with_certificates(text: str, image: str) -> str:
    """The Dockerfile with the certificates that lie in ``image`` trusted by all its steps.

    As build arguments they are in no step of the image that comes out; the file stays in it.
    """
    lines = text.splitlines()
    trusted = [f"COPY --from={image} /ca.pem {_CERTIFICATES}"]
    trusted += [f"ARG {name}={_CERTIFICATES}" for name in _CERTIFICATE_VARIABLES]
    for instruction in reversed(list(instructions(text))):
        words = instruction.flat.split()
        if instruction.word == "FROM" and "scratch" not in words:
            after = instruction.line - 1 + len(instruction.text.splitlines())
            lines[after:after] = trusted
    return "\n".join(lines) + "\n"


def place(text: str, step: str) -> str:
    """Where a Dockerfile says what a builder calls ``step``: ``line 3: RUN make``."""
    flat = " ".join(step.split())
    for instruction in instructions(text):
        if instruction.flat == flat:
            return f"line {instruction.line}: {instruction.text.splitlines()[0]}"
    return flat


def packages(
    base: str,
    *,
    user: str,
    labels: Mapping[str, str],
    is_first: bool,
    uv: str,
    by_buildkit: bool,
) -> str:
    """The Dockerfile that puts packages on ``base``, from a context that image_context made.

    ``user`` is who runs in the base image, and in the one that comes out. ``is_first`` without
    an environment of ours in ``base`` yet. ``uv`` is an image that has uv; empty when there is none
    for this kind of base, or ``base`` has it.
    """
    lines = [f"FROM {base}"]
    if user:
        lines.append("USER root")
    if by_buildkit:
        # Mounts are in no layer, and secrets not even in what the builder remembers.
        lines.append(
            f"RUN --mount=type=bind,target={STAGE}"
            + (f" --mount=type=bind,from={uv},target={_UV}" if uv else "")
            + f" --mount=type=cache,id=aml-uv,target={_CACHE}"
            " --mount=type=secret,id=aml-settings --mount=type=secret,id=aml-netrc"
            f" --mount=type=secret,id=aml-ca sh {STAGE}/tools/build.sh {_CACHE}"
        )
    else:
        # What changes seldom comes first: that layer is then shared by all environments.
        lines += [f"COPY --from={uv} /uv {_UV}/uv"] if uv else []
        lines += [f"COPY . {STAGE}", f"RUN sh {STAGE}/tools/build.sh"]
    if is_first:
        lines.append(f'ENV PATH="{ENVIRONMENT}/bin:$PATH"')
    # One line, since each is a step of its own.
    lines.append("LABEL " + " ".join(f"{name}={_quoted(text)}" for name, text in labels.items()))
    if user:
        lines.append(f"USER {user}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\$])', r"\\\1", text) + '"'
