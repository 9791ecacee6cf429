"""Prints as many lines of 100 bytes as it is told."""

import sys

line = "x" * 99
for _ in range(int(sys.argv[1])):
    print(line)
