"""What v1's methods and attributes give, as far as one follows a value through a file."""

from __future__ import annotations

EACH, LISTED = "{", "["
"""In front of a class: a mapping from names to it, and a row of it."""

# Class: what its members give. `new` stands for the class the member was called on.
_GIVES = {
    "Workspace": """from_config=Workspace get=Workspace create=Workspace list={Workspace
        compute_targets={ComputeTarget datasets={Dataset datastores={Datastore models={Model
        experiments={Experiment environments={Environment webservices={Webservice
        get_default_datastore=Datastore get_run=Run get_default_keyvault=Keyvault
        get_default_compute_target=ComputeTarget""",
    "Experiment": """start_logging=Run get_runs=[Run list=[Experiment workspace=Workspace
        submit=Run""",
    "Run": """get_context=Run get=Run get_submitted_run=Run list=[Run experiment=Experiment
        parent=Run child_run=Run create_children=[Run get_children=[Run submit_child=Run
        register_model=Model get_environment=Environment""",
    "ComputeTarget": """create=ComputeTarget attach=ComputeTarget list=[ComputeTarget
        workspace=Workspace""",
    "AmlCompute": """provisioning_configuration=AmlComputeProvisioningConfiguration
        get_status=AmlComputeStatus create=ComputeTarget attach=ComputeTarget""",
    "ScriptRunConfig": "run_config=RunConfiguration",
    "Estimator": "run_config=RunConfiguration conda_dependencies=CondaDependencies",
    "RunConfiguration": """load=RunConfiguration environment=Environment
        history=HistoryConfiguration docker=DockerConfiguration mpi=MpiConfiguration
        tensorflow=TensorflowConfiguration amlcompute=AmlComputeConfiguration""",
    "Environment": """get=Environment register=Environment clone=Environment list={Environment
        from_conda_specification=Environment from_pip_requirements=Environment
        from_dockerfile=Environment from_docker_image=Environment
        from_docker_build_context=Environment from_existing_conda_environment=Environment
        load_from_directory=Environment docker=DockerSection python=PythonSection
        build=ImageBuildDetails""",
    "DockerSection": "base_image_registry=ContainerRegistry",
    "PythonSection": "conda_dependencies=CondaDependencies",
    "CondaDependencies": "create=CondaDependencies",
    "Datastore": """get=Datastore get_default=Datastore path=DataReference
        register_azure_blob_container=Datastore register_azure_file_share=Datastore
        upload=DataReference upload_files=DataReference as_mount=DataReference
        as_download=DataReference""",
    "Dataset": """File=FileDatasetFactory Tabular=TabularDatasetFactory get_by_name=Dataset
        get_by_id=Dataset get_all={Dataset""",
    "FileDatasetFactory": "from_files=FileDataset upload_directory=FileDataset",
    "TabularDatasetFactory": """from_delimited_files=TabularDataset
        from_parquet_files=TabularDataset from_json_lines_files=TabularDataset
        from_sql_query=TabularDataset register_pandas_dataframe=TabularDataset""",
    "FileDataset": """register=new as_named_input=DatasetConsumptionConfig take=new skip=new
        as_mount=DatasetConsumptionConfig as_download=DatasetConsumptionConfig filter=new
        take_sample=new random_split=[FileDataset""",
    "TabularDataset": """register=new as_named_input=DatasetConsumptionConfig take=new skip=new
        keep_columns=new drop_columns=new filter=new with_timestamp_columns=new time_before=new
        time_after=new time_between=new time_recent=new take_sample=new
        random_split=[TabularDataset partition_by=new to_parquet_files=FileDataset
        to_csv_files=FileDataset""",
    "DatasetConsumptionConfig": "as_mount=new as_download=new as_direct=new as_hdfs=new",
    "OutputFileDatasetConfig": """as_mount=new as_upload=new register_on_complete=new
        read_delimited_files=new read_parquet_files=new as_input=DatasetConsumptionConfig""",
    "DataReference": "as_mount=new as_download=new as_upload=new",
    "Model": """register=Model list=[Model run=Run deploy=Webservice package=ModelPackage
        profile=ModelProfile""",
    "Webservice": "list=[Webservice deploy_from_model=Webservice deploy_from_image=Webservice",
    "Pipeline": "publish=PublishedPipeline submit=PipelineRun",
    "PublishedPipeline": "submit=PipelineRun get=PublishedPipeline",
    "HyperDriveRun": "get_best_run_by_primary_metric=Run get_children=[Run",
    "PipelineRun": "find_step_run=[StepRun get_steps=[StepRun",
    "AutoMLRun": "get_children=[Run",
}
_KINDS_OF = {
    "Run": "ScriptRun HyperDriveRun PipelineRun StepRun AutoMLRun",
    "ComputeTarget": """AmlCompute AksCompute RemoteCompute DsvmCompute HDInsightCompute
        KubernetesCompute ComputeInstance DatabricksCompute BatchCompute AdlaCompute
        DataFactoryCompute KustoCompute SynapseCompute""",
    "Dataset": "FileDataset TabularDataset",
    "Datastore": "AzureBlobDatastore AzureFileDatastore",
    "Estimator": "PyTorch TensorFlow SKLearn Chainer",
    "Webservice": "AciWebservice AksWebservice LocalWebservice AksEndpoint",
    "ScriptRunConfig": "NotebookRunConfig",
}
_SUBMITTED = {
    "HyperDriveConfig": "HyperDriveRun",
    "HyperDriveRunConfig": "HyperDriveRun",
    "Pipeline": "PipelineRun",
    "PublishedPipeline": "PipelineRun",
    "AutoMLConfig": "AutoMLRun",
    "AutoMLImageConfig": "AutoMLRun",
}
MORE_GENERAL = {kind: base for base, kinds in _KINDS_OF.items() for kind in kinds.split()}
"""The class whose members another one has, too."""

_MEMBERS = {owner: dict(pair.split("=") for pair in text.split()) for owner, text in _GIVES.items()}


def kinds_of(owner: str) -> list[str]:
    """The classes that something documented as ``owner`` may be: first itself, then its kinds."""
    return [owner, *_KINDS_OF.get(owner, "").split()]


def lineage(owner: str) -> list[str]:
    """A class, and the more general one whose members it has."""
    return [owner, MORE_GENERAL[owner]] if owner in MORE_GENERAL else [owner]


def type_of_member(owner: str, member: str) -> str:
    """The class of what ``owner.member`` is or gives; empty where that is not known."""
    if owner[:1] in (EACH, LISTED):
        return ""
    for name in [*lineage(owner), *kinds_of(owner)[1:]]:
        found = _MEMBERS.get(name, {}).get(member)
        if found:
            return owner if found == "new" else found
    return ""


def type_of_call(owner: str, member: str, first: str) -> str:
    """The class of what the call gives, ``first`` being the class of its first argument."""
    if member in ("submit", "submit_child") and owner in ("Experiment", "Run", "Workspace"):
        return _SUBMITTED.get(first, "Run")
    if owner[:1] == EACH:
        return owner[1:] if member == "get" else LISTED + owner[1:] if member == "values" else ""
    return type_of_member(owner, member)
