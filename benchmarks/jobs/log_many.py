"""Runs that go on: each logs the time, ten times a second, until this process is told to end.

What was logged when is written to the file named last: by it others tell how late it reached them.
"""

import json
import sys
import time

from aml_jupyter import Experiment, Workspace

folder, count, seconds, told = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
experiment = Experiment(Workspace.from_config(folder), "bench")
runs = [experiment.start_logging(outputs=False, snapshot_directory=None) for _ in range(count)]
logged = {run.id: [] for run in runs}
print("up", flush=True)
begun = time.time()
turn = 0
while time.time() < begun + seconds:
    for number, run in enumerate(runs):
        # Evenly spread: no two processes would log in the same moment either.
        time.sleep(max(0.0, begun + (turn + number / count) / 10 - time.time()))
        now = time.time()
        run.log("sent", now)
        logged[run.id].append(now)
    turn += 1
with open(told, "w") as file:
    json.dump(logged, file)
for run in runs:
    run.complete()
