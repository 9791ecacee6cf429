"""A job of several processes on one machine: starts them all, and ends them all with the first
that fails.

The launcher's job becomes the *conductor*, which forks a process for each rank and waits. Each
rank has the variables that v1's launchers set, and a log of its own; nodes are only pretended.
What the conductor notes of the end is what a plain program would, and which rank it was.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import json
import os
import re
import sys
from time import monotonic, sleep

from .layout import DRIVER_LOG, OUTCOME, read_json
from .process import identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict

    Variables = Dict[str, str]

MPI, PYTORCH, TENSORFLOW = "mpi", "pytorch", "tensorflow"

LOGS = f"{DRIVER_LOG[: -len('.txt')]}_"
"""What the names of the processes' logs begin with."""

_HOST = "127.0.0.1"
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_GRACE = 10.0
_POLL = 0.02
_FOR_THE_JOB = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)
_SET_DEATH_SIGNAL = 1


class Rank:
    """One process of the job: what it is called, and what it finds in its environment."""

    def __init__(self, label: str, name: str, variables: Variables) -> None:
        self.label = label
        self.log = f"{LOGS}{name}.txt"
        self.outcome = f"{OUTCOME[: -len('.json')]}_{name}.json"
        self.variables = variables
        self.is_server = name.startswith("ps_")

    def expanded(self, arguments: list[str]) -> list[str]:
        """The arguments with the values of this process in place of ``$RANK`` and the like."""

        def value(match: Any) -> str:
            return self.variables.get(match[1] or match[2], str(match[0]))

        return [re.sub(r"\$(?:(\w+)|\{(\w+)\})", value, each) for each in arguments]


def enter(folder: str, told: str) -> Rank:
    """Start all processes; in each of them it returns, in the one that waits never."""
    ranks = plan(json.loads(told), os.environ.get(_VISIBLE))
    _link_first_log(folder, ranks[0])
    former = _signal.pthread_sigmask(_signal.SIG_BLOCK, _FOR_THE_JOB)
    conductor, dies_with_it = os.getpid(), _death_signal()
    alive: dict[int, Rank] = {}
    for number, rank in enumerate(ranks):
        pid = os.fork()
        if not pid:
            dies_with_it(_signal.SIGKILL)
            if os.getppid() != conductor:
                os._exit(1)
            os.setpgid(0, 0)
            _signal.pthread_sigmask(_signal.SIG_SETMASK, former)
            if number:
                _log_to(os.path.join(folder, rank.log))
            os.environ.update(rank.variables)
            return rank
        _lead_group(pid)
        alive[pid] = rank
    os._exit(_Conductor(folder, alive).conduct())


class _Conductor:
    """Waits for the processes of a job, and sees to it that they end together."""

    def __init__(self, folder: str, alive: dict[int, Rank]) -> None:
        self._folder = folder
        self._alive = alive
        self._kill_at = 0.0
        self._failed: Any = None

    def conduct(self) -> int:
        """The exit code of the job, once all are over."""
        while self._alive:
            pid, status = self._next()
            if not pid:
                if monotonic() > self._kill_at:
                    self._tell(_signal.SIGKILL)
                sleep(_POLL)
                continue
            rank = self._alive.pop(pid)
            if status and not self._kill_at:
                self._fail(rank, status)
            elif not self._kill_at and all(each.is_server for each in self._alive.values()):
                self._end_others()  # servers wait for ever: it is over with the last worker
        return self._note()

    def _next(self) -> Any:
        """Who has ended, and how; once they are to end nobody may keep the others waiting."""
        while True:
            try:
                return os.waitpid(-1, os.WNOHANG if self._kill_at else 0)
            except InterruptedError:
                continue

    def _fail(self, rank: Rank, status: int) -> None:
        self._failed = (rank, status)
        if self._alive:
            text = f"{rank.label} failed, so the other {len(self._alive)} processes are ended.\n"
            os.write(2, text.encode())
        self._end_others()

    def _end_others(self) -> None:
        self._kill_at = monotonic() + float(os.environ.get("AML_CANCEL_GRACE") or _GRACE)
        # Whoever signals the whole job has signalled them as well.
        if not set(_FOR_THE_JOB) & _signal.sigpending():
            self._tell(_signal.SIGTERM)

    def _tell(self, number: int) -> None:
        for pid in self._alive:
            for each in (number, _signal.SIGCONT):
                try:
                    os.killpg(pid, each)
                except OSError:  # it has just ended
                    continue

    def _note(self) -> int:
        """Write down how the job ended, and return its exit code."""
        code, told = 0, {}
        if self._failed is not None:
            rank, status = self._failed
            number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
            code = 128 + number if number else os.WEXITSTATUS(status)
            own = read_json(os.path.join(self._folder, rank.outcome)) or {}
            told = {**own, "process": rank.label, "log": rank.log, "signal": number}
        path = os.path.join(self._folder, OUTCOME)
        try:
            with open(f"{path}.tmp", "w", encoding="utf-8") as file:
                json.dump({**told, **identity(), "code": code}, file)
            os.replace(f"{path}.tmp", path)
        except OSError:  # the exit code tells it, if not why
            pass
        return code


# What each process finds ----------------------------------------------------------------------


def plan(told: dict[str, Any], gpus: str | None = None) -> list[Rank]:
    """All processes of the job, the first one first; ``gpus`` as they are visible to the job."""
    kind, count, nodes = told["kind"], int(told["count"]), int(told["nodes"])
    if kind == TENSORFLOW:
        return _tensorflow(count, int(told["servers"]), gpus)
    port, on_each = _free_ports(1)[0], count // nodes
    variables_of = _mpi if kind == MPI else _pytorch
    ranks = []
    for rank in range(count):
        node, local = divmod(rank, on_each)
        variables = {
            **_of_node(node, nodes, gpus),
            "AZ_BATCHAI_PYTORCH_INIT_METHOD": f"tcp://{_HOST}:{port}",
            **variables_of(rank, count, local, on_each, node, nodes, port),
        }
        ranks.append(Rank(f"Rank {rank}", str(rank), variables))
    return ranks


def _mpi(
    rank: int, count: int, local: int, on_each: int, node: int, nodes: int, port: int
) -> Variables:
    found = {
        "OMPI_COMM_WORLD_RANK": str(rank),
        "OMPI_COMM_WORLD_SIZE": str(count),
        "OMPI_COMM_WORLD_LOCAL_RANK": str(local),
        "OMPI_COMM_WORLD_LOCAL_SIZE": str(on_each),
        "AZ_BATCHAI_MPI_MASTER_NODE": "localhost" if nodes == 1 else _HOST,
    }
    if nodes > 1:
        found["AZ_BATCH_MASTER_NODE"] = f"{_HOST}:{port}"
    return found


def _pytorch(
    rank: int, count: int, local: int, on_each: int, node: int, nodes: int, port: int
) -> Variables:
    return {
        "MASTER_ADDR": _HOST,
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(count),
        "NODE_RANK": str(node),
        "RANK": str(rank),
        "LOCAL_RANK": str(local),
    }


def _tensorflow(workers: int, servers: int, gpus: str | None) -> list[Rank]:
    ports = _free_ports(workers + servers)
    hosts = [f"{_HOST}:{port}" for port in ports]
    cluster = {"worker": hosts[:workers], "ps": hosts[workers:]}
    if not servers:
        del cluster["ps"]
    ranks = []
    for kind, label, count in (
        ("worker", "Worker", workers),
        ("ps", "Parameter server", servers),
    ):
        for index in range(count):
            task = {"type": kind, "index": index}
            told = {"cluster": cluster, "task": task, "environment": "cloud"}
            variables = {
                **_of_node(index, workers, gpus),
                "TF_CONFIG": json.dumps(told),
                "AZ_BATCHAI_WORKER_HOSTS": ",".join(hosts[:workers]),
                "AZ_BATCHAI_PS_HOSTS": ",".join(hosts[workers:]),
            }
            if kind == "ps" and gpus is not None:
                variables[_VISIBLE] = ""  # TensorFlow would take what the workers need
            ranks.append(Rank(f"{label} {index}", f"{kind}_{index}", variables))
    return ranks


def _of_node(node: int, nodes: int, gpus: str | None) -> Variables:
    """What all processes of a node have: its number, and its share of the job's GPUs."""
    found = {
        "AZ_BATCHAI_TASK_INDEX": str(node),
        "AZ_BATCHAI_JOB_MASTER_NODE_IP": _HOST,
        "AZUREML_CR_NODE_RANK": str(node),
    }
    visible = gpus.split(",") if gpus else []
    share = len(visible) // nodes
    if nodes > 1 and share and node < nodes:
        # On each node LOCAL_RANK counts from 0, and no two processes shall mean the same GPU.
        found[_VISIBLE] = ",".join(visible[node * share : (node + 1) * share])
    return found


def _free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody has now; all are held until the last one is found."""
    import socket

    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind((_HOST, 0))
        return [int(each.getsockname()[1]) for each in held]
    finally:
        for each in held:
            each.close()


# Starting one -----------------------------------------------------------------------------------


def _link_first_log(folder: str, rank: Rank) -> None:
    """Let the first process's log have the job's own name as well."""
    try:
        os.link(os.path.join(folder, DRIVER_LOG), os.path.join(folder, rank.log))
    except OSError:  # some file systems have no such links: then it has that name alone
        pass


def _log_to(path: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def _lead_group(pid: int) -> None:
    """A group of its own for each, so that all that it starts is signalled with it."""
    try:
        os.setpgid(pid, pid)
    except OSError:  # it has done so itself, and gone on
        pass


def _death_signal() -> Callable[[int], Any]:
    """What a process calls that wants a signal when its parent has died; Linux has it."""
    if not sys.platform.startswith("linux"):
        return lambda number: None
    try:
        import ctypes

        ask = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):  # a Python or a system of another kind
        return lambda number: None
    return lambda number: ask(_SET_DEATH_SIGNAL, int(number), 0, 0, 0)
