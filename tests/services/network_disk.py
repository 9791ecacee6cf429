"""A network file system on this machine: a folder served by sshd and mounted by sshfs.

Usable by hand: ``python -m tests.services.network_disk FOLDER`` mounts one until Enter is pressed.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.services import sshd


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """A network disk below ``folder``; what serves it ends with the block."""
    served, point = folder / "served", folder / "mounted"
    for place in (served, point):
        place.mkdir(parents=True)
    with sshd.server(folder) as server:
        options = ",".join((f"port={server.port}", *server.options))
        source = f"{server.user}@127.0.0.1:{served}"
        subprocess.run(["sshfs", "-o", options, source, str(point)], check=True, timeout=30)
        try:
            yield point
        finally:
            subprocess.run(["fusermount", "-u", "-z", str(point)], check=True)


if __name__ == "__main__":
    with mounted(Path(sys.argv[1])) as place:
        input(f"{place} is a network disk until you press Enter ")
