"""TensorBoard, for as long as the process lives that started it.

``python -m aml_jupyter.workspace.tensorboard_process FOLDER ARGUMENTS…`` is ``python -m
tensorboard.main ARGUMENTS…`` until its input ends, which it does when the other end of the pipe is
gone, by whatever: a kernel that is killed leaves nothing behind. ``FOLDER``, if there is one, was
made for this process and is removed then.
"""

from __future__ import annotations

import os
import runpy
import shutil
import sys
import threading


def main() -> None:
    """Be TensorBoard."""
    made, *arguments = sys.argv[1:]
    threading.Thread(target=_end_with_input, args=(made,), daemon=True).start()
    sys.argv = ["tensorboard", *arguments]
    runpy.run_module("tensorboard.main", run_name="__main__", alter_sys=True)


def _end_with_input(made: str) -> None:
    while os.read(0, 1):
        pass
    if made:
        shutil.rmtree(made, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()
