"""Plays one sample in the interpreter that it is for: ``python -m tests.compat.play PLAN``.

The plan is a JSON file of :mod:`.harness`. Files that the sample fetches are served on loopback
while it is played; what came of it is written beside the plan.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import traceback
from collections import Counter
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aml_jupyter.cli.compat_places import for_notebooks

from . import stand_ins
from .checks import After, wait_for_runs
from .samples import Sample, find

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class PlayError(Exception):
    """The sample did not get to its end."""


def main(plan: Path) -> None:
    """Play the sample of the plan and write what came of it."""
    said = json.loads(plan.read_text())
    sample, folder = find(said["sample"]), Path(said["folder"])
    os.chdir(folder)
    with _served(sample, plan.parent / "stand-ins"):
        player = Player(sample, folder)
        outcome: dict[str, Any] = {"why": ""}
        try:
            for_notebooks().put()  # what `aml compat on` does for them
            _make_pools(sample)
            for name in sample.played:
                player.play(name)
            outcome["why"] = player.claims()
        except PlayError as error:
            outcome["why"] = str(error)
        except Exception:  # noqa: BLE001 - whatever it is, it is why this sample fails
            outcome["why"] = traceback.format_exc()
    outcome.update(passed_over=dict(player.passed_over), printed=player.printed)
    Path(said["outcome"]).write_text(json.dumps(outcome))


class Player:
    """Plays the files of a sample and keeps what they print."""

    def __init__(self, sample: Sample, folder: Path) -> None:
        self.sample = sample
        self.folder = folder
        self.printed = ""
        self.passed_over: Counter[str] = Counter()

    def play(self, name: str) -> None:
        """Play a notebook or a script, unchanged."""
        if name.endswith(".ipynb"):
            self._play_notebook(name)
        else:
            self._play_script(name)

    def _play_script(self, name: str) -> None:
        command = [sys.executable, "-m", "aml_jupyter", "compat", "run", name]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        self.printed += done.stdout
        if done.returncode:
            raise PlayError(f"{name}: exit status {done.returncode}\n{done.stdout[-3000:]}")

    def _play_notebook(self, name: str) -> None:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError

        notebook = nbformat.read(self.folder / name, as_version=4)
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=None,
            resources={"metadata": {"path": str(self.folder)}},
        )
        with client.setup_kernel():
            for number, cell in enumerate(notebook.cells):
                if cell.cell_type != "code" or self._is_passed_over(cell.source):
                    continue
                try:
                    client.execute_cell(cell, number)
                except CellExecutionError as error:
                    raise PlayError(f"cell {number}: {_ANSI.sub('', str(error))}") from None
                finally:
                    self.printed += "".join(map(_text_of, cell.get("outputs", ())))

    def _is_passed_over(self, source: str) -> bool:
        """Whether the table says that the cell is not to be played."""
        if any(reason in self.passed_over for reason in self.sample.until.values()):
            self.passed_over.update(self.sample.until.values())
            return True
        for pattern, reason in {**self.sample.skips, **self.sample.until}.items():
            if re.search(pattern, source, re.MULTILINE):
                self.passed_over[reason] += 1
                return True
        return False

    def claims(self) -> str:
        """What is not as the sample's last cells claim; empty when all is."""
        from aml_jupyter import Workspace

        workspace = Workspace.from_config()
        going = wait_for_runs(workspace, self.sample.seconds)
        after = After(self.folder, self.printed, workspace)
        missing = [check(after) for check in self.sample.checks]
        failed = [_failure(run) for run in _failed(workspace)] if any(missing) else []
        return "\n".join(filter(None, [going, *missing, *failed]))


def _failed(workspace: Any) -> list[Any]:
    runs = [run for each in workspace.experiments.values() for run in each.get_runs()]
    return [run for run in runs if run.get_status() == "Failed"]


def _failure(run: Any) -> str:
    log = Path(run.folder) / "azureml-logs" / "70_driver_log.txt"
    said = log.read_text(errors="replace")[-1500:] if log.exists() else ""
    return f"{run.id}: {run.get_details().get('error')}\n{said}"


def _text_of(output: Any) -> str:
    if output.output_type == "stream":
        return str(output.text)
    if output.output_type == "error":
        return ""
    return str(output.get("data", {}).get("text/plain", "")) + "\n"


def _make_pools(sample: Sample) -> None:
    """The compute targets that the sample expects, in its workspace."""
    if not sample.pools:
        return
    from aml_jupyter import Workspace
    from aml_jupyter.workspace.amlcompute import AmlCompute
    from aml_jupyter.workspace.compute_target import ComputeTarget

    workspace = Workspace.from_config()
    for name in sample.pools:
        ComputeTarget.create(workspace, name, AmlCompute.provisioning_configuration(max_nodes=2))


class _served:
    """A server on loopback for the sample's stand-ins; its address is in the environment."""

    def __init__(self, sample: Sample, folder: Path) -> None:
        listed = stand_ins.make(sample.stand_ins, folder)
        os.environ["AML_MIRRORS"] = str(listed)
        handler = partial(_Handler, json.loads(listed.read_text()))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> None:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        os.environ["AML_SAMPLES_SERVER"] = f"http://127.0.0.1:{self._server.server_port}/"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answers ``GET /<address>`` with the file that stands for the address."""

    def __init__(self, mirrors: dict[str, str], *arguments: Any) -> None:
        self._mirrors = mirrors
        super().__init__(*arguments)

    def do_GET(self) -> None:
        content = self._content()
        if content is not None:
            self.wfile.write(content)

    def do_HEAD(self) -> None:
        self._content()

    def _content(self) -> bytes | None:
        address = unquote(self.path[1:])
        for prefix, place in self._mirrors.items():
            path = Path(place + address[len(prefix) :])
            if address.startswith(prefix) and path.is_file():
                content = path.read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                return content
        self.send_error(404, f"nothing stands for {address}")
        return None

    def log_message(self, *_: object) -> None:
        return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
