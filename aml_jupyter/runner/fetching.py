"""Fetching what a dataset names by addresses, in a process of its own.

It has the environment of who submitted the run, whose proxies and credentials count; it can be
ended at any moment; and it ends with the runner, whose end of the pipe closes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from selectors import EVENT_READ, DefaultSelector
from typing import Any

from ..assets.definition import Definition
from ..assets.resolve import Located, locate
from ..assets.stores import store
from ..errors import AmlError, ServiceException, UserErrorException

Note = Callable[[int, int], None]

_LOOK_EVERY = 0.1
_SAY_EVERY = 1 << 22


def located(
    definition: Definition, root: str, environment: Mapping[str, str], note: Note
) -> Located:
    """Where the files of a dataset are, fetched by a child if any have to be.

    ``note`` is called all the time and may raise to end it.
    """
    if not must_be_fetched(definition, root):
        return locate(definition, root)
    command = [sys.executable, "-m", "aml_jupyter.runner.fetching"]
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
        start_new_session=True,
    )
    try:
        return _heard(child, {"root": root, "definition": definition.to_json()}, note)
    finally:
        child.kill()
        child.communicate()


def must_be_fetched(definition: Definition, root: str) -> bool:
    """Whether any source of a dataset is not on this machine."""
    for source in definition.sources:
        where = store(root, source.datastore).where(root) if source.datastore else source.path
        if "://" in where:
            return True
    return False


def _heard(child: subprocess.Popen[bytes], asked: Mapping[str, Any], note: Note) -> Located:
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdin.write(json.dumps(asked).encode() + b"\n")
    child.stdin.flush()
    done, rest, told = (0, 0), b"", DefaultSelector()
    told.register(child.stdout, EVENT_READ)
    with told:
        while True:
            note(*done)
            if not told.select(_LOOK_EVERY):
                continue
            data = os.read(child.stdout.fileno(), 1 << 16)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                said = json.loads(line)
                if "done" in said:
                    done = (said["done"], said["total"])
                elif "error" in said:
                    raise UserErrorException(*said["error"])
                else:
                    files = [(name, path) for name, path in said["files"]]
                    return Located(said["single"], said["folder"], files, said["notes"])
    last = child.stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
    raise ServiceException(
        f"Data of the run could not be fetched: {last or 'the process that did it was ended'}.",
        "Submit the run again; what has been fetched is kept.",
    )


# In the child ---------------------------------------------------------------------------------


def main() -> None:
    """Fetch what the first line of the input asks for, and tell where it is."""
    asked = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_other, daemon=True).start()
    said = 0

    def progress(done: int, total: int) -> None:
        nonlocal said
        if done < said or done - said >= _SAY_EVERY or done == total:
            said = done
            _tell(done=done, total=total)

    try:
        found = locate(Definition.from_json(asked["definition"]), asked["root"], progress)
        _tell(**found._asdict())
    except AmlError as error:
        _tell(error=[error.message, error.hint])
    os._exit(0)


def _end_with_the_other() -> None:
    """End when nobody listens any more; what has come of a file so far is written anew then."""
    sys.stdin.buffer.read()
    os._exit(1)


_telling = threading.Lock()


def _tell(**said: object) -> None:
    with _telling:  # files are fetched by several threads
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
