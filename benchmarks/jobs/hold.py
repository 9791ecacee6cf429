"""Keeps its slot until the file it is given exists."""

import os
import sys
import time

while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
