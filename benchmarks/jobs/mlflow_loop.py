"""Logs by ``mlflow.log_metric``, by turns into its own run and into MLflow's sqlite store."""

import json
import os
import sys
import time

import mlflow

repeat, ours, theirs = map(int, sys.argv[1:])


def cost(calls):
    """Seconds of one call."""
    started = time.perf_counter()
    for step in range(calls):
        mlflow.log_metric("loss", 0.5, step=step)
    return (time.perf_counter() - started) / calls


own_address, own_run = os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_RUN_ID"]
address = f"sqlite:///{os.path.abspath('peer.db')}"
peer = mlflow.MlflowClient(address)
peer_run = peer.create_run(peer.create_experiment("peer")).info.run_id

samples = []
for _ in range(repeat):
    turn = []
    for uri, run_id, calls in ((own_address, own_run, ours), (address, peer_run, theirs)):
        mlflow.set_tracking_uri(uri)
        with mlflow.start_run(run_id=run_id):
            cost(5)
            turn.append(cost(calls))
    samples.append(turn)
with open("outputs/samples.json", "w") as file:
    json.dump(samples, file)
