"""Waits for a file, then prints so many bytes in lines of a length as fast as it can."""

import os
import sys
import time

gate, size, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
while not os.path.exists(gate):
    time.sleep(0.01)
if length < size:
    line = "x" * (length - 1)
    for _ in range(size // length):
        print(line)
else:
    for _ in range(size // 1000):
        sys.stdout.write("x" * 1000)
