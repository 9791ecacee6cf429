"""What runs a notebook inside a job: papermill's engine, a kernel that starts warm, a report.

It travels along with `job`; papermill and ipykernel come from the job's own interpreter.
"""
