"""Notes when it has which GPUs, for so many seconds; then ends, or dies as it is told.

Arguments: the file for notes, the seconds, and one of ``end``, ``die`` and ``die-with-launcher``.
"""

import json
import os
import signal
import sys
import time


def note(what: str) -> None:
    said = {
        "run": os.environ["AZUREML_RUN_ID"],
        "what": what,
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "time": time.time(),
    }
    file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(file, json.dumps(said).encode() + b"\n")
    os.close(file)


note("begin")
time.sleep(float(sys.argv[2]))
note("end")
if sys.argv[3] == "die-with-launcher":
    os.kill(os.getppid(), signal.SIGKILL)
if sys.argv[3] != "end":
    os.kill(os.getpid(), signal.SIGKILL)
