"""v1's import names: what they find, what they say where there is nothing to find."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from aml_jupyter import compat
from aml_jupyter.compat import modules, names

ROOT = Path(__file__).parents[1]
INSTALL = "from aml_jupyter import compat; compat.install()\n"


Done = subprocess.CompletedProcess[str]


def python(text: str, *, path: str = str(ROOT), **variables: str) -> Done:
    """A fresh interpreter that executes this text, with a search path and variables."""
    environment = {**os.environ, "PYTHONPATH": path, **variables}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def said(text: str, **more: str) -> str:
    """What it prints; it must not fail."""
    done = python(INSTALL + textwrap.dedent(text), **more)
    assert not done.returncode, done.stderr
    return done.stdout.strip()


@pytest.fixture
def azureml() -> Any:
    """v1's import names, for this test alone."""
    compat.install()
    yield
    compat.uninstall()


# What is ours ---------------------------------------------------------------------------------


def test_every_name_of_the_table_can_be_imported(azureml: Any) -> None:
    for module in modules.MODULES:
        for name in {**modules.homes_of(module), **modules.later_of(module)}:
            scope: dict[str, Any] = {}
            exec(f"from {module} import {name}", scope)
            assert scope[name] is not None


def test_the_names_are_our_own_classes(azureml: Any) -> None:
    exec(
        textwrap.dedent(
            """
            import aml_jupyter
            from aml_jupyter.job.offline import _OfflineRun as ours
            from aml_jupyter.notebook.views import RunDetails as widget
            from azureml.core import Environment, Experiment, Run, ScriptRunConfig, Workspace
            from azureml.core.compute import AmlCompute, ComputeTarget
            from azureml.core.run import _OfflineRun
            from azureml.widgets import RunDetails
            assert (Workspace, Experiment) == (aml_jupyter.Workspace, aml_jupyter.Experiment)
            assert Environment is aml_jupyter.Environment and Run is aml_jupyter.Run
            assert AmlCompute is aml_jupyter.AmlCompute and RunDetails is widget
            assert type(Run.get_context()) is _OfflineRun is ours
            """
        ),
        {},
    )


def test_import_of_the_core_alone_gives_its_submodules_as_attributes() -> None:
    shown = said(
        """
        import azureml.core
        print(azureml.core.VERSION, azureml.core.__version__)
        print(azureml.core.runconfig.DEFAULT_CPU_IMAGE.partition("/")[0])
        print(azureml.core.compute.amlcompute.AmlCompute.__name__)
        """
    )
    assert shown.splitlines() == ["1.61.0 1.61.0", "mcr.microsoft.com", "AmlCompute"]


def test_import_of_everything_brings_what_the_module_lists() -> None:
    shown = said(
        """
        from azureml.train.hyperdrive import *
        print(PrimaryMetricGoal.MAXIMIZE.value, BanditPolicy.__name__)
        from azureml.core.runconfig import *
        print(MpiConfiguration.__name__)
        """
    )
    assert shown.splitlines() == ["MAXIMIZE BanditPolicy", "MpiConfiguration"]


def test_a_first_import_brings_nothing_but_the_table() -> None:
    shown = said(
        """
        import azureml.core, azureml.core.compute, azureml.pipeline.steps, sys
        rooms = {name.split(".")[1] for name in sys.modules if name.startswith("aml_jupyter.")}
        print(rooms <= {"assets", "compat", "errors"})
        """
    )
    assert shown == "True"


def test_setting_the_limit_of_snapshots_by_v1s_name_sets_it() -> None:
    shown = said(
        """
        import azureml._restclient.snapshots_client
        azureml._restclient.snapshots_client.SNAPSHOT_MAX_SIZE_BYTES = 12345
        from aml_jupyter.store import snapshots
        print(snapshots.SNAPSHOT_MAX_SIZE_BYTES)
        """
    )
    assert shown == "12345"


def test_tools_that_look_into_modules_find_them_in_order(azureml: Any) -> None:
    import importlib
    import inspect
    import pickle
    import pydoc

    core = importlib.import_module("azureml.core")
    assert not hasattr(core, "Expermient")
    assert not hasattr(core, "__wrapped__")
    assert {"Workspace", "compute"} <= set(dir(core))
    assert "Workspace" in pydoc.render_doc(core)
    assert inspect.getdoc(core)
    assert pickle.loads(pickle.dumps(core.RunConfiguration)) is core.RunConfiguration
    assert importlib.reload(core) is core
    assert repr(core) == "<module 'azureml.core' (aml_jupyter)>"


def test_taking_the_finder_away_takes_the_modules_away() -> None:
    shown = said(
        """
        import azureml.core, sys
        compat.uninstall()
        print([name for name in sys.modules if name.startswith("azureml")])
        try:
            import azureml.core
        except ModuleNotFoundError as error:
            print(error.name)
        """
    )
    assert shown.splitlines() == ["[]", "azureml"]


# What is not ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "from azureml.core import Expermient",
            ["core has no", "Did you mean Experiment?"],
        ),
        ("from azureml.core import RunDetails", ["It is in azureml.widgets."]),
        ("from azureml.core.webservice import AciService", ["AciWebservice"]),
        ("import azureml.cores", ["no azureml.cores", "azureml.core"]),
        ("from azureml.train.automl import AutoMLConfig", ["AutoML is not", "search", "Batch"]),
        ("import azureml.automl.core.shared.constants", ["AutoML is not"]),
        ("from azureml.interpret import ExplanationClient", ["explain", "shap"]),
        ("from azureml.core.compute import AdlaCompute", ["Data Lake", "pool on this machine"]),
        ("from azureml.contrib.train.rl import Ray", ["Reinforcement learning", "rllib"]),
        ("from azureml.core import LinkedService", ["link the workspace", "folder"]),
        ("from azureml.pipeline.steps import SynapseSparkStep", ["Spark", "pyspark"]),
    ],
)
def test_what_cannot_be_imported_says_what_it_was_for_and_what_there_is(
    azureml: Any, statement: str, words: list[str]
) -> None:
    with pytest.raises(ImportError) as caught:
        exec(statement, {})
    for word in words:
        assert word in str(caught.value)


def test_an_attribute_that_is_not_there_says_so_as_well(azureml: Any) -> None:
    import importlib

    with pytest.raises(AttributeError, match="Did you mean Experiment"):
        _ = importlib.import_module("azureml.core").Expermient


@pytest.mark.parametrize(
    ("use", "feature"),
    [
        ("azureml.train.hyperdrive.HyperDriveConfig(run_config=None)", "HyperDrive"),
        ("azureml.train.hyperdrive.choice(1, 2)", "HyperDrive"),
        ("azureml.core.webservice.AciWebservice.deploy_configuration(1, 1)", "Web services"),
        ("azureml.core.Webservice(None, 'x')", "Web services"),
        ("azureml.pipeline.core.Pipeline(None, [])", "Pipelines"),
        ("azureml.pipeline.core.Schedule.list(None)", "Pipelines"),
    ],
)
def test_what_comes_later_imports_and_says_so_when_it_is_used(
    azureml: Any, use: str, feature: str
) -> None:
    from importlib import import_module

    from aml_jupyter.errors import UserErrorException

    for module in ("azureml.core.webservice", "azureml.pipeline.core", "azureml.train.hyperdrive"):
        import_module(module)
    with pytest.raises(UserErrorException, match=f"cannot be used yet: {feature}") as caught:
        eval(use, {"azureml": sys.modules["azureml"]})
    assert "Until then" in caught.value.hint


def test_every_feature_that_is_not_here_says_what_to_do_instead() -> None:
    named = {*names.AZURE_ONLY.values(), *(f for each in names.LATER.values() for f in each)}
    assert named == set(names.FEATURES)
    for purpose, instead in names.FEATURES.values():
        assert purpose[0].islower()
        assert instead.endswith(".")


# The SDK itself -------------------------------------------------------------------------------


def sdk(folder: Path, *below: str) -> str:
    """A folder with parts of the real SDK, as pip would have installed them."""
    for each in below:
        part = folder / "azureml" / each
        part.mkdir(parents=True)
        (part / "__init__.py").write_text(f"VERSION = 'the SDK: {each}'\n")
    return os.pathsep.join([str(ROOT), str(folder)])


def test_the_sdk_wins_where_it_is_installed(tmp_path: Path) -> None:
    shown = said("import azureml.core as c; print(c.VERSION)", path=sdk(tmp_path, "core"))
    assert shown == "the SDK: core"


def test_beside_the_sdk_nothing_of_ours_mixes_with_it(tmp_path: Path) -> None:
    shown = said(
        """
        try:
            import azureml.widgets
        except ModuleNotFoundError as error:
            print(error)
        """,
        path=sdk(tmp_path, "core"),
    )
    assert shown == "No module named 'azureml.widgets'"


def test_parts_that_do_without_the_core_are_found_beside_ours(tmp_path: Path) -> None:
    shown = said(
        """
        import azureml.core, azureml.dataprep
        print(azureml.core.VERSION, azureml.dataprep.VERSION)
        """,
        path=sdk(tmp_path, "dataprep"),
    )
    assert shown == "1.61.0 the SDK: dataprep"


# Small things ---------------------------------------------------------------------------------


def test_ways_to_log_in_accept_what_v1_accepted_and_do_nothing(azureml: Any) -> None:
    from importlib import import_module

    ways = import_module("azureml.core.authentication")
    made = [
        ways.InteractiveLoginAuthentication(tenant_id="t", force=True),
        ways.ServicePrincipalAuthentication("t", "id", service_principal_password="geheim"),
        ways.MsiAuthentication(),
        ways.AzureCliAuthentication(),
        ways.TokenAuthentication(lambda audience: "never"),
    ]
    for each in made:
        assert each.get_authentication_header()["Authorization"].startswith("Bearer ")
        assert "geheim" not in json.dumps(vars(each))


def test_diagnostics_can_be_turned_on_and_are_never_sent() -> None:
    shown = said(
        """
        import socket
        socket.socket.connect = None  # whoever tried to send would fail
        from azureml.telemetry import set_diagnostics_collection
        set_diagnostics_collection(send_diagnostics=True)
        set_diagnostics_collection(False)
        """
    )
    on, off = shown.splitlines()
    assert (" on." in on, " off." in off, "never sends" in on) == (True, True, True)


# Shims ----------------------------------------------------------------------------------------

OLD = """
import numpy as np
print(np.float(1), np.array([1], dtype=np.int).dtype.kind)
from sklearn.externals import joblib
import joblib as today
print(joblib.dump is today.dump, today.__spec__.name)
"""


def test_shims_put_back_what_old_scripts_need_and_say_each() -> None:
    done = python(INSTALL + OLD, AML_COMPAT_SHIMS="1")
    assert done.stdout.splitlines() == ["1.0 i", "True joblib"], done.stderr
    assert "aml: numpy.float is no more; a shim puts float in its place." in done.stderr
    assert "aml: sklearn.externals.joblib is no more; a shim puts joblib" in done.stderr
    assert done.stderr.count("numpy.float ") == 1


@pytest.mark.parametrize("asked", ["", "0"])
def test_without_being_asked_nothing_is_put_back(asked: str) -> None:
    done = python(INSTALL + OLD, AML_COMPAT_SHIMS=asked)
    assert "has no attribute 'float'" in done.stderr


def test_shims_reach_a_module_that_was_imported_before() -> None:
    text = "import numpy\n" + INSTALL + "print(numpy.float(2), numpy.pi > 3, hasattr(numpy, 'foo'))"
    done = python(text, AML_COMPAT_SHIMS="1")
    assert done.stdout == "2.0 True False\n", done.stderr


def test_shims_put_back_what_mlflow_1_had() -> None:
    text = """
import mlflow
import mlflow.azureml
def run(uri, env_manager=None):
    return uri, env_manager
from aml_jupyter.compat import shims
import mlflow.projects
print(mlflow.projects.run.__wrapped__.__module__)
mended = shims._with_keywords("run", run, shims.KEYWORDS["mlflow.projects"]["run"])
print(mended(".", use_conda=False), mended(".", use_conda=True), mended("."))
try:
    mlflow.azureml.deploy("model")
except Exception as error:
    print(error.message)
"""
    done = python(INSTALL + text, AML_COMPAT_SHIMS="1")
    assert done.stdout.splitlines() == [
        "mlflow.projects",
        "('.', 'local') ('.', None) ('.', None)",
        "mlflow.azureml.deploy cannot be used yet: Web services (to serve a model behind an "
        "address) is not in aml_jupyter.",
    ], done.stderr
    assert (
        "run(use_conda=…) is no more; a shim puts env_manager='local' in its place" in done.stderr
    )


# Wrong keywords -------------------------------------------------------------------------------


def test_a_wrong_keyword_is_told_with_the_right_ones(azureml: Any) -> None:
    from importlib import import_module

    core = import_module("azureml.core")
    compute = import_module("azureml.core.compute")
    calls = {
        "source_directory": lambda: core.ScriptRunConfig(".", source_dir="x"),
        "python_version": lambda: core.runconfig.CondaDependencies.create(python_versoin="3.9"),
        "vm_size": lambda: compute.AmlCompute.provisioning_configuration(vmsize="S", max_nodes=1),
        "file_path": lambda: core.Environment.from_conda_specification("e", path="x"),
        "node_count": lambda: core.runconfig.MpiConfiguration(nodes=2),
        "show_output": lambda: core.Run.wait_for_completion(None, output=True),
        "environment_variables": lambda: import_module("azureml.train.estimator").Estimator(
            ".", environment_variable={}
        ),
    }
    for right, call in calls.items():
        with pytest.raises(TypeError, match=f"It takes.*{right}"):
            call()


def test_every_class_of_v1_tells_what_it_takes(azureml: Any) -> None:
    import inspect
    from importlib import import_module

    from aml_jupyter.errors import AmlError

    silent = []
    for module in sorted(modules.OURS):
        for name in modules.homes_of(module):
            kind = getattr(import_module(module), name)
            if not isinstance(kind, type) or issubclass(kind, (AmlError, dict, Enum)):
                continue
            takes = inspect.signature(kind).parameters.values()
            if not takes or any(each.kind is each.VAR_KEYWORD for each in takes):
                continue  # nothing to list, or v1 takes anything there
            with pytest.raises(TypeError) as caught:
                kind(nonsense_of_mine=1)
            if "It takes: " not in str(caught.value):
                silent.append((module, name, str(caught.value)))
    assert not silent


def test_classes_that_tell_their_keywords_are_as_they_were(azureml: Any) -> None:
    shown = said(
        """
        import inspect
        from aml_jupyter import ScriptRunConfig
        before = str(inspect.signature(ScriptRunConfig)), inspect.getdoc(ScriptRunConfig.__init__)
        from azureml.core import ScriptRunConfig as v1
        assert v1 is ScriptRunConfig
        assert before == (str(inspect.signature(v1)), inspect.getdoc(v1.__init__))
        print("source_directory" in inspect.getsource(v1.__init__))
        """
    )
    assert shown == "True"
