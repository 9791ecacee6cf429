"""What SDK v1's modules hold, and where ours is: the one table of import names.

Read when ``azureml`` is first imported. Three kinds of names:

- :data:`OURS`: module → room → names. A room is a module below ``aml_jupyter``.
- :data:`LATER`: module → feature → names that can be imported, and whose use is an error.
- :data:`AZURE_ONLY`: modules (with all below them) and names that are an ImportError.

docs/compat.md shows all of it; ``scripts/generate_names.py`` writes that table.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_COMPUTE = "workspace.compute_target"
_ESTIMATORS = "Estimator MMLBaseEstimator"

OURS: Mapping[str, Mapping[str, str]] = {
    "azureml": {},
    "azureml.core": {
        "workspace.workspace": "Workspace",
        "workspace.experiment": "Experiment",
        "workspace.run": "Run ScriptRun",
        _COMPUTE: "ComputeTarget",
        "assets.models": "Model",
        "spec": "ContainerRegistry Environment RunConfiguration ScriptRunConfig",
        "assets.dataset": "Dataset",
        "assets.datastore": "Datastore",
        "assets.keyvault": "Keyvault",
        "compat.small": "VERSION __version__ get_run",
    },
    "azureml.core.dataset": {"assets.dataset": "Dataset"},
    "azureml.core.datastore": {"assets.datastore": "Datastore"},
    "azureml.core.keyvault": {"assets.keyvault": "Keyvault"},
    "azureml.core.workspace": {"workspace.workspace": "Workspace"},
    "azureml.core.experiment": {"workspace.experiment": "Experiment"},
    "azureml.core.run": {
        "workspace.run": "Run",
        "job.run": "_SubmittedRun",
        "job.offline": "_OfflineRun",
        "compat.small": "get_run",
        "errors": "RunEnvironmentException UserErrorException",
    },
    "azureml.core.script_run": {"workspace.run": "ScriptRun"},
    "azureml.core.script_run_config": {
        "spec": "MAX_DURATION_SECONDS_DEFAULT RunConfiguration ScriptRunConfig",
    },
    "azureml.core.runconfig": {
        "spec": (
            "DEFAULT_CPU_IMAGE DEFAULT_GPU_IMAGE MPI_CPU_IMAGE MPI_GPU_IMAGE"
            " AmlComputeConfiguration ApplicationEndpointConfiguration CondaDependencies"
            " ContainerRegistry DataReferenceConfiguration DockerConfiguration DockerSection"
            " Environment HdiConfiguration HistoryConfiguration KubernetesComputeConfiguration"
            " MpiConfiguration ParallelTaskConfiguration PyTorchConfiguration PythonSection"
            " RunConfiguration SparkConfiguration SparkSection TensorflowConfiguration"
        ),
        "errors": "RunConfigurationException UserErrorException",
    },
    "azureml.core.model": {
        "assets.models": "Model",
        "assets.dataset": "Dataset",
        "errors": "ModelNotFoundException WebserviceException",
    },
    "azureml.core.resource_configuration": {
        "assets.resource_configuration": "ResourceConfiguration",
    },
    "azureml.core.environment": {
        "spec": (
            "DEFAULT_CPU_IMAGE DEFAULT_GPU_IMAGE CondaDependencies ContainerRegistry"
            " DatabricksSection DockerBuildContext DockerSection Environment PythonSection"
            " SparkSection"
        ),
        "workspace.images": "DockerImageDetails ImageBuildDetails",
    },
    "azureml.core.conda_dependencies": {"spec": "CondaDependencies"},
    "azureml.core.container_registry": {"spec": "ContainerRegistry"},
    "azureml.core.compute": {
        "workspace.amlcompute": "AmlCompute",
        "workspace.compute_instance": "ComputeInstance",
        _COMPUTE: ("ComputeTarget DsvmCompute HDInsightCompute KubernetesCompute RemoteCompute"),
        "errors": "ComputeTargetException",
    },
    "azureml.core.compute.compute": {_COMPUTE: "ComputeTarget"},
    "azureml.core.compute.amlcompute": {
        "workspace.amlcompute": "AmlCompute AmlComputeStatus ScaleSettings",
    },
    "azureml.core.compute.computeinstance": {"workspace.compute_instance": "ComputeInstance"},
    "azureml.core.compute.dsvm": {_COMPUTE: "DsvmCompute"},
    "azureml.core.compute.hdinsight": {_COMPUTE: "HDInsightCompute"},
    "azureml.core.compute.kubernetescompute": {_COMPUTE: "KubernetesCompute"},
    "azureml.core.compute.remote": {_COMPUTE: "RemoteCompute"},
    "azureml.core.compute_target": {
        _COMPUTE: "LocalTarget",
        "errors": "ComputeTargetException",
    },
    "azureml.core.authentication": {
        "compat.authentication": (
            "AbstractAuthentication ArmTokenAuthentication Audience AzureCliAuthentication"
            " InteractiveLoginAuthentication MsiAuthentication ServicePrincipalAuthentication"
            " TokenAuthentication"
        ),
        "errors": "AuthenticationException",
    },
    "azureml.exceptions": {
        "errors": (
            "ActivityFailedException AuthenticationException AzureMLException"
            " ComputeTargetException DatasetTimestampMissingError DiscoveryUrlNotFoundException"
            " ExperimentExecutionException ImageException ModelNotFoundException"
            " ModelPathNotFoundException ParallelRunException ProjectSystemException"
            " RunConfigurationException RunEnvironmentException ServiceException"
            " SnapshotException TrainingException UserErrorException WebserviceException"
            " WorkspaceException WorkspacePrivateEndpointException"
        ),
    },
    "azureml._restclient": {},
    "azureml._restclient.snapshots_client": {"store.snapshots": "SNAPSHOT_MAX_SIZE_BYTES"},
    "azureml.contrib": {},
    "azureml.contrib.notebook": {
        "spec": "AzureMLNotebookHandler NotebookRunConfig PapermillExecutionHandler",
    },
    "azureml.data": {
        "assets.column_types": "DataType",
        "compat.small": "__version__",
        "assets.consumption": (
            "DatasetConsumptionConfig HDFSOutputDatasetConfig OutputFileDatasetConfig"
        ),
        "assets.file_dataset": "FileDataset",
        "assets.tabular_dataset": "TabularDataset",
    },
    "azureml.data.abstract_dataset": {"assets.abstract_dataset": "AbstractDataset"},
    "azureml.data.azure_storage_datastore": {
        "assets.datastore": "AzureBlobDatastore AzureFileDatastore",
    },
    "azureml.data.data_reference": {"assets.reference": "DataReference"},
    "azureml.data.datapath": {"assets.reference": "DataPath DataPathComputeBinding"},
    "azureml.data.dataset_factory": {
        "assets.file_dataset": "FileDatasetFactory",
        "assets.tabular_factory": "TabularDatasetFactory",
        "assets.column_types": "DataType",
    },
    "azureml.data.dataset_type_definitions": {
        "assets.column_types": "DataType PromoteHeadersBehavior",
    },
    "azureml.data.file_dataset": {"assets.file_dataset": "FileDataset"},
    "azureml.data.tabular_dataset": {"assets.tabular_dataset": "TabularDataset"},
    "azureml.data.dataset_consumption_config": {"assets.consumption": "DatasetConsumptionConfig"},
    "azureml.data.dataset_error_handling": {
        "errors": "DatasetTimestampMissingError DatasetValidationError",
    },
    "azureml.data.output_dataset_config": {
        "assets.consumption": (
            "HDFSOutputDatasetConfig OutputDatasetConfig OutputFileDatasetConfig"
            " OutputTabularDatasetConfig"
        ),
    },
    "azureml.mlflow": {"compat.mlflow_runs": "get_portal_url register_model"},
    "azureml.opendatasets": {
        "assets.opendatasets": (
            "BostonSafety ChicagoSafety Diabetes MNIST NoaaGfsWeather NoaaIsdWeather NycSafety"
            " NycTlcFhv NycTlcGreen NycTlcYellow OjSalesSimulated PublicHolidays"
            " PublicHolidaysOffline SanFranciscoSafety SeattleSafety USLaborCPI USLaborLAUS"
            " USPopulationCounty USPopulationZip"
        ),
    },
    "azureml.tensorboard": {"workspace.tensorboard": "Tensorboard"},
    "azureml.tensorboard.export": {"workspace.tensorboard_export": "export_to_tensorboard"},
    "azureml.telemetry": {"compat.small": "set_diagnostics_collection"},
    "azureml.train": {},
    "azureml.train.estimator": {"spec": _ESTIMATORS},
    "azureml.train.dnn": {"spec": "Chainer Gloo Mpi Nccl ParameterServer PyTorch TensorFlow"},
    "azureml.train.sklearn": {"spec": "SKLearn"},
    "azureml.widgets": {"notebook.views": "RunDetails"},
}
"""v1's modules, and the rooms that hold their names here."""

LATER: Mapping[str, Mapping[str, str]] = {
    "azureml.train.hyperdrive": {
        "HyperDrive": (
            "BanditPolicy BayesianParameterSampling EarlyTerminationPolicy GridParameterSampling"
            " HyperDriveConfig HyperDriveRun HyperDriveRunConfig HyperParameterSampling"
            " MedianStoppingPolicy NoTerminationPolicy PrimaryMetricGoal RandomParameterSampling"
            " TruncationSelectionPolicy choice loguniform lognormal normal qloguniform"
            " qlognormal qnormal quniform randint uniform"
        ),
    },
    "azureml.train.hyperdrive.parameter_expressions": {
        "HyperDrive": (
            "choice loguniform lognormal normal qloguniform qlognormal qnormal quniform randint"
            " uniform"
        ),
    },
    "azureml.train.hyperdrive.policy": {
        "HyperDrive": (
            "BanditPolicy EarlyTerminationPolicy MedianStoppingPolicy NoTerminationPolicy"
            " TruncationSelectionPolicy"
        ),
    },
    "azureml.train.hyperdrive.run": {"HyperDrive": "HyperDriveRun PrimaryMetricGoal"},
    "azureml.train.hyperdrive.runconfig": {
        "HyperDrive": "HyperDriveConfig HyperDriveRunConfig PrimaryMetricGoal",
    },
    "azureml.train.hyperdrive.sampling": {
        "HyperDrive": (
            "BayesianParameterSampling GridParameterSampling HyperParameterSampling"
            " RandomParameterSampling"
        ),
    },
    "azureml.core": {"Web services": "Image Webservice"},
    "azureml.core.image": {"Web services": "ContainerImage Image"},
    "azureml.core.model": {"Web services": "InferenceConfig ModelPackage"},
    "azureml.core.compute": {"Web services": "AksCompute"},
    "azureml.core.compute.aks": {"Web services": "AksCompute"},
    "azureml.core.webservice": {
        "Web services": "AciWebservice AksEndpoint AksWebservice LocalWebservice Webservice",
    },
    "azureml.core.webservice.aci": {"Web services": "AciWebservice"},
    "azureml.core.webservice.aks": {"Web services": "AksEndpoint AksWebservice"},
    "azureml.core.webservice.local": {"Web services": "LocalWebservice"},
    "azureml.core.webservice.webservice": {"Web services": "Webservice"},
    "azureml.contrib.services": {},
    "azureml.contrib.services.aml_request": {"Web services": "AMLRequest rawhttp"},
    "azureml.contrib.services.aml_response": {"Web services": "AMLResponse"},
    "azureml.contrib.notebook": {"Pipelines": "NotebookRunnerStep"},
    "azureml.contrib.pipeline": {},
    "azureml.contrib.pipeline.steps": {"Pipelines": "ParallelRunConfig ParallelRunStep"},
    "azureml.pipeline": {},
    "azureml.pipeline.core": {
        "Pipelines": (
            "InputPortBinding InputPortDef Module OutputPortBinding OutputPortDef Pipeline"
            " PipelineData PipelineDataset PipelineDraft PipelineEndpoint PipelineParameter"
            " PipelineRun PipelineStep PortDataReference PublishedPipeline Schedule"
            " ScheduleRecurrence StepRun StepRunOutput StepSequence TimeZone TrainingOutput"
        ),
    },
    "azureml.pipeline.core.builder": {"Pipelines": "PipelineStep StepSequence"},
    "azureml.pipeline.core.graph": {
        "Pipelines": "InputPortDef OutputPortDef PipelineParameter",
    },
    "azureml.pipeline.core.module": {"Pipelines": "Module"},
    "azureml.pipeline.core.pipeline": {"Pipelines": "Pipeline"},
    "azureml.pipeline.core.run": {"Pipelines": "PipelineRun StepRun"},
    "azureml.pipeline.core.schedule": {"Pipelines": "Schedule ScheduleRecurrence"},
    "azureml.pipeline.steps": {
        "Pipelines": (
            "CommandStep DataTransferStep EstimatorStep HyperDriveStep HyperDriveStepRun"
            " ModuleStep MpiStep ParallelRunConfig ParallelRunStep PythonScriptStep RScriptStep"
        ),
    },
    "azureml_user": {},
    "azureml_user.parallel_run": {"Pipelines": "EntryScript"},
}
"""Names whose feature is not here yet, by feature; see :data:`FEATURES`."""

SETTABLE = frozenset({"azureml._restclient.snapshots_client.SNAPSHOT_MAX_SIZE_BYTES"})
"""Names that scripts assign to: the assignment is made where ours is, too."""

IN_A_JOB: Mapping[str, str] = {"workspace.run:Run": "job.run"}
"""Rooms that serve a name inside a job, where the run's own folder is all that is needed."""

WITHOUT_THE_PACKAGE: Mapping[str, str] = {
    "workspace.experiment:Experiment": "assets.jobspace",
    "workspace.workspace:Workspace": "assets.jobspace",
}
"""Travelling rooms that serve a name where the interpreter of a job has no aml-jupyter."""

_INSTEAD_OF_AUTOML = (
    "Train with a library that searches by itself (scikit-learn, FLAML, AutoGluon) in a script,"
    " or try parameters side by side with aml_jupyter.Batch."
)
_INSTEAD_OF_STEPS = "Do that work in a script of your own and submit it."

FEATURES: Mapping[str, tuple[str, str]] = {
    "HyperDrive": (
        "search for hyperparameters with many runs",
        "Until then: aml_jupyter.Batch runs a notebook for each point of a grid, and"
        " experiment.submit in a loop runs a script for each.",
    ),
    "Web services": (
        "serve a model behind an address",
        "Until then: load the model and call the entry script's init() and run() yourself.",
    ),
    "Pipelines": (
        "run several steps in the order of their data",
        "Until then: submit the steps one after the other, and wait for each.",
    ),
    "AutoML": ("search for a model by itself, in a service of Azure", _INSTEAD_OF_AUTOML),
    "Model explanations": (
        "explain a model's predictions and keep the explanation with the run",
        "Use the packages shap or interpret-community and run.upload_file for what they write.",
    ),
    "Data drift": (
        "watch in Azure how data changes over time",
        "Compare the data in a script (evidently, scipy.stats) and run.log what it finds.",
    ),
    "FPGA models": (
        "run models on Azure's FPGAs",
        "Run the model by its own framework, on a CPU or a GPU.",
    ),
    "Fairness dashboards": (
        "upload fairness metrics to Azure",
        "Use the package fairlearn and run.log what it computes.",
    ),
    "Responsible AI dashboards": (
        "analyse a model's errors in Azure",
        "Use the package responsibleai and run.upload_folder for what it writes.",
    ),
    "Synapse": (
        "run Spark jobs on Azure Synapse",
        "Use pyspark in a script of your own: local[*] is Spark on this machine.",
    ),
    "Reinforcement learning": (
        "train on clusters of Ray that Azure made",
        "Use the package ray[rllib] in a script and submit it.",
    ),
    "Gradient boosting on clusters": (
        "train LightGBM on several nodes of Azure",
        "Use the package lightgbm in a script and submit it.",
    ),
    "Data collection of services": (
        "collect in Azure what a web service was asked",
        "Write what you want to keep to a file of your own in the entry script.",
    ),
    "Data preparation engine": (
        "read and transform data by a service's engine",
        "Read files with pandas; datasets are in azureml.core.Dataset.",
    ),
    "Labelled datasets": (
        "read what was labelled in Azure's labelling projects",
        "Export the labels from there, and read the file with pandas.",
    ),
    "Service clients": (
        "speak to Azure's services directly",
        "There is no service here; Run, Experiment and Workspace have what they offered.",
    ),
    "Linked services": (
        "link the workspace with other services of Azure",
        "There is nothing to link: the workspace is a folder of this machine.",
    ),
    "Private endpoints": (
        "reach the workspace through a network of Azure",
        "Leave it out: the workspace is a folder of this machine.",
    ),
    "Compute of other services": (
        "run steps on Azure Databricks, Data Lake, Batch, Data Factory, Kusto or Synapse",
        "AmlCompute.provisioning_configuration makes a pool on this machine.",
    ),
    "Steps on other services": (
        "run a step on Azure Databricks, Data Lake, Batch, Kusto or Synapse",
        _INSTEAD_OF_STEPS,
    ),
    "SQL sources": (
        "read from databases of Azure",
        "Read with pandas.read_sql in the script.",
    ),
    "File systems of datastores": (
        "open azureml:// addresses as files",
        "A datastore is a folder here: open its files.",
    ),
    "Linked outputs": (
        "register, as a run's output, a dataset that the script made",
        "Register it in the script: dataset.register(run.experiment.workspace, name); or let the"
        " run write to an OutputFileDatasetConfig.",
    ),
    "Feature store": (
        "keep and serve features in Azure",
        "Register a dataset of the features: dataset.register.",
    ),
}
"""Feature → what v1 used it to do, and what to do instead here."""

AZURE_ONLY: Mapping[str, str] = {
    "azureml._restclient": "Service clients",
    "azureml.accel": "FPGA models",
    "azureml.automl": "AutoML",
    "azureml.contrib.automl": "AutoML",
    "azureml.contrib.dataset": "Labelled datasets",
    "azureml.contrib.explain": "Model explanations",
    "azureml.contrib.fairness": "Fairness dashboards",
    "azureml.contrib.gbdt": "Gradient boosting on clusters",
    "azureml.contrib.interpret": "Model explanations",
    "azureml.contrib.server": "Service clients",
    "azureml.contrib.train.rl": "Reinforcement learning",
    "azureml.core.compute.adla": "Compute of other services",
    "azureml.core.compute.batch": "Compute of other services",
    "azureml.core.compute.databricks": "Compute of other services",
    "azureml.core.compute.datafactory": "Compute of other services",
    "azureml.core.compute.kusto": "Compute of other services",
    "azureml.core.compute.synapse": "Compute of other services",
    "azureml.core.compute.AdlaCompute": "Compute of other services",
    "azureml.core.compute.BatchCompute": "Compute of other services",
    "azureml.core.compute.DataFactoryCompute": "Compute of other services",
    "azureml.core.compute.DatabricksCompute": "Compute of other services",
    "azureml.core.compute.KustoCompute": "Compute of other services",
    "azureml.core.compute.SynapseCompute": "Compute of other services",
    "azureml.core.LinkedService": "Linked services",
    "azureml.core.SynapseWorkspaceLinkedServiceConfiguration": "Linked services",
    "azureml.core.linked_service": "Linked services",
    "azureml.core.PrivateEndPoint": "Private endpoints",
    "azureml.core.PrivateEndPointConfig": "Private endpoints",
    "azureml.core.private_endpoint": "Private endpoints",
    "azureml.core.environment.SparkPackage": "Synapse",
    "azureml.core.runconfig.JarLibrary": "Synapse",
    "azureml.core.runconfig.SparkPackage": "Synapse",
    "azureml.data.LinkTabularOutputDatasetConfig": "Linked outputs",
    "azureml.data.output_dataset_config.LinkFileOutputDatasetConfig": "Linked outputs",
    "azureml.data.output_dataset_config.LinkTabularOutputDatasetConfig": "Linked outputs",
    "azureml.data.sql_data_reference": "SQL sources",
    "azureml.datadrift": "Data drift",
    "azureml.dataprep": "Data preparation engine",
    "azureml.explain": "Model explanations",
    "azureml.featurestore": "Feature store",
    "azureml.fsspec": "File systems of datastores",
    "azureml.interpret": "Model explanations",
    "azureml.mltable": "Data preparation engine",
    "azureml.monitoring": "Data collection of services",
    "azureml.pipeline.steps.AdlaStep": "Steps on other services",
    "azureml.pipeline.steps.AutoMLStep": "AutoML",
    "azureml.pipeline.steps.AutoMLStepRun": "AutoML",
    "azureml.pipeline.steps.AzureBatchStep": "Steps on other services",
    "azureml.pipeline.steps.DatabricksStep": "Steps on other services",
    "azureml.pipeline.steps.KustoStep": "Steps on other services",
    "azureml.pipeline.steps.SynapseSparkStep": "Synapse",
    "azureml.responsibleai": "Responsible AI dashboards",
    "azureml.synapse": "Synapse",
    "azureml.train.automl": "AutoML",
}
"""Modules, with all below them, and single names that only a service of Azure can give."""
