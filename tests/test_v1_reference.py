"""The behaviour of SDK v1, sentence by sentence, asked for by v1's own names.

``RULES`` says which tests state what a simple reimplementation gets wrong, ``TABLES`` which state
the tables of each class; most of them stand where the rest of their room is tested. What is stated
nowhere else is stated below, as the cells of a notebook would have it.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter import compat
from aml_jupyter.compat.names import LATER
from tests.support import finish, log_of, project, script

__all__ = ["project"]

HERE = Path(__file__).parent
A_PROGRAM = "test_v1_reference.py: a_program_for_v1_submits_a_script_for_v1_and_reads"

RULES: Mapping[str, tuple[str, ...]] = {
    "one value comes back bare, several as a list": (
        "test_job_run.py: one_value_comes_back_bare_and_with_its_type",
        "test_job_run.py: logging_again_makes_a_list_in_order_of_mixed_types",
        "test_job_run.py: lists_are_joined_and_one_element_is_bare",
        "test_job_run.py: rows_make_columns",
    ),
    "log appends and never replaces": (
        "test_job_run.py: logging_again_makes_a_list_in_order_of_mixed_types",
    ),
    "outside a run there is an _OfflineRun, exactly": (
        "test_job_run.py: outside_a_run_there_is_exactly_v1s_class",
        "test_job_run.py: outside_a_run_what_scripts_look_for_is_missing",
        "test_job_run.py: outside_a_run_calls_print_what_v1_prints",
        "test_v1_reference.py: outside_a_run_scripts_tell_by_class_and_by_what_is_missing",
    ),
    "complete() inside a script does not end the run": (
        "test_job_run.py: complete_and_fail_inside_do_not_end_the_run",
        "test_workspace.py: a_block_ends_an_interactive_run",
    ),
    "from_config goes up the kinds of folder, not the folders": (
        "test_workspace.py: a_far_azureml_folder_beats_a_near_bare_file",
        "test_workspace.py: both_forms_of_a_config_name_the_workspace",
        "test_workspace.py: the_kinds_of_config_are_tried_in_v1s_order",
        "test_v1_reference.py: a_config_from_azure_gives_the_four_strings_that_samples_print",
    ),
    "one ignore file counts": (
        "test_snapshots.py: only_one_ignore_file_counts",
        "test_snapshots.py: some_things_are_always_left_out",
    ),
    "wait_for_completion raises on Failed only": (
        "test_workspace.py: waiting_for_a_failed_run_raises_what_samples_catch",
        "test_workspace.py: waiting_for_a_canceled_run_raises_nothing",
    ),
    "outputs/ is there before the script": (
        "test_workspace.py: outputs_of_an_interactive_run_are_kept",
        "test_v1_reference.py: outputs_is_there_when_a_run_starts",
        A_PROGRAM,
    ),
    "packages named azureml-* are ours": (
        "test_environments.py: packages_of_v1s_sdk_are_satisfied_by_ours",
    ),
    "arguments become texts, and variables in them their values": (
        "test_workspace.py: arguments_become_texts",
        A_PROGRAM,
    ),
    "lists of runs are generators, newest first": (
        "test_workspace.py: runs_come_newest_first_one_by_one",
        "test_v1_reference.py: lists_of_runs_are_generators",
    ),
    "status is the last known, get_status() looks": (
        "test_workspace.py: status_is_the_last_known_and_get_status_looks",
    ),
    "numbers of numpy and torch are numbers": (
        "test_job_run.py: one_value_comes_back_bare_and_with_its_type",
    ),
    "the offline log takes a step": ("test_job_run.py: outside_a_run_calls_print_what_v1_prints",),
    "versions of models are numbers": (
        "test_models.py: versions_count_up_and_a_number_is_never_given_twice",
    ),
    "a download of a model keeps the last segment": (
        "test_models.py: download_keeps_the_last_segment_of_the_path",
    ),
    "versions of environments are texts": (
        "test_registry.py: a_version_may_be_a_number",
        "test_v1_reference.py: the_version_of_an_environment_is_a_text",
    ),
    "a target may be an object, a name or nothing; a wrong one is told at submit": (
        "test_v1_reference.py: a_target_is_an_object_a_name_or_nothing",
    ),
    "versions of datasets are whole numbers": (
        "test_datasets.py: registering_gives_versions_that_count_from_one",
    ),
    "a dataset of one file path is the file, of anything else a folder": (
        "test_datasets.py: one_file_path_is_that_file",
        "test_datasets.py: a_folder_of_a_datastore_is_that_folder",
        "test_datasets.py: files_of_several_paths_keep_the_hierarchy",
        "test_dataset_sources.py: urls_keep_their_hosts_as_folders",
    ),
    "submit takes a copy": ("test_workspace.py: a_config_may_be_changed_and_submitted_again",),
    "an absent target is an exception, and then it can be made": (
        "test_compute.py: v1s_idiom_makes_a_pool_and_finds_it_the_second_time",
        "test_compute.py: every_size_is_accepted_and_those_of_v1_are_listed",
    ),
    "the status of a pool is an object": ("test_compute.py: the_status_of_a_pool_has_v1s_keys",),
    "RunDetails.show() does not wait": (
        "test_run_details.py: it_shows_without_a_front_end_and_returns_nothing",
    ),
    "log_image takes pyplot itself": ("test_job_run.py: pyplot_itself_is_a_plot",),
    "submit takes show_output": (A_PROGRAM,),
    "canceled is spelt with one l": ("test_v1_reference.py: states_are_spelt_as_v1_spells_them",),
}
"""What a simple reimplementation gets wrong (section 0), and the tests that state it."""

TABLES: Mapping[str, tuple[str, ...]] = {
    "Workspace": ("test_workspace.py: what_samples_print", "test_workspace.py: write_config_"),
    "Experiment": ("test_workspace.py: experiments_", "test_workspace.py: runs_are_filtered"),
    "Interactive runs": ("test_workspace.py: an_interactive_run_",),
    "Run: logging": ("test_job_run.py: a_row_", "test_job_run.py: tables_are_columns"),
    "Run: files": ("test_job_run.py: a_download_goes", "test_workspace.py: files_of_a_run_are"),
    "Run: tags and properties": ("test_job_run.py: tags_", "test_job_run.py: properties_never"),
    "Run: children": ("test_job_run.py: children_by_count", "test_workspace.py: children_are_"),
    "Run: waiting": ("test_workspace.py: waiting_prints_v1s_form",),
    "Run: details": ("test_job_run.py: details_have_v1s_keys_in_v1s_order",),
    "Run: snapshot": ("test_workspace.py: the_source_of_a_run_comes_back_as_a_zip",),
    "Run: display": ("test_job_run.py: the_printed_form",),
    "ScriptRunConfig": ("test_spec.py: a_given_run_configuration_wins", "test_spec.py: a_command_"),
    "RunConfiguration": ("test_spec.py: a_saved_configuration_comes_back_whole",),
    "Environment": ("test_spec.py: a_saved_environment_comes_back", "test_registry.py: labels_"),
    "CondaDependencies": ("test_spec.py: create_pins_sdk_packages", "test_spec.py: a_conda_file_"),
    "Snapshots": ("test_snapshots.py: over_the_limit_", "test_snapshots.py: patterns_mean_"),
    "Git": ("test_gitfacts.py: facts_of_a_clean_repository_carry_v1_names",),
    "ComputeTarget": ("test_compute.py: names_that_v1_refuses", "test_compute.py: a_pool_can_be"),
    "Datastore": (
        "test_datastores.py: a_workspace_has_the_four_datastores",
        "test_datastores.py: upload_copies_a_folder_and_says_so",
        "test_datastores.py: files_keep_their_paths_below",
        "test_datastores.py: a_reference_is_shown_as_the_variable",
    ),
    "Datasets: creating": (
        "test_datasets.py: headers_of_several_files",
        "test_datasets.py: paths_and_partitions_become_columns",
        "test_datasets.py: a_data_frame_is_registered",
        "test_datasets.py: upload_directory_",
    ),
    "Datasets: registering": (
        "test_datasets.py: registering_",
        "test_datasets.py: a_missing_dataset_",
    ),
    "Datasets: using": (
        "test_datasets.py: downloads_are_copies",
        "test_datasets.py: rows_",
        "test_datasets.py: a_mount_is_there",
    ),
    "Open datasets": ("test_datasets.py: diabetes_is", "test_datasets.py: mnist_is"),
    "Estimators": ("test_estimators.py: ",),
    "Distributed runs": (
        "test_distribution.py: mpis_ranks_have_the_names_of_openmpi",
        "test_distribution.py: pytorchs_ranks_are_spread_evenly_over_nodes",
        "test_distribution.py: tensorflows_processes_know_the_cluster_and_their_task",
    ),
    "Models": (
        "test_models.py: get_model_path_",
        "test_models.py: list_gives_the_models_that_match_newest_first",
    ),
    "TensorBoard": ("test_tensorboard.py: tensorboard_shows_a_run_that_goes_on",),
}
"""The tables of v1's classes (sections 2 to 16), and the beginnings of tests that state them."""

MEMBERS: Mapping[str, str] = {
    "azureml.core.Workspace": (
        "compute_targets create datasets datastores environments experiments from_config get"
        " get_default_compute_target get_default_datastore get_default_keyvault get_details"
        " get_run images list location models name resource_group set_default_datastore sku"
        " subscription_id tags webservices write_config"
    ),
    "azureml.core.Experiment": (
        "archive archived_time delete get_portal_url get_runs id list name reactivate refresh"
        " remove_tags set_tags start_logging submit tag tags workspace"
    ),
    "azureml.core.Run": (
        "add_properties cancel child_run complete create_children description display_name"
        " download_file download_files experiment fail flush get get_all_logs get_children"
        " get_context get_detailed_status get_details get_details_with_logs get_environment"
        " get_file_names get_metrics get_portal_url get_properties get_snapshot_id get_status"
        " get_secret get_secrets get_submitted_run get_tags id list log log_accuracy_table"
        " log_confusion_matrix log_image"
        " log_list log_predictions log_residuals log_row log_table name number parent properties"
        " remove_tags restore_snapshot set_tags start status submit_child tag tags take_snapshot"
        " type upload_file upload_files upload_folder wait_for_completion"
    ),
    "azureml.core.Environment": (
        "add_private_pip_wheel build build_local clone from_conda_specification"
        " from_docker_build_context from_docker_image from_dockerfile"
        " from_existing_conda_environment from_pip_requirements get get_image_details label list"
        " load_from_directory register save_to_directory"
    ),
    "azureml.core.conda_dependencies.CondaDependencies": (
        "add_channel add_cntk_package add_conda_package add_pip_package"
        " add_tensorflow_conda_package add_tensorflow_pip_package as_dict conda_channels"
        " conda_packages create get_python_version merge_requirements pip_options pip_packages"
        " remove_channel remove_conda_package remove_pip_option remove_pip_package save"
        " save_to_file sdk_origin_url serialize_to_string set_pip_index_url set_pip_option"
        " set_pip_requirements set_python_version"
    ),
    "azureml.core.runconfig.RunConfiguration": "delete load save target",
    "azureml.core.compute.AmlCompute": (
        "add_identity attach create delete detach get get_active_runs get_status list list_nodes"
        " provisioning_configuration refresh_state remove_identity serialize supported_vmsizes"
        " update wait_for_completion"
    ),
    "azureml.core.Datastore": (
        "as_download as_mount as_upload download get get_default path"
        " register_azure_blob_container register_azure_file_share set_as_default unregister"
        " upload upload_files"
    ),
    "azureml.core.Dataset": "File Tabular get_all get_by_id get_by_name",
    "azureml.core.Keyvault": (
        "delete_secret delete_secrets get_secret get_secrets list_secrets set_secret set_secrets"
    ),
    "azureml.core.Model": (
        "Framework add_dataset_references add_properties add_tags delete deploy download"
        " get_model_path list package profile register remove_tags serialize update"
        " update_tags_properties"
    ),
    "azureml.data.FileDataset": (
        "add_tags as_download as_mount as_named_input description download file_metadata filter"
        " get_partition_key_values id mount name partition_keys random_split register remove_tags"
        " skip tags take take_sample to_path unregister_all_versions update version"
    ),
    "azureml.data.TabularDataset": (
        "add_tags as_named_input drop_columns filter get_profile keep_columns partition_by"
        " random_split register skip take take_sample time_after time_before time_between"
        " time_recent timestamp_columns to_csv_files to_pandas_dataframe to_parquet_files"
        " with_timestamp_columns"
    ),
    "azureml.data.dataset_factory.TabularDatasetFactory": (
        "from_delimited_files from_json_lines_files from_parquet_files register_pandas_dataframe"
    ),
    "azureml.data.data_reference.DataReference": (
        "as_download as_mount as_upload create path to_config"
    ),
    "azureml.widgets.RunDetails": "get_widget_data show",
}
"""v1's classes, and the members that a program for v1 may use."""

PARAMETERS: Mapping[str, str] = {
    "azureml.core.ScriptRunConfig": (
        "source_directory script arguments run_config compute_target environment"
        " distributed_job_config resume_from max_run_duration_seconds command"
        " docker_runtime_config"
    ),
    "azureml.core.RunConfiguration": (
        "script arguments framework communicator conda_dependencies command"
    ),
    "azureml.core.runconfig.DockerConfiguration": "use_docker shared_volumes arguments shm_size",
    "azureml.core.runconfig.MpiConfiguration": "process_count_per_node node_count",
    "azureml.core.runconfig.PyTorchConfiguration": "communication_backend process_count node_count",
    "azureml.core.runconfig.TensorflowConfiguration": "worker_count parameter_server_count",
    "azureml.core.compute.AmlCompute.provisioning_configuration": (
        "vm_size vm_priority min_nodes max_nodes idle_seconds_before_scaledown admin_username"
        " admin_user_password admin_user_ssh_key vnet_resourcegroup_name vnet_name subnet_name tags"
        " description remote_login_port_public_access identity_type identity_id location"
        " enable_node_public_ip"
    ),
    "azureml.core.conda_dependencies.CondaDependencies.create": (
        "pip_indexurl pip_packages conda_packages python_version pin_sdk_version"
    ),
    "azureml.core.Run.get_metrics": "self name recursive run_type populate",
    "azureml.core.Run.wait_for_completion": (
        "self show_output wait_post_processing raise_on_error"
    ),
    "azureml.core.Run.log": "self name value description step",
    "azureml.core.Run.log_row": "self name description kwargs",
    "azureml.core.Run.download_file": "self name output_file_path",
    "azureml.core.Run.download_files": (
        "self prefix output_directory output_paths batch_size append_prefix timeout_seconds"
    ),
    "azureml.core.Workspace.write_config": "self path file_name",
    "azureml.tensorboard.Tensorboard": "runs local_root port use_display_name",
    "azureml.contrib.notebook.NotebookRunConfig": (
        "source_directory notebook output_notebook parameters handler run_config"
    ),
}
"""Calls, and v1's parameters in v1's order, which programs may pass by position."""


@pytest.fixture(autouse=True)
def azureml() -> Iterator[None]:
    """v1's import names."""
    compat.install()
    yield
    compat.uninstall()


def found(name: str) -> Any:
    """What v1's full name stands for."""
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            value = import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            value = getattr(value, part)
        return value
    raise AssertionError(name)


@cache
def sentences(file: str) -> list[str]:
    return re.findall(r"^def test_(\w+)", (HERE / file).read_text(), re.M)


# Where the reference is stated ----------------------------------------------------------------


@pytest.mark.parametrize("sentence", [*RULES, *TABLES])
def test_every_sentence_of_the_reference_is_stated_by_a_test(sentence: str) -> None:
    for place in RULES.get(sentence) or TABLES[sentence]:
        file, _, beginning = place.partition(": ")
        assert any(each.startswith(beginning) for each in sentences(file)), place


@pytest.mark.parametrize("name", MEMBERS)
def test_a_class_has_the_members_that_programs_use(name: str) -> None:
    assert [each for each in MEMBERS[name].split() if not hasattr(found(name), each)] == []


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_have_v1s_names_in_v1s_order(name: str) -> None:
    wanted = PARAMETERS[name].split()
    assert list(inspect.signature(found(name)).parameters)[: len(wanted)] == wanted


# What is stated nowhere else ------------------------------------------------------------------


def test_a_config_from_azure_gives_the_four_strings_that_samples_print(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = {"subscription_id": "1b2c", "resource_group": "group", "workspace_name": "theirs"}
    script(project, json.dumps(facts), ".azureml/config.json")
    cell = """
        from azureml.core import Workspace
        ws = Workspace.from_config()
        print(ws.name, ws.resource_group, ws.location, ws.subscription_id, sep="\\n")
        ws
        """
    run_cells(cell)
    name, group, location, subscription = capsys.readouterr().out.splitlines()
    assert (name, group, subscription) == ("theirs", "group", "1b2c")
    assert location
    assert (project / ".azureml/config.json").read_text() == json.dumps(facts)
    assert (project / ".aml" / "workspace.json").exists()


def test_outside_a_run_scripts_tell_by_class_and_by_what_is_missing() -> None:
    run_cells(
        """
        from azureml.core.run import Run, _OfflineRun
        run = Run.get_context()
        assert type(run) == _OfflineRun and isinstance(run, _OfflineRun)
        assert run.id.startswith("OfflineRun") and not hasattr(run, "experiment")
        assert Run.get_submitted_run().id.startswith("OfflineRun")
        """
    )


TRAINING = """
import argparse, os
from azureml.core.run import Run
parser = argparse.ArgumentParser()
parser.add_argument("--home")
parser.add_argument("--rate", type=float)
given = parser.parse_args()
run = Run.get_context()
assert os.path.isdir("outputs") and os.path.isdir("logs")
with open("outputs/model.txt", "w") as file:
    file.write(given.home)
run.log("rate", given.rate)
for value in (3, 2, 1):
    run.log("loss", value)
run.complete()
run.log("after", 1)
"""

SUBMISSION = """
import azureml.core
from azureml.core import Environment, Experiment, ScriptRunConfig, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.core.compute_target import ComputeTargetException

print("Azure ML SDK Version:", azureml.core.VERSION)
ws = Workspace.from_config()
try:
    target = ComputeTarget(workspace=ws, name="cpu-cluster")
except ComputeTargetException:
    config = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", max_nodes=4)
    target = ComputeTarget.create(ws, "cpu-cluster", config)
    target.wait_for_completion(show_output=True)
assert type(target) is AmlCompute and target.get_status().serialize()["vmSize"]
assert ws.get_default_compute_target("CPU").name == "cpu-cluster"

environment = Environment("mine")
environment.python.user_managed_dependencies = True
src = ScriptRunConfig("source", script="train.py", compute_target=target, environment=environment,
                      arguments=["--home", "$MY_HOME/x", "--rate", 0.5])
src.run_config.environment_variables["MY_HOME"] = "/there"
run = Experiment(ws, "by-v1s-names").submit(src, show_output=False)
"""


def test_a_program_for_v1_submits_a_script_for_v1_and_reads_what_it_logged(
    project: Path,
) -> None:
    script(project, TRAINING, "source/train.py")
    cells = run_cells(SUBMISSION)
    run = cells["run"]
    assert finish(run, 60)["status"] == "Completed", log_of(run)
    cells = run_cells(
        """
        metrics = run.get_metrics()
        names = run.get_file_names()
        run.download_file("outputs/model.txt", "model.txt")
        again = Workspace.from_config().get_run(run.id)
        listed = list(run.experiment.get_runs())
        old = azureml.core.get_run(run.experiment, run.id)
        """,
        cells,
    )
    assert cells["metrics"] == {"rate": 0.5, "loss": [3, 2, 1], "after": 1}
    assert "outputs/model.txt" in cells["names"]
    assert (project / "model.txt").read_text() == "/there/x"
    assert {run.id} == {each.id for each in (cells["again"], cells["old"], *cells["listed"])}


def test_outputs_is_there_when_a_run_starts(project: Path) -> None:
    run_cells(
        """
        import os
        from azureml.core import Experiment, Workspace
        with Experiment(Workspace.from_config(), "here").start_logging(snapshot_directory=None):
            assert os.path.isdir("outputs")
        """
    )


def test_lists_of_runs_are_generators(project: Path) -> None:
    cells = run_cells(
        """
        from azureml.core import Experiment, Run, Workspace
        experiment = Experiment(Workspace.from_config(), "several")
        with experiment.start_logging(snapshot_directory=None) as first:
            child = first.child_run("inner")
            child.complete()
        lists = [experiment.get_runs(), Run.list(experiment), first.get_children()]
        """
    )
    assert [inspect.isgenerator(each) for each in cells["lists"]] == [True, True, True]
    assert [len(list(each)) for each in cells["lists"]] == [1, 1, 1]


def test_the_version_of_an_environment_is_a_text(project: Path) -> None:
    cells = run_cells(
        """
        from azureml.core import Environment, Workspace
        version = Environment("mine").register(Workspace.from_config()).version
        """
    )
    assert cells["version"] == "1"


def test_a_target_is_an_object_a_name_or_nothing(project: Path) -> None:
    script(project, "print(1)", "source/train.py")
    cells = run_cells(
        """
        from azureml.core import Experiment, ScriptRunConfig, Workspace
        from azureml.core.compute_target import ComputeTargetException, LocalTarget
        ws = Workspace.from_config()
        targets = [ScriptRunConfig("source", "train.py", compute_target=target).run_config.target
                   for target in (None, "local", "nowhere")]
        config = ScriptRunConfig("source", "train.py", compute_target="nowhere")
        """
    )
    assert cells["targets"] == ["local", "local", "nowhere"]
    with pytest.raises(cells["ComputeTargetException"], match="nowhere"):
        cells["Experiment"](cells["ws"], "e").submit(cells["config"])


def test_a_run_of_mlflow_is_a_run_of_the_workspace(project: Path) -> None:
    cells = run_cells(
        """
        from types import SimpleNamespace
        import azureml.mlflow
        from azureml.core import Experiment, Workspace
        run = Experiment(Workspace.from_config(), "here").start_logging(snapshot_directory=None)
        with open("outputs/model.txt", "w") as file:
            file.write("weights")
        run.complete()
        of_mlflow = SimpleNamespace(info=SimpleNamespace(run_id=run.id))
        url = azureml.mlflow.get_portal_url(of_mlflow)
        of_ours = azureml.mlflow.get_portal_url(run)
        model = azureml.mlflow.register_model(of_mlflow, "mine", "outputs/model.txt", tags={"a": 1})
        """
    )
    assert cells["url"] == cells["of_ours"] == cells["run"].get_portal_url()
    assert (cells["model"].id, cells["model"].run_id) == ("mine:1", cells["run"].id)


def test_states_are_spelt_as_v1_spells_them() -> None:
    from aml_jupyter.job import states

    wanted = {"NotStarted", "Preparing", "Queued", "Starting", "Running", "Finalizing"}
    wanted |= {"CancelRequested", "Completed", "Failed", "Canceled"}
    assert wanted <= set(states.ALL)


def test_what_is_to_come_is_never_listed_as_ours() -> None:
    from aml_jupyter.compat.modules import homes_of, later_of

    for module in LATER:
        assert not set(homes_of(module)) & set(later_of(module))


def run_cells(text: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """The names that these lines leave, as those of a notebook."""
    from textwrap import dedent

    scope = {"__name__": "__main__"} if names is None else names
    exec(dedent(text), scope)
    return scope
