"""``aml tensorboard``: what runs write below ``logs/``, in TensorBoard, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import redirect_stdout

from ..workspace.tensorboard import Tensorboard
from . import OK
from .finding import find_run, workspace_here
from .parser import Command, Parser, count
from .present import print_json, say


def _arguments(parser: Parser) -> None:
    parser.add_argument(
        "runs", metavar="ID", nargs="*", default=["last"], help="runs; the last one if not said"
    )
    parser.add_argument(
        "--port", metavar="N", type=count, default=6006, help="a port to prefer; 6006 if not said"
    )
    parser.add_argument("--names", action="store_true", help="show runs by name instead of id")
    parser.add_argument("--browser", action="store_true", help="open a browser, too")


def _tensorboard(options: argparse.Namespace) -> int:
    workspace = workspace_here()
    runs = [find_run(workspace, name) for name in options.runs]
    board = Tensorboard(runs, port=options.port, use_display_name=options.names)
    try:
        with redirect_stdout(sys.stderr if options.json else sys.stdout):
            url = board.start(start_browser=options.browser)
        if options.json:
            print_json({"url": url, "runs": [run.id for run in runs]})
        sys.stdout.flush()
        say("TensorBoard is live while runs go on. Ctrl-C ends it.")
        while board.is_running:
            time.sleep(0.5)
    except KeyboardInterrupt:
        pass
    finally:
        board.stop()
    return OK


COMMANDS = {
    "tensorboard": Command(
        _arguments,
        _tensorboard,
        (
            "aml tensorboard                    the last run, while it goes on",
            "aml tensorboard mnist_17 mnist_18 --port 6007",
        ),
    ),
}
