"""A small run as there are many: two metrics, a hundred points each."""

from aml_jupyter import Run

run = Run.get_context()
for step in range(100):
    run.log("loss", 1 / (step + 1), step=step)
    run.log("accuracy", step / 100, step=step)
print("trained")
