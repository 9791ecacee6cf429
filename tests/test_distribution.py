"""Distributed jobs: many processes on one machine, with the variables of v1's launchers."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from aml_jupyter import (
    Experiment,
    MpiConfiguration,
    PyTorchConfiguration,
    Run,
    ScriptRunConfig,
    TensorflowConfiguration,
)
from aml_jupyter.errors import ActivityFailedException, RunConfigurationException
from aml_jupyter.job import layout, ranks
from aml_jupyter.spec import Processes
from aml_jupyter.watching import run_files
from tests.support import experiment, finish, log_of, project, script, submit, until, ws

__all__ = ["experiment", "project", "ws"]


def plan(kind: str, count: int, nodes: int = 1, servers: int = 0, gpus: str | None = None) -> Any:
    """The variables of each process, by what it is called."""
    told = Processes(kind, count, nodes, servers).to_json()
    return {rank.label: rank.variables for rank in ranks.plan(told, gpus)}


# What each process finds


def test_pytorchs_ranks_are_spread_evenly_over_nodes() -> None:
    found = plan(ranks.PYTORCH, 4, nodes=2)
    names = ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "AZ_BATCHAI_TASK_INDEX")
    assert [tuple(each[name] for name in names) for each in found.values()] == [
        ("0", "0", "0", "4", "0"),
        ("1", "1", "0", "4", "0"),
        ("2", "0", "1", "4", "1"),
        ("3", "1", "1", "4", "1"),
    ]
    (address,) = {(each["MASTER_ADDR"], each["MASTER_PORT"]) for each in found.values()}
    assert address[0] == "127.0.0.1"
    init = f"tcp://127.0.0.1:{address[1]}"
    assert {each["AZ_BATCHAI_PYTORCH_INIT_METHOD"] for each in found.values()} == {init}


def test_mpis_ranks_have_the_names_of_openmpi() -> None:
    on_two = plan(ranks.MPI, 4, nodes=2)["Rank 3"]
    assert on_two["OMPI_COMM_WORLD_RANK"] == "3"
    assert on_two["OMPI_COMM_WORLD_SIZE"] == "4"
    assert on_two["OMPI_COMM_WORLD_LOCAL_RANK"] == "1"
    assert on_two["OMPI_COMM_WORLD_LOCAL_SIZE"] == "2"
    assert on_two["AZ_BATCH_MASTER_NODE"].startswith("127.0.0.1:")
    on_one = plan(ranks.MPI, 2)["Rank 1"]
    assert on_one["AZ_BATCHAI_MPI_MASTER_NODE"] == "localhost"
    assert "AZ_BATCH_MASTER_NODE" not in on_one


def test_tensorflows_processes_know_the_cluster_and_their_task() -> None:
    found = plan(ranks.TENSORFLOW, 2, nodes=2, servers=1)
    configs = {label: json.loads(each["TF_CONFIG"]) for label, each in found.items()}
    assert list(configs) == ["Worker 0", "Worker 1", "Parameter server 0"]
    cluster = configs["Worker 0"]["cluster"]
    assert all(each["cluster"] == cluster for each in configs.values())
    assert (len(cluster["worker"]), len(cluster["ps"])) == (2, 1)
    assert len({*cluster["worker"], *cluster["ps"]}) == 3
    assert configs["Worker 1"]["task"] == {"type": "worker", "index": 1}
    assert configs["Parameter server 0"]["task"] == {"type": "ps", "index": 0}
    assert "ps" not in json.loads(plan(ranks.TENSORFLOW, 1)["Worker 0"]["TF_CONFIG"])["cluster"]


def test_nodes_share_the_gpus_and_servers_see_none() -> None:
    seen = [each.get("CUDA_VISIBLE_DEVICES") for each in plan("mpi", 4, 2, gpus="2,3,5,7").values()]
    assert seen == ["2,3", "2,3", "5,7", "5,7"]
    assert "CUDA_VISIBLE_DEVICES" not in plan(ranks.MPI, 4, gpus="0,1")["Rank 1"]
    found = plan(ranks.TENSORFLOW, 2, 2, servers=1, gpus="0,1")
    assert [each["CUDA_VISIBLE_DEVICES"] for each in found.values()] == ["0", "1", ""]


# What a configuration comes to


@pytest.mark.parametrize(
    ("job", "processes"),
    [
        (MpiConfiguration(), Processes("mpi", 1)),
        (MpiConfiguration(2, 3), Processes("mpi", 6, 3)),
        (PyTorchConfiguration("Gloo", node_count=3), Processes("pytorch", 3, 3)),
        (PyTorchConfiguration("Nccl", 4, 2), Processes("pytorch", 4, 2)),
        (TensorflowConfiguration(2, 0), Processes("tensorflow", 2, 2)),
        (TensorflowConfiguration(), Processes("tensorflow", 1, 1, 1)),
        (None, None),
    ],
)
def test_a_configuration_says_how_many_processes(job: Any, processes: Any) -> None:
    config = ScriptRunConfig(".", "x.py", distributed_job_config=job).run_config
    found = Processes.of(config)
    assert found == processes
    assert Processes.from_json(found and found.to_json()) == processes


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (PyTorchConfiguration("Gloo", 3, 2), "evenly over 2 nodes"),
        (PyTorchConfiguration("Gloo", 0), "process_count of the run is 0"),
        (MpiConfiguration("2"), "process_count_per_node of the run is '2'"),  # type: ignore[arg-type]
        (MpiConfiguration(2000), "2000 processes"),
        (TensorflowConfiguration(1, -1), "parameter_server_count of the run is -1"),
    ],
)
def test_what_cannot_be_started_is_refused_at_submission(
    job: Any, words: str, experiment: Experiment
) -> None:
    with pytest.raises(RunConfigurationException, match=words):
        submit(experiment, "", distributed_job_config=job)


def test_nodes_need_a_way_to_find_each_other(experiment: Experiment, project: Path) -> None:
    config = ScriptRunConfig(str(project), script=script(project, ""))
    config.run_config.node_count = 2
    with pytest.raises(RunConfigurationException, match="not how its processes find"):
        experiment.submit(config)


def test_a_notebook_is_one_process(experiment: Experiment, project: Path) -> None:
    (project / "a.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4}')
    config = ScriptRunConfig(
        str(project), script="a.ipynb", distributed_job_config=MpiConfiguration(2)
    )
    with pytest.raises(RunConfigurationException, match="executed by one process"):
        experiment.submit(config)


# Running

RING = """
    import os, socket, sys, time
    from aml_jupyter import Run

    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    if rank == 0:
        server = socket.create_server(address)
        others = [server.accept()[0] for _ in range(size - 1)]
        total = sum(int(each.recv(16)) for each in others)
        for each in others:
            each.sendall(str(total).encode())
    else:
        while True:
            try:
                link = socket.create_connection(address)
                break
            except ConnectionRefusedError:
                time.sleep(0.01)
        link.sendall(str(rank * 10).encode())
        total = int(link.recv(16))
    run = Run.get_context()
    run.log("total", total)
    run.log("rank %d" % rank, rank)
    open("outputs/%d.txt" % rank, "w").write(" ".join(sys.argv[1:]))
    print("rank", rank, "of", size, "has", total)
"""


def test_ranks_meet_at_the_masters_address_and_log_into_one_run(experiment: Experiment) -> None:
    arguments = ["--init", "$AZ_BATCHAI_PYTORCH_INIT_METHOD", "--at", "${NODE_RANK}", "$HOME_LESS"]
    job = PyTorchConfiguration("Gloo", 4, 2)
    run = submit(experiment, RING, arguments=arguments, distributed_job_config=job)
    assert finish(run)["status"] == "Completed", log_of(run)
    assert run.get_metrics() == {"total": [60] * 4, **{f"rank {each}": each for each in range(4)}}
    logs = run.folder / "azureml-logs"
    for rank in range(4):
        assert (logs / f"70_driver_log_{rank}.txt").read_text() == f"rank {rank} of 4 has 60\n"
    assert log_of(run) == "rank 0 of 4 has 60\n"
    said = [(run.folder / f"outputs/{rank}.txt").read_text().split() for rank in range(4)]
    assert [each[3] for each in said] == ["0", "0", "1", "1"]
    assert {each[1][:16] for each in said} == {"tcp://127.0.0.1:"}
    assert said[0][4] == "$HOME_LESS"


def test_every_log_can_be_chosen_once_and_is_streamed_once(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    run = submit(experiment, RING, distributed_job_config=PyTorchConfiguration("Nccl", 2))
    run.wait_for_completion(show_output=True)
    said = capsys.readouterr().out
    for rank in range(2):
        assert said.count(f"rank {rank} of 2") == 1
    names = ["azureml-logs/70_driver_log.txt", "azureml-logs/70_driver_log_1.txt"]
    assert run_files.logs(run.folder) == names
    assert "azureml-logs/70_driver_log_0.txt" in run.get_file_names()


def test_commands_have_the_variables_of_their_rank(experiment: Experiment, project: Path) -> None:
    command = "echo $OMPI_COMM_WORLD_RANK of $OMPI_COMM_WORLD_SIZE $AML_PROCESSES."
    job = MpiConfiguration(2)
    config = ScriptRunConfig(str(project), command=command, distributed_job_config=job)
    run = experiment.submit(config)
    assert finish(run)["status"] == "Completed"
    logs = run.folder / "azureml-logs"
    said = [(logs / f"70_driver_log_{rank}.txt").read_text() for rank in range(2)]
    assert said == ["0 of 2 .\n", "1 of 2 .\n"]


SERVED = """
    import json, os, socket, sys, time
    config = json.loads(os.environ["TF_CONFIG"])
    task = config["task"]
    host, port = config["cluster"]["ps"][0].split(":")
    if task["type"] == "ps":
        server = socket.create_server((host, int(port)))
        while True:
            server.accept()[0].sendall(b"parameters")
    while True:
        try:
            print(task["index"], socket.create_connection((host, int(port))).recv(10).decode())
            break
        except ConnectionRefusedError:
            time.sleep(0.01)
"""


def test_parameter_servers_end_with_the_last_worker(experiment: Experiment) -> None:
    run = submit(experiment, SERVED, distributed_job_config=TensorflowConfiguration(2, 1))
    assert finish(run)["status"] == "Completed", log_of(run)
    logs = run.folder / "azureml-logs"
    assert (logs / "70_driver_log_worker_1.txt").read_text() == "1 parameters\n"
    assert (logs / "70_driver_log_ps_0.txt").exists()
    assert "warnings" not in run.get_details()


FAILING = """
    import os, signal, subprocess, sys, time
    from aml_jupyter import Run
    rank = int(os.environ["RANK"])
    if rank == 2:
        while not os.path.exists("outputs/all"):
            time.sleep(0.01)
        {end}
    subprocess.Popen(["sleep", "60"])
    if rank == 1:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open("outputs/all", "w").close()
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("raise ValueError('bad luck')", "Rank 2 failed with ValueError: bad luck"),
        ("sys.exit(7)", "Rank 2 ended with exit code 7."),
        ("os.kill(os.getpid(), 9)", "Rank 2 was killed by signal 9 (SIGKILL), perhaps"),
    ],
)
def test_one_rank_that_fails_ends_the_others_and_is_named(
    end: str, words: str, experiment: Experiment
) -> None:
    job = PyTorchConfiguration("Gloo", 3)
    run = submit(experiment, FAILING.format(end=end), distributed_job_config=job)
    with pytest.raises(ActivityFailedException) as failed:
        run.wait_for_completion()
    assert words in str(failed.value)
    error = run.get_details()["error"]["error"]
    if "bad luck" in words:
        assert error["logTail"][-1] == "ValueError: bad luck"
    assert "Rank 2 failed, so the other 2 processes are ended." in log_of(run)
    assert not processes_of(run)


def processes_of(run: Run) -> list[psutil.Process]:
    """All processes of the run that are still there."""
    found = []
    for each in psutil.process_iter():
        try:
            if each.environ().get(layout.FOLDER_VARIABLE) == str(run.folder):
                found.append(each)
        except psutil.Error:
            continue
    return found


WAITING = "import os, time; open('outputs/' + os.environ['RANK'], 'w'); time.sleep(60)"


def waiting(experiment: Experiment) -> Run:
    """A run of three processes that only wait."""
    run = submit(experiment, WAITING, distributed_job_config=PyTorchConfiguration("Gloo", 3))
    until(lambda: len(list((run.folder / "outputs").iterdir())) == 3, 20)
    return run


def test_cancel_ends_all_processes(experiment: Experiment) -> None:
    run = waiting(experiment)
    run.cancel()
    assert finish(run)["status"] == "Canceled"
    assert not processes_of(run)


def test_no_process_is_left_when_those_that_wait_for_them_are_killed(
    experiment: Experiment,
) -> None:
    run = waiting(experiment)
    launcher = psutil.Process(layout.read_json(str(run.folder / layout.CLAIM))["pid"])
    (conductor,) = launcher.children()
    assert len(conductor.children()) == 3
    for each in (launcher, conductor):
        os.kill(each.pid, signal.SIGKILL)
    assert finish(run)["status"] == "Failed"
    until(lambda: not processes_of(run), 10)


def test_a_killed_conductor_fails_the_run(experiment: Experiment) -> None:
    run = waiting(experiment)
    launcher = psutil.Process(layout.read_json(str(run.folder / layout.CLAIM))["pid"])
    launcher.children()[0].kill()
    assert finish(run)["status"] == "Failed"
    until(lambda: not processes_of(run), 10)


def test_the_same_run_again_has_as_many_processes(experiment: Experiment) -> None:
    job = MpiConfiguration(2)
    run = submit(experiment, "import os; print(len(os.environ))", distributed_job_config=job)
    finish(run)
    again = run.rerun()
    assert finish(again)["status"] == "Completed"
    assert (again.folder / "azureml-logs/70_driver_log_1.txt").exists()
