"""A stand-in for micromamba where none can be had: its command line, done by py-rattler.

Understood is ``create --yes --prefix FOLDER [--override-channels] [--strict-channel-priority]
[--offline] --channel NAME … SPEC …``; what goes wrong is said in micromamba's words.
:func:`install` puts it into a folder, for ``PATH``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[2]


def install(folder: Path, name: str = "micromamba") -> Path:
    """An executable of that name in ``folder``; each call is a line of ``<name>.calls``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(
        f'#!/bin/sh\necho "$@" >> "{folder}/{name}.calls"\n'
        f'[ "$1" = --version ] && echo 1.5.8 && exit\n'
        f'cd "{_PROJECT}" && exec "{sys.executable}" -m {__name__} "$@"\n'
    )
    path.chmod(0o755)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(prog="micromamba")
    parser.add_argument("command", choices=["create"])
    parser.add_argument("--yes", action="store_true", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--override-channels", action="store_true")
    parser.add_argument("--strict-channel-priority", action="store_true")
    parser.add_argument("--offline", action="store_true")
    parser.add_argument("--channel", action="append", default=[])
    parser.add_argument("specs", nargs="+")
    said = asyncio.run(_create(parser.parse_args()))
    print(said, flush=True)
    # Threads of py-rattler do not survive the interpreter's end.
    os._exit(1 if said else 0)


async def _create(asked: argparse.Namespace) -> str:
    import rattler
    from rattler.exceptions import GatewayError, SolverError

    alias = os.environ.get("CONDA_CHANNEL_ALIAS", "https://conda.anaconda.org")
    channels = [name if ":" in name else f"{alias}/{name}" for name in asked.channel]
    known = rattler.SourceConfig(cache_action="force-cache-only")
    gateway = rattler.Gateway(
        client=rattler.Client.default_client(max_retries=0),
        default_config=known if asked.offline else rattler.SourceConfig(),
    )
    specs = [rattler.MatchSpec(spec) for spec in asked.specs]
    try:
        records = await rattler.solve(channels, specs, gateway=gateway)
    except SolverError as error:
        return f"error    libmamba Could not solve for environment specs\n{_in_its_words(error)}"
    except GatewayError:
        if asked.offline:
            return "critical libmamba No cached repodata"
        return f"error    libmamba Download error (7) Couldn't connect to server [{channels[0]}]"
    for record in records:
        print(f"Linking {record.name.source}-{record.version}-{record.build}", flush=True)
    await rattler.install(records, asked.prefix, show_progress=False)
    return ""


def _in_its_words(error: Exception) -> str:
    words = str(error).removeprefix("Cannot solve the request because of: ")
    missing = words.removeprefix("No candidates were found for ")
    if missing != words:
        nowhere = "does not exist (perhaps a typo or a missing channel)."
        return f"    The following package could not be installed\n    └─ {missing[:-1]} {nowhere}"
    return words.replace("cannot be installed because", "is not installable because")


if __name__ == "__main__":
    main()
