"""The Jupyter server is killed, with its kernel, while a run of that kernel goes on."""

from __future__ import annotations

import http.cookiejar
import json
import os
import signal
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from jupyter_client.blocking import BlockingKernelClient

from aml_jupyter import Workspace
from tests.ui.lab import Lab, running_lab

pytestmark = pytest.mark.slow

TICKS = 30
SUBMIT = f"""
from aml_jupyter import Experiment, ScriptRunConfig, Workspace

with open("ticks.py", "w") as file:
    file.write('''
import time
from aml_jupyter import Run
run = Run.get_context()
for tick in range({TICKS}):
    run.log("tick", float(tick))
    print("tick", tick)
    time.sleep(0.1)
''')
Experiment(Workspace.from_config(), "ticks").submit(ScriptRunConfig(".", "ticks.py"))
"""


def start_kernel(lab: Lab) -> BlockingKernelClient:
    """A kernel of the server's, and a line to it that does not need the server."""
    cookies = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
    opener.open(f"{lab.url}/lab", timeout=20).read()
    token = next((cookie.value or "" for cookie in cookies if cookie.name == "_xsrf"), "")
    request = urllib.request.Request(
        f"{lab.url}/api/kernels", data=b"{}", headers={"X-XSRFToken": token}, method="POST"
    )
    kernel = json.load(opener.open(request, timeout=20))["id"]
    client = BlockingKernelClient()
    client.load_connection_file(str(lab.folder / "runtime" / f"kernel-{kernel}.json"))
    client.start_channels()
    client.wait_for_ready(timeout=30)
    return client


def test_a_run_outlives_the_jupyter_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_lab(tmp_path / "lab") as lab:
        monkeypatch.setenv("AML_HOME", str(lab.folder / "aml"))
        client = start_kernel(lab)
        reply = client.execute(SUBMIT, reply=True, timeout=30)
        client.stop_channels()
        assert reply["content"]["status"] == "ok"
        servers = [
            child
            for child in psutil.Process().children()
            if f"--port={lab.url.rpartition(':')[2]}" in command_of(child)
        ]
        doomed = [process for server in servers for process in [*server.children(), server]]
        for process in doomed:
            os.kill(process.pid, signal.SIGKILL)
        psutil.wait_procs(doomed, timeout=10)

        workspace = Workspace.from_config(project_of(lab.root))
        (summary,) = workspace.runs()
        run = workspace.get_run(summary.id)
        assert run.get_status() in ("Starting", "Running")
        run.wait_for_completion()
        assert run.get_metrics()["tick"] == [float(tick) for tick in range(TICKS)]
        log = (run.folder / "azureml-logs" / "70_driver_log.txt").read_text().splitlines()
        assert log == [f"tick {tick}" for tick in range(TICKS)]


def command_of(process: psutil.Process) -> list[str]:
    """What it was started with; nothing for one that has ended, of which pytest may have some."""
    try:
        return list(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def project_of(root: Path) -> Path:
    """The folder that holds the workspace, once the kernel has made it."""
    until = time.monotonic() + 5
    while time.monotonic() < until and not list(root.rglob("workspace.json")):
        time.sleep(0.05)
    return next(root.rglob("workspace.json")).parent.parent
