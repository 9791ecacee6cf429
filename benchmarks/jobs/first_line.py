"""Writes down when its first line ran."""

import sys
import time

started = time.time_ns()
with open(sys.argv[1], "w") as file:
    file.write(str(started))
