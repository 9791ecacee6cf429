"""Compute targets: where runs go, v1's ComputeTarget and AmlCompute, and trying a target."""

from __future__ import annotations

import copy
import gc
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter import Environment, Experiment, ScriptRunConfig, Workspace, runner
from aml_jupyter.backends import visible
from aml_jupyter.engine import find_address, forget
from aml_jupyter.errors import AmlError, ComputeTargetException, UserErrorException
from aml_jupyter.job import events, states
from aml_jupyter.store import RunSummary, WorkspaceFolder
from aml_jupyter.workspace import compute, diagnosis
from aml_jupyter.workspace.amlcompute import AmlCompute
from aml_jupyter.workspace.compute import placement
from aml_jupyter.workspace.compute_instance import ComputeInstance
from aml_jupyter.workspace.compute_target import (
    ComputeTarget,
    DockerTarget,
    DsvmCompute,
    HDInsightCompute,
    KubernetesCompute,
    LocalTarget,
    RemoteCompute,
)
from aml_jupyter.workspace.pool_nodes import nodes_of
from aml_jupyter.workspace.queue_view import position_of
from tests.services import images
from tests.services.docker_engine import Engine
from tests.services.docker_engine import engine as own_engine
from tests.support import (
    experiment,
    finish,
    kill_runner,
    project,
    script,
    submit,
    until,
    ws,
)

__all__ = ["experiment", "project", "ws"]


@pytest.fixture
def folder(tmp_path: Path) -> WorkspaceFolder:
    """A workspace without targets."""
    return WorkspaceFolder.create(tmp_path / "place")


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make this machine have GPUs of our making, or none."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return lambda what: monkeypatch.setenv("AML_FAKE_GPUS", what)


def write(folder: WorkspaceFolder, text: str) -> None:
    folder.targets_file.write_text(textwrap.dedent(text))


# Where runs go --------------------------------------------------------------------------------


def test_without_a_file_there_are_the_kinds_of_backends(folder: WorkspaceFolder) -> None:
    assert list(compute.entries(folder))[:2] == ["local", "docker"]
    assert placement(folder, "local") == compute.Placement("local")
    assert placement(folder, "docker") == compute.Placement("docker")


def test_a_target_with_slots_of_its_own_is_a_pool_and_local_is_the_machine(
    folder: WorkspaceFolder,
) -> None:
    write(folder, "local: {slots: 4}\ndesk: {type: local, slots: '2'}\nbench: {type: local}\n")
    assert placement(folder, "local") == compute.Placement("local", slots=4)
    place = placement(folder, "desk")
    assert (place.pool, place.slots) == (f"{folder.record['id']}/desk", 2)
    assert placement(folder, "bench").pool == ""


def test_settings_of_the_backend_become_options_as_it_reads_them(folder: WorkspaceFolder) -> None:
    write(
        folder,
        """\
        box:
          type: docker
          description: upstairs
          tags: {team: vision}
          shm_size: 4g
          keep: yes
          slots: 3
        """,
    )
    place = placement(folder, "box")
    assert place.backend == "docker"
    assert place.slots == 3
    assert dict(place.options) == {"shm_size": 4 << 30, "keep": True}


@pytest.mark.parametrize(
    ("text", "name", "message", "hint"),
    [
        (
            "box:\n  type: docker\n  shmsize: 4g\n",
            "box",
            "line 3: a target of type docker",
            "shm_size",
        ),
        (
            "box:\n  type: docker\n  shm_size: big\n",
            "box",
            "line 3: shm_size 'big'",
            "shm_size: 8g",
        ),
        ("box:\n  type: dokcer\n", "box", "line 2: there is no type 'dokcer'", "docker"),
        ("box: {}\n", "box", "line 1: box says no type", "amlcompute, computeinstance, docker"),
        ("box:\n  type: local\n  slots: 0\n", "box", "line 3: slots 0 .* 1 or more", "at once"),
        ("box:\n  type: local\n  slots: true\n", "box", "line 3: slots True", "at once"),
        ("local:\n  type: docker\n", "local", "line 2: the target local is of type local", "name"),
        ("p:\n  type: amlcompute\n  min_nodes: 3\n  max_nodes: 2\n", "p", "line 3: min_nodes", ""),
        (
            "p:\n  type: amlcompute\n  vm_priority: high\n",
            "p",
            "line 3: vm_priority",
            "lowpriority",
        ),
        ("p:\n  type: amlcompute\n  created: soon\n", "p", "line 3: created 'soon'", ""),
    ],
)
def test_what_makes_no_sense_is_told_with_its_line_when_the_target_is_used(
    folder: WorkspaceFolder, text: str, name: str, message: str, hint: str
) -> None:
    write(folder, text)
    with pytest.raises(UserErrorException, match=message) as caught:
        placement(folder, name)
    assert caught.value.message.startswith("targets.yaml, line ")
    assert hint in caught.value.hint
    # The others go on, and the list tells of it.
    if name != "local":
        assert placement(folder, "local").backend == "local"
    assert any("targets.yaml, line" in each.error for each in compute.listed(folder))


def test_a_target_that_is_not_there_is_v1s_exception_with_what_to_do(
    folder: WorkspaceFolder,
) -> None:
    write(folder, "gpu-box: {type: docker}\n")
    with pytest.raises(ComputeTargetException) as caught:
        placement(folder, "gpubox")
    assert caught.value.message.startswith(
        "ComputeTargetNotFound: Compute Target with name gpubox not found in provided workspace"
    )
    assert "Did you mean gpu-box?" in caught.value.hint
    assert "aml target add gpubox" in caught.value.hint


def test_the_target_amlcompute_is_this_machine_for_runs_that_name_a_size(
    ws: Workspace, gpus: Callable[[str], None], project: Path
) -> None:
    gpus("4x16G")
    config = ScriptRunConfig(str(project), script=script(project, "print(1)"))
    config.run_config.target = "amlcompute"
    with pytest.raises(AmlError, match=r"(?s)target amlcompute needs a size.*amlcompute\.vm_size"):
        Experiment(ws, "test").plan(config)
    config.run_config.amlcompute.vm_size = "STANDARD_NC12"
    planned = Experiment(ws, "test").plan(config).place
    assert (planned.backend, planned.pool, planned.target_kind) == ("local", "", "amlcompute")
    assert planned.resources.gpus == 2
    with pytest.raises(ComputeTargetException, match=r"Runs may have it as their target") as caught:
        ComputeTarget(ws, "amlcompute")
    assert "create" not in caught.value.hint
    write(ws.folder, "amlcompute: {type: amlcompute, max_nodes: 3}\n")
    assert Experiment(ws, "test").plan(config).place.slots == 3


@pytest.mark.parametrize(
    ("there", "size", "given", "told"),
    [
        ("8x16G", "STANDARD_NC6", 1, ""),
        ("8x16G", "standard_nc24rs_v3", 4, ""),
        ("8x16G", "STANDARD_ND40rs_v2", 8, ""),
        ("8x16G", "STANDARD_NX99_V9", 1, ""),
        ("2x16G", "STANDARD_NC24", 2, "with 4 GPUs, but this machine has 2"),
        ("8x16G", "STANDARD_D2_V2", 0, ""),
        ("8x16G", "MY_OWN_SIZE", 0, ""),
    ],
)
def test_a_machine_size_says_how_many_gpus_its_runs_ask_for(
    folder: WorkspaceFolder,
    gpus: Callable[[str], None],
    there: str,
    size: str,
    given: int,
    told: str,
) -> None:
    gpus(there)
    write(folder, f"pool: {{type: amlcompute, vm_size: {size}}}\n")
    place = placement(folder, "pool")
    assert place.gpus == given
    assert told in " ".join(place.notes)
    assert bool(place.notes) == bool(told)


def test_a_gpu_size_where_no_gpus_are_says_so_and_runs_all_the_same(
    folder: WorkspaceFolder, gpus: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus("4x16G")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    write(folder, "pool: {type: amlcompute, vm_size: STANDARD_NC6}\n")
    place = placement(folder, "pool")
    assert place.gpus == 0
    assert place.notes == (
        "pool has the size STANDARD_NC6 with 1 GPU, but this machine has none: its runs get none.",
    )


def test_a_run_without_gpus_may_submit_to_a_pool_with_gpus(
    folder: WorkspaceFolder, gpus: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus("4x16G")
    write(folder, "pool: {type: amlcompute, vm_size: STANDARD_NC6}\n")
    for name, value in visible.leased(os.environ, ()).items():
        monkeypatch.setenv(name, value)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    assert placement(folder, "pool").gpus == 1


def test_gpus_of_a_target_are_what_it_says_itself(folder: WorkspaceFolder) -> None:
    write(folder, "a: {type: local, gpus: 2}\nb: {type: docker, gpus: all}\nc: {type: local}\n")
    assert [placement(folder, name).gpus for name in "abc"] == [2, -1, None]


# v1's handles ---------------------------------------------------------------------------------


def test_a_target_that_the_file_changes_is_offered_once(folder: WorkspaceFolder) -> None:
    write(folder, "local: {slots: 3}\n")
    with pytest.raises(ComputeTargetException) as caught:
        placement(folder, "xyz")
    assert caught.value.hint.startswith("There are: docker, local.")


def pool(workspace: Workspace, name: str = "cpu-cluster", **settings: Any) -> AmlCompute:
    """A pool, made as v1's programs make one."""
    settings = {"vm_size": "STANDARD_D2_V2", "max_nodes": 4, **settings}
    made = ComputeTarget.create(workspace, name, AmlCompute.provisioning_configuration(**settings))
    assert type(made) is AmlCompute
    return made


def test_v1s_idiom_makes_a_pool_and_finds_it_the_second_time(
    ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    def cell() -> ComputeTarget:
        try:
            target = ComputeTarget(workspace=ws, name="cpu-cluster")
            print("Found existing cluster, use it.")
        except ComputeTargetException:
            config = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", max_nodes=4)
            target = ComputeTarget.create(ws, "cpu-cluster", config)
        target.wait_for_completion(show_output=True)
        return target

    last = (
        "AmlCompute wait for completion finished\n\n"
        "Minimum number of nodes requested have been provisioned\n"
    )
    assert type(cell()) is AmlCompute
    assert capsys.readouterr().out == f"Creating\nSucceeded\n{last}"
    target = cell()
    assert capsys.readouterr().out == f"Found existing cluster, use it.\n{last}"
    assert type(AmlCompute(ws, "cpu-cluster")) is AmlCompute
    assert (target.name, target.type, target.provisioning_state) == (
        "cpu-cluster",
        "AmlCompute",
        "Succeeded",
    )


def test_waiting_for_more_nodes_than_there_may_be_says_that_they_will_not_come(
    ws: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    pool(ws, max_nodes=1).wait_for_completion(True, min_node_count=3, timeout_in_minutes=20)
    assert capsys.readouterr().out.endswith(
        "Wait timeout has been reached\nCurrent provisioning state of AmlCompute is "
        '"Succeeded" and current node count is "0"\n'
    )


def test_the_status_of_a_pool_has_v1s_keys(ws: Workspace) -> None:
    before = datetime.now().astimezone().replace(microsecond=0)
    target = pool(ws, min_nodes="1", max_nodes="4", idle_seconds_before_scaledown="300")
    status = target.get_status()
    assert status is not None
    told = status.serialize()
    times = {key: told.pop(key) for key in list(told) if key.endswith("Time")}
    assert told == {
        "currentNodeCount": 1,
        "targetNodeCount": 1,
        "nodeStateCounts": {
            "preparingNodeCount": 0,
            "runningNodeCount": 0,
            "idleNodeCount": 1,
            "unusableNodeCount": 0,
            "leavingNodeCount": 0,
            "preemptedNodeCount": 0,
        },
        "allocationState": "Steady",
        "errors": None,
        "provisioningState": "Succeeded",
        "scaleSettings": {
            "minNodeCount": 1,
            "maxNodeCount": 4,
            "nodeIdleTimeBeforeScaleDown": "PT300S",
        },
        "vmPriority": "Dedicated",
        "vmSize": "STANDARD_D2_V2",
    }
    assert times.pop("provisioningStateTransitionTime") is None
    assert set(times) == {"allocationStateTransitionTime", "creationTime", "modifiedTime"}
    assert all(before <= datetime.fromisoformat(when) for when in times.values())
    assert status.node_state_counts.idle_node_count == 1
    assert status.scale_settings.maximum_node_count == 4


def test_what_a_pool_is_made_from_is_checked_at_once(ws: Workspace) -> None:
    for wrong in ({"vm_priority": "high"}, {"max_nodes": 0}, {"min_nodes": 9}, {"max_nodes": "x"}):
        with pytest.raises(UserErrorException, match=next(iter(wrong))):
            AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", **wrong)


@pytest.mark.parametrize("name", ["amlcompute", "Local", "containerinstance", "a", "x" * 25, "a_b"])
def test_names_that_v1_refuses_are_refused(ws: Workspace, name: str) -> None:
    with pytest.raises(UserErrorException, match="not a name for a compute target"):
        pool(ws, name)
    assert ws.folder.target_entries() == {}


def test_making_a_pool_that_is_there_changes_it_and_keeps_the_rest(ws: Workspace) -> None:
    pool(ws, max_nodes=2, tags={"team": "vision"})
    text = ws.folder.targets_file.read_text().replace("  max_nodes: 2", "  max_nodes: 2  # enough")
    ws.folder.targets_file.write_text(text)
    target = pool(ws, max_nodes=6)
    assert "max_nodes: 6  # enough\n" in ws.folder.targets_file.read_text()
    assert target.tags == {"team": "vision"}
    with pytest.raises(ComputeTargetException, match="target cpu-cluster of type amlcompute"):
        ComputeTarget.attach(ws, "cpu-cluster", DockerTarget.attach_configuration())


def test_a_pool_that_grows_or_shrinks_does_so_for_the_runs_that_wait(
    ws: Workspace, experiment: Experiment, project: Path
) -> None:
    def going_on() -> int:
        return sum(run.get_status() == "Running" for run in runs)

    target, gate = pool(ws, max_nodes=1), project / "gate"
    text = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)"
    runs = [submit(experiment, text, compute_target="cpu-cluster") for _ in range(4)]
    until(going_on)
    target.update(max_nodes=2)
    until(lambda: going_on() == 2)
    kill_runner()
    pool(ws, max_nodes=3)
    runner.wake()
    until(lambda: going_on() == 3)
    target.update(max_nodes=1)
    runs[0].cancel()
    until(lambda: runs[0].get_status() == "Canceled")
    until(lambda: (at := position_of(runs[3].id)) and "a slot of cpu-cluster" in at.why)
    gate.touch()
    assert all(finish(run)["status"] == "Completed" for run in runs[1:])


def test_a_pool_can_be_changed_and_deleted_and_not_detached(ws: Workspace) -> None:
    target = pool(ws, max_nodes=2)
    target.update(min_nodes=1, max_nodes="3", idle_seconds_before_scaledown=60)
    status = target.get_status()
    assert status is not None
    assert status.scale_settings.serialize() == {
        "minNodeCount": 1,
        "maxNodeCount": 3,
        "nodeIdleTimeBeforeScaleDown": "PT60S",
    }
    assert placement(ws.folder, "cpu-cluster").slots == 3
    with pytest.raises(UserErrorException, match="min_nodes is more than max_nodes"):
        target.update(min_nodes=4)
    with pytest.raises(ComputeTargetException, match="cannot be detached"):
        target.detach()
    target.delete()
    assert target.provisioning_state == "Deleting"
    with pytest.raises(ComputeTargetException, match=r"^ComputeTargetNotFound"):
        target.get_status()
    with pytest.raises(ComputeTargetException, match=r"^ComputeTargetNotFound"):
        ComputeTarget(ws, "cpu-cluster")


def test_passwords_and_keys_of_nodes_are_not_kept(ws: Workspace) -> None:
    pool(ws, admin_username="me", admin_user_password="hunter2", admin_user_ssh_key="ssh-rsa AAA")
    text = ws.folder.targets_file.read_text()
    assert "hunter2" not in text
    assert "ssh-rsa" not in text


def test_identities_are_noted_and_forgotten(ws: Workspace) -> None:
    target = pool(ws)
    target.add_identity("UserAssigned", ["/a", "/b"])
    target.add_identity("UserAssigned", "/c")
    assert compute.read(ws.folder.target_entries()["cpu-cluster"])["identity_id"] == [
        "/a",
        "/b",
        "/c",
    ]
    target.remove_identity(["/a"])
    target.remove_identity()
    assert "identity" not in ws.folder.targets_file.read_text()


def test_every_size_is_accepted_and_those_of_v1_are_listed(ws: Workspace) -> None:
    sizes = AmlCompute.supported_vmsizes(ws)
    found = next(size for size in sizes if size["name"] == "STANDARD_NC6")
    assert found == {
        "name": "STANDARD_NC6",
        "vCPUs": 6,
        "gpus": 1,
        "memoryGB": 56.0,
        "maxResourceVolumeMB": 389120,
    }
    for size in ("STANDARD_NC6", "Standard_D3_v2", "", "SOMETHING_NEW_V7"):
        assert pool(ws, vm_size=size).provisioning_state == "Succeeded"


def test_all_targets_of_the_file_are_listed_with_their_classes(ws: Workspace) -> None:
    write(
        ws.folder,
        """\
        desk: {type: local, slots: 1}
        box: {type: docker, description: upstairs}
        pool: {type: amlcompute, max_nodes: 1}
        torn: {type: nonsense}
        """,
    )
    found = {target.name: target for target in ComputeTarget.list(ws)}
    kinds = {name: type(target) for name, target in found.items()}
    assert kinds == {
        "desk": LocalTarget,
        "box": DockerTarget,
        "pool": AmlCompute,
        "torn": ComputeTarget,
    }
    assert [target.type for target in found.values()] == [
        "local",
        "docker",
        "AmlCompute",
        "nonsense",
    ]
    assert found["torn"].provisioning_state == "Failed"
    assert "targets.yaml, line 4" in found["torn"].provisioning_errors[0]["error"]["message"]
    assert found["box"].description == "upstairs"
    assert found["box"].get_status() == "Succeeded"
    assert found["box"].serialize()["properties"]["computeType"] == "docker"
    assert found["box"].id.endswith(f"/workspaces/{ws.name}/computes/box")
    assert "name=box" in repr(found["box"])
    assert type(ComputeTarget(ws, "local")) is LocalTarget


def test_an_engine_is_attached_from_python(ws: Workspace) -> None:
    config = DockerTarget.attach_configuration(host="ssh://me@box", shm_size="8g", slots=2)
    target = ComputeTarget.attach(ws, "gpu-box", config)
    assert type(target) is DockerTarget
    options = placement(ws.folder, "gpu-box").options
    assert options == {"host": "ssh://me@box", "shm_size": 8 << 30}
    with pytest.raises(UserErrorException, match=r"target bad: shm_size 'big'"):
        ComputeTarget.attach(ws, "bad", DockerTarget.attach_configuration(shm_size="big"))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: RemoteCompute.attach_configuration("me", address="10.0.0.1", ssh_port=2222),
            "aml target add far --type docker host=ssh://me@10.0.0.1:2222",
        ),
        (lambda: RemoteCompute.attach_configuration(username="me", address="vm"), "me@vm`"),
        (lambda: DsvmCompute.provisioning_configuration(vm_size="STANDARD_D2_V2"), "max_nodes=1"),
        (lambda: HDInsightCompute.attach_configuration(username="a", address="b"), "pyspark"),
        (lambda: KubernetesCompute.attach_configuration(namespace="x"), "aml_jupyter.backends"),
    ],
)
def test_what_is_elsewhere_is_one_error_that_says_what_is_possible(
    ws: Workspace, make: Callable[[], Any], says: str
) -> None:
    with pytest.raises(ComputeTargetException) as caught:
        ComputeTarget.attach(ws, "far", make())
    assert caught.value.message.startswith("far cannot be made: ")
    assert says in caught.value.hint
    assert ws.folder.target_entries() == {}


def test_a_compute_instance_is_one_slot_of_this_machine(
    ws: Workspace, experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ComputeTargetException):
        ComputeInstance(ws, "desk")
    configuration = ComputeInstance.provisioning_configuration(
        vm_size="STANDARD_D3_V2", ssh_public_access=False
    )
    desk = ComputeInstance.create(ws, "desk", configuration)
    assert type(desk) is ComputeInstance
    desk.wait_for_completion(show_output=True)
    assert 'operation "Succeeded"' in capsys.readouterr().out
    desk.stop(wait_for_completion=True, show_output=True)
    assert capsys.readouterr().out == "Stopped\n"
    assert desk.get_status().state == "Stopped"
    desk.start()
    assert desk.get_status().serialize() == {
        "errors": None,
        "state": "Running",
        "vmSize": "STANDARD_D3_V2",
    }
    assert any(size["name"] for size in ComputeInstance.supported_vmsizes(workspace=ws))
    place = placement(ws.folder, "desk")
    assert (place.backend, place.slots) == ("local", 1)
    run = submit(experiment, "print('at the desk')", compute_target=desk)
    assert finish(run)["status"] == "Completed"
    assert finish(run)["target"] == "desk"


def test_a_run_that_asks_for_docker_is_a_process_where_environments_are_not_built(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AML_ENVIRONMENTS", "present")
    environment = Environment("boxed")
    environment.docker.enabled = True
    environment.docker.base_image = "python:3.12-slim"
    run = submit(experiment, "print('no box')", environment=environment)
    assert finish(run)["status"] == "Completed"
    told = [each.get("message", "") for each in events.read(str(run.folder))[0]]
    assert any("It asks for Docker" in each for each in told)
    notes = json.loads((run.folder / "run.json").read_text())["environment"]["notes"]
    assert any("python:3.12-slim" in note for note in notes)


def test_a_target_cannot_be_made_from_anything_else(ws: Workspace) -> None:
    with pytest.raises(ComputeTargetException, match="made from dict"):
        ComputeTarget.create(ws, "x1", {"vm_size": "X"})  # type: ignore[arg-type]


def test_a_target_goes_along_in_copies_of_what_is_submitted(ws: Workspace) -> None:
    target = pool(ws)
    config = ScriptRunConfig(".", script="x.py", compute_target=target)
    assert config.run_config.target == "cpu-cluster"
    assert copy.deepcopy({"target": target})["target"] is target


def test_many_that_make_the_same_pool_at_once_make_one(ws: Workspace) -> None:
    script = textwrap.dedent("""\
        from aml_jupyter import Workspace
        from aml_jupyter.workspace.amlcompute import AmlCompute
        from aml_jupyter.workspace.compute_target import ComputeTarget
        config = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", max_nodes=4)
        print(ComputeTarget.create(Workspace.from_config(), "cpu-cluster", config)._is_new)
        """)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    words = [sys.executable, "-c", script]
    makers = [
        subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert sorted(maker.communicate()[0].strip() for maker in makers) == ["False"] * 3 + ["True"]
    assert list(ws.folder.target_entries()) == ["cpu-cluster"]


# Nodes ----------------------------------------------------------------------------------------


def ran(name: str, status: str, started: float | None, ended: float | None = None) -> RunSummary:
    """A run on the pool."""
    return RunSummary(
        name, "", "e", 1, None, None, status, 0.0, started, ended, "pool", name, False, None
    )


def test_nodes_are_told_from_runs() -> None:
    runs = [
        ran("over", states.COMPLETED, 100.0, 200.0),
        ran("going", states.RUNNING, 950.0),
        ran("about", states.STARTING, None),
        ran("waits", states.QUEUED, None),
        ran("never", states.CANCELED, None, 900.0),
    ]
    nodes = nodes_of(runs, 0, 4, 850.0, 1000.0)
    assert (nodes.running, nodes.preparing) == (["going"], ["about"])
    # The node that the first run left at 200 took the one that began at 950.
    assert (nodes.idle, nodes.count, nodes.wanted) == (0, 2, 3)
    assert nodes.changed == 950.0


def test_a_node_stays_idle_for_its_time_and_takes_the_next_run() -> None:
    one_after_the_other = [
        ran("a", states.COMPLETED, 0.0, 10.0),
        ran("b", states.COMPLETED, 20.0, 30.0),
    ]
    at_once = [ran("a", states.COMPLETED, 0.0, 30.0), ran("b", states.FAILED, 1.0, 29.0)]
    assert nodes_of(one_after_the_other, 0, 4, 60.0, 40.0).idle == 1
    assert nodes_of(at_once, 0, 4, 60.0, 40.0).idle == 2
    assert nodes_of(at_once, 0, 1, 60.0, 40.0).idle == 1
    assert nodes_of(at_once, 0, 4, 60.0, 100.0).idle == 0
    assert nodes_of(at_once, 3, 4, 60.0, 100.0).idle == 3


def test_a_pool_never_wants_more_nodes_than_it_may_have() -> None:
    waiting = [ran(str(n), states.QUEUED, None) for n in range(9)]
    nodes = nodes_of(waiting, 0, 4, 60.0, 0.0)
    assert (nodes.count, nodes.wanted) == (0, 4)


def test_runs_on_a_pool_are_its_nodes(ws: Workspace, experiment: Experiment) -> None:
    target = pool(ws, max_nodes=2)
    wait = "import time\ntime.sleep(60)"
    run = submit(experiment, wait, compute_target=target)
    until(lambda: run.get_status() == "Running", 30)
    elsewhere = submit(experiment, "print(1)")
    status = target.get_status()
    assert status is not None
    assert status.node_state_counts.running_node_count == 1
    assert status.current_node_count == 1
    (node,) = target.list_nodes()
    assert (node["nodeState"], node["runId"]) == ("running", run.id)
    assert [each.id for each in target.get_active_runs()] == [run.id]
    assert list(target.get_active_runs(tags={"a": "b"})) == []
    assert list(target.get_active_runs(status="Queued")) == []
    assert target.serialize()["properties"]["properties"]["currentNodeCount"] == 1
    run.cancel()
    finish(run)
    finish(elsewhere)
    (node,) = target.list_nodes()
    assert (node["nodeState"], node["runId"]) == ("idle", None)
    assert list(target.get_active_runs()) == []
    target.update(idle_seconds_before_scaledown=0)
    assert target.list_nodes() == []


def test_as_many_runs_of_a_pool_go_at_once_as_it_has_nodes(
    ws: Workspace, experiment: Experiment, tmp_path: Path
) -> None:
    target = pool(ws, max_nodes=1)
    go = tmp_path / "go"
    wait = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)"
    first = submit(experiment, wait, compute_target=target)
    second = submit(experiment, wait, compute_target=target)
    until(lambda: first.get_status() == "Running", 30)
    time.sleep(0.5)
    assert second.get_status() in ("Queued", "NotStarted", "Preparing")
    status = target.get_status()
    assert status is not None
    assert (status.current_node_count, status.target_node_count) == (1, 1)
    go.touch()
    assert [finish(run)["status"] for run in (first, second)] == ["Completed", "Completed"]


# Trying ---------------------------------------------------------------------------------------


def test_a_small_job_really_goes_to_local_and_leaves_nothing(ws: Workspace) -> None:
    *about, job = diagnosis.tried(ws.folder, "local")
    assert [each.works for each in about] == [True]
    assert job.works is True
    assert "started, heard and ended" in job.detail
    assert not (ws.folder.root / "trials").exists()
    assert list(ws.runs()) == []


# docker-py does not close a socket that cannot be connected.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_an_engine_that_is_not_there_is_told_with_a_remedy(ws: Workspace, tmp_path: Path) -> None:
    (only,) = diagnosis.tried(ws.folder, "docker", {"host": f"unix://{tmp_path}/none.sock"})
    assert only.works is False
    assert "none.sock" in only.detail
    assert only.remedy
    gc.collect()


def test_a_spoiled_target_is_not_tried(ws: Workspace) -> None:
    write(ws.folder, "box: {type: docker, shm_size: big}\n")
    (only,) = diagnosis.tried(ws.folder, "box")
    assert only.works is False
    assert only.detail.startswith("targets.yaml, line 1: shm_size 'big'")


@pytest.mark.service("docker")
def test_a_small_job_really_goes_into_a_container(
    ws: Workspace, docker_engine: Engine, base_image: str
) -> None:
    write(ws.folder, f"box: {{type: docker, host: '{docker_engine.host}'}}\n")
    *about, job = diagnosis.tried(ws.folder, "box", {"base_image": base_image})
    assert about[0].works is True
    assert "version" in about[0].detail
    assert job.works is True, job
    assert f"in a container of {base_image}" in job.detail
    with docker_engine.client() as client:
        labels = [
            container.labels for container in client.containers.list(all=True, ignore_removed=True)
        ]
    assert not any("/trials/" in str(each) for each in labels)


@pytest.mark.service("docker")
def test_an_image_that_is_not_there_leaves_the_job_untried(
    ws: Workspace, docker_engine: Engine
) -> None:
    more = {"base_image": "never-was:1", "host": docker_engine.host}
    *_, job = diagnosis.tried(ws.folder, "docker", more)
    assert job.works is None
    assert "base_image=IMAGE" in job.remedy


@pytest.mark.service("docker")
def test_containers_that_are_left_over_are_told(
    ws: Workspace, docker_engine: Engine, base_image: str, aml_home: Path
) -> None:
    labels = {"aml.home": str(aml_home), "aml.folder": str(ws.folder.runs / "gone")}
    with docker_engine.client() as client:
        made = client.containers.create(base_image, "true", labels=labels)
        try:
            found = list(about_docker(ws, docker_engine))
        finally:
            made.remove()
    told = next(each for each in found if "over" in each.detail)
    assert made.name in told.detail
    assert told.remedy == f"`docker rm {made.name}` removes them."
    assert not any("left over" in each.detail for each in about_docker(ws, docker_engine))


@pytest.mark.service("docker")
def test_an_engine_without_nvidias_runtime_where_gpus_are_is_told_with_the_remedy(
    ws: Workspace, docker_engine: Engine, gpus: Callable[[str], None]
) -> None:
    gpus("2x16G")
    told = next(each for each in about_docker(ws, docker_engine) if "no GPUs" in each.detail)
    assert told.works is False
    assert "nvidia-container-toolkit" in told.remedy


@pytest.mark.slow
@pytest.mark.service("docker")
@pytest.mark.service("root")
def test_the_small_job_asks_for_a_gpu_where_the_engine_has_some_to_give(
    ws: Workspace, gpus: Callable[[str], None]
) -> None:
    gpus("2x16G")
    with (
        tempfile.TemporaryDirectory(prefix="aml-dk-") as place,
        own_engine(Path(place, "e"), runtimes=["nvidia"]) as own,
    ):
        more = {"host": own.host, "base_image": images.BASE}
        *_, job = diagnosis.tried(ws.folder, "docker", more)
        forget(find_address(more, os.environ))
    assert job.works is False
    assert "nvidia" in job.detail


def about_docker(ws: Workspace, engine: Engine) -> list[diagnosis.Finding]:
    write(ws.folder, f"box: {{type: docker, host: '{engine.host}'}}\n")
    return list(diagnosis.about_target(compute.entry_of(ws.folder, "box")))


def test_a_backend_that_fails_is_a_finding_and_no_crash(ws: Workspace) -> None:
    write(ws.folder, "box: {type: docker, context: never-was}\n")
    (only,) = diagnosis.about_target(compute.entry_of(ws.folder, "box"))
    assert only.works is False
    assert "never-was" in only.detail


def test_every_error_here_is_of_our_tree(ws: Workspace) -> None:
    with pytest.raises(AmlError):
        compute.remove(ws.folder, "local")
    with pytest.raises(AmlError):
        compute.add(ws.folder, "bad name", {"type": "local"})
