"""What of v1 works differently here, or not at all, beyond what the names themselves tell.

Whether a name, a member or a keyword is there is asked of ``compat`` and of our classes; this is
what those cannot know. Keys are ``Class``, ``Class.member`` or ``Class.member(keyword)``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..compat.names import OURS
from .report import CANNOT, DIFFERS


@dataclass(frozen=True)
class Fact:
    """What becomes of something of v1 here."""

    verdict: str
    text: str
    way: str = ""


def _differs(text: str, way: str = "") -> Fact:
    return Fact(DIFFERS, text, way)


def _cannot(text: str, way: str = "") -> Fact:
    return Fact(CANNOT, text, way)


_NO_ACCOUNT = _differs("is accepted and does nothing: there is no account")
_LABEL = _differs("is kept as a word for display: nothing of Azure is behind it")
_NO_NODES = _differs("is accepted and does nothing: the nodes are this machine")
_IN_AZURE = "is about the workspace as a resource of Azure; here it is a folder"
_POOL = "AmlCompute.provisioning_configuration(max_nodes=1) makes a pool on this machine"
_BY_SSH = "containers there: aml target add NAME --type docker host=ssh://USER@HOST"
_SHORT = _differs("is turned into a ScriptRunConfig, which the run says")
_A_FOLDER = _differs("registers a folder of this machine by that name; nothing comes from Azure")
_NO_DATABASE = _cannot(
    "databases are not read", "pandas.read_sql, then Dataset.Tabular.register_pandas_dataframe"
)
_OPEN_DATA = _cannot(
    "lies on the internet, and is not carried here",
    "get its files, and make a dataset of their path or address",
)
_CARRIED = {"Diabetes", "MNIST"}
_ON_THE_INTERNET = sorted(
    name
    for names in OURS["azureml.opendatasets"].values()
    for name in names.split()
    if name not in _CARRIED
)

CALLED: Mapping[str, Fact] = {
    **dict.fromkeys(
        (
            "ArmTokenAuthentication",
            "AzureCliAuthentication",
            "InteractiveLoginAuthentication",
            "MsiAuthentication",
            "ServicePrincipalAuthentication",
            "TokenAuthentication",
        ),
        _NO_ACCOUNT,
    ),
    **dict.fromkeys(("Chainer", "Estimator", "PyTorch", "SKLearn", "TensorFlow"), _SHORT),
    "ComputeTarget.attach": _cannot("machines of others are not attached by this call", _BY_SSH),
    **dict.fromkeys(
        ("RemoteCompute.attach_configuration", "RemoteCompute.attach"),
        _cannot("there are no plain processes behind SSH", _BY_SSH),
    ),
    **dict.fromkeys(
        ("DsvmCompute.provisioning_configuration", "DsvmCompute.attach"),
        _cannot("machines are not rented here", f"{_POOL}; {_BY_SSH}"),
    ),
    **dict.fromkeys(
        ("HDInsightCompute.attach_configuration", "HDInsightCompute.attach"),
        _cannot(
            "there are no Spark clusters here",
            "pyspark among the packages of an environment runs a script on this machine",
        ),
    ),
    "KubernetesCompute.attach_configuration": _cannot(
        "Kubernetes clusters are not supported", _POOL
    ),
    **dict.fromkeys(
        (
            f"Datastore.register_azure_{each}"
            for each in ("blob_container", "data_lake", "data_lake_gen2", "file_share")
        ),
        _A_FOLDER,
    ),
    **dict.fromkeys(
        (f"Datastore.register_azure_{each}" for each in ("my_sql", "postgre_sql", "sql_database")),
        _NO_DATABASE,
    ),
    "TabularDatasetFactory.from_sql_query": _NO_DATABASE,
    "TabularDataset.to_spark_dataframe": _cannot(
        "there is no Spark session", "spark.createDataFrame(dataset.to_pandas_dataframe())"
    ),
    "TabularDataset.submit_profile_run": _cannot(
        "there is no service that profiles data", "dataset.get_profile()"
    ),
    "MNIST.get_file_dataset": _differs(
        "is a small stand-in: 1,797 digits of scikit-learn, in MNIST's files and shapes"
    ),
    **dict.fromkeys(_ON_THE_INTERNET, _OPEN_DATA),
    "Model.deploy": _cannot("web services are not here yet", "call init() and run() yourself"),
    "Model.package": _cannot("web services are not here yet", "call init() and run() yourself"),
    "Model.profile": _cannot("web services are not here yet", "time run() in a script"),
    "Run.get_portal_url": _differs("gives the run's folder, not a page of Azure"),
    "Experiment.get_portal_url": _differs("gives a folder, not a page of Azure"),
    "Workspace.get_default_keyvault": _differs("keeps secrets of this workspace, not of Azure"),
    "Workspace.webservices": _differs("is empty: web services are not here yet"),
    **dict.fromkeys(
        ("Workspace.linked_services", "Workspace.list_keys", "Workspace.private_endpoints"),
        _differs("is empty: the workspace is a folder"),
    ),
    "Workspace.sync_keys": _differs("does nothing: a folder has no keys"),
    "Workspace.delete": _cannot(
        "is refused: nothing is rented here, and every run would be lost",
        "delete runs by aml delete",
    ),
    "Workspace.images": _differs("is empty: images of services are not here"),
    "Workspace.get_details": _differs("describes the local workspace: no resources behind it"),
}
"""What calling it does."""

KEYWORDS: Mapping[str, Fact] = {
    **dict.fromkeys(
        (f"Workspace.{each}(auth)" for each in ("from_config", "get", "create", "list")),
        _NO_ACCOUNT,
    ),
    "Workspace(auth)": _NO_ACCOUNT,
    **dict.fromkeys(
        (
            f"Workspace.create({each})"
            for each in ("subscription_id", "resource_group", "location", "sku")
        ),
        _LABEL,
    ),
    "Workspace.create(create_resource_group)": _differs(
        "is accepted and does nothing: there are no resource groups"
    ),
    "AmlCompute.provisioning_configuration(vm_size)": _differs(
        "says how many GPUs a run asks for, and nothing else"
    ),
    **dict.fromkeys(
        (
            f"AmlCompute.provisioning_configuration({each})"
            for each in (
                "admin_user_password",
                "admin_user_ssh_key",
                "admin_username",
                "identity_id",
                "identity_type",
                "location",
                "remote_login_port_public_access",
                "subnet_name",
                "vm_priority",
                "vnet_name",
                "vnet_resourcegroup_name",
            )
        ),
        _NO_NODES,
    ),
    **dict.fromkeys(
        (
            f"Experiment.submit({each})"
            for each in (
                "continue_on_step_failure",
                "pipeline_parameters",
                "pipeline_version",
                "regenerate_outputs",
            )
        ),
        _cannot("is for pipelines, which are not here yet"),
    ),
    "RunDetails.show(render_lib)": _differs("is accepted and changes nothing"),
    "RunDetails.show(widget_settings)": _differs("is accepted and changes nothing"),
    "AzureMLNotebookHandler(history)": _differs("is accepted: what is recorded is always logged"),
}
"""What a keyword does that our signature takes."""

MISSING: Mapping[str, Fact] = {
    **dict.fromkeys(
        (
            f"Workspace.{each}"
            for each in (
                "delete_private_endpoint_connection",
                "diagnose_workspace",
                "list_connections",
                "set_connection",
                "setup",
                "update_dependencies",
            )
        ),
        _cannot(_IN_AZURE, "leave it out"),
    ),
    "Datastore.register_hdfs": _cannot(
        "this kind of storage is not here", "download the files, and upload them to a datastore"
    ),
}
"""What to do about a member that our class does not have."""


OF_FEATURES: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "Run.get_best_run_by_primary_metric",
            "Run.get_children_sorted_by_primary_metric",
            "Run.get_hyperparameters",
        ),
        "HyperDrive",
    ),
    **dict.fromkeys(
        (
            "Run.find_step_run",
            "Run.get_graph",
            "Run.get_job_log",
            "Run.get_output_data",
            "Run.get_pipeline_output",
            "Run.get_steps",
            "Run.get_stderr_log",
            "Run.get_stdout_log",
        ),
        "Pipelines",
    ),
    **dict.fromkeys(("Run.get_output", "Run.summarize"), "AutoML"),
}
"""What only runs of a feature have that is not here, whatever they were submitted from."""


@dataclass(frozen=True)
class ValueRule:
    """What a text means that is given to a call, a keyword or an attribute."""

    given_to: re.Pattern[str]
    value: re.Pattern[str]
    subject: str
    fact: Fact


def _rule(given_to: str, value: str, subject: str, fact: Fact) -> ValueRule:
    return ValueRule(re.compile(given_to), re.compile(value, re.I), subject, fact)


def rule_for(given_to: str, value: str) -> ValueRule | None:
    """What a text means that is given there; None where it makes no difference."""
    fits = (each for each in VALUES if each.given_to.fullmatch(given_to))
    return next((each for each in fits if each.value.match(value)), None)


V1_IMAGE, V1_PACKAGES = "image of v1", "azureml packages"
AN_IMAGE = _differs("asks for nothing: a plain image, or no container, stands for it")
A_PACKAGE = _differs("are left out of environments: aml_jupyter stands for them")

VALUES = (
    _rule(
        r"Environment\.get(\(name\))?",
        r"azureml-",
        "curated environment",
        _differs("is made of packages of today"),
    ),
    _rule(
        r"Environment\.from_docker_image(\(image\))?|DockerSection(\.|\()base_image\)?",
        r"mcr\.microsoft\.com/azureml/",
        V1_IMAGE,
        AN_IMAGE,
    ),
    _rule(
        r"CondaDependencies\.add_(pip|conda)_package.*",
        r"azureml[-_]",
        V1_PACKAGES,
        A_PACKAGE,
    ),
    _rule(
        r"CondaDependencies\.create\(python_version\)|CondaDependencies\.set_python_version.*",
        r"(2\.|3\.[0-7](\D|$))",
        "python_version=",
        _differs("a Python that nobody can install any more becomes the nearest newer one"),
    ),
    _rule(
        r"RunConfiguration(\.|\()framework\)?",
        r"pyspark",
        "framework PySpark",
        _cannot(
            "there are no Spark clusters here",
            "framework 'Python', with pyspark among the packages of the environment",
        ),
    ),
)
"""Texts that make a difference."""

_MAGIC = r"(?:[!%]\s*)?"
LINES: tuple[tuple[re.Pattern[str], str, Fact], ...] = (
    (
        re.compile(rf"{_MAGIC}(?:\S*python\S*\s+-m\s+)?(?:pip|conda)\S*\s+install\b.*\bazureml"),
        "pip install azureml-…",
        _cannot(
            "installs SDK v1 itself, which would then be used instead of aml_jupyter",
            "leave it out",
        ),
    ),
    (
        re.compile(
            rf"{_MAGIC}az\s+(?:extension\s+add\b.*(?:-n|--name)\s+\S*ml|ml\b|login\b|account\b)"
        ),
        "az",
        _cannot("speaks to Azure", "aml run, aml runs, aml show, aml env, aml target"),
    ),
    (
        re.compile(rf"{_MAGIC}jupyter[ -]nbextension\b.*azureml"),
        "jupyter nbextension",
        _cannot("is not needed: the live view comes with aml_jupyter", "leave it out"),
    ),
)
"""Shell lines and magics."""
