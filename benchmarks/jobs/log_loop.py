"""Seconds for one ``run.log`` in a loop, and for one bare ``write`` of as many bytes, by turns."""

import json
import os
import sys
from time import perf_counter

from aml_jupyter import Run

repeat, calls = int(sys.argv[1]), int(sys.argv[2])
run = Run.get_context()


def logging() -> float:
    started = perf_counter()
    for _ in range(calls):
        run.log("loss", 0.5)
    return (perf_counter() - started) / calls


def writing(file: int, record: bytes) -> float:
    started = perf_counter()
    for _ in range(calls):
        os.write(file, record)
    return (perf_counter() - started) / calls


file = os.open("outputs/written.bin", os.O_WRONLY | os.O_CREAT)
samples = [(logging(), writing(file, b"\1" * 32)) for _ in range(repeat)]
os.unlink("outputs/written.bin")
with open("outputs/samples.json", "w") as report:
    json.dump(samples, report)
