"""Waits for a file, then logs points of so many metrics and prints a line, with pauses."""

import os
import sys
import time

from aml_jupyter import Run

gate, metrics, points, pause = sys.argv[1], *map(float, sys.argv[2:])
run = Run.get_context()
while not os.path.exists(gate):
    time.sleep(0.01)
for point in range(int(points)):
    for metric in range(int(metrics)):
        run.log(f"metric{metric}", float(point % 50 + metric))
    print("point", point, flush=True)
    time.sleep(pause)
