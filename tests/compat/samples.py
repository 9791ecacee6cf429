"""The public samples that are played, and those that are not, with the reason.

Numbers, snapshots and paths are public: S… are commits of Azure/MachineLearningNotebooks, EX is one
of Azure/azureml-examples (:mod:`.sources` has them). Nothing of a sample is kept here but its name,
and what its last cells claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from posixpath import basename, dirname

from .checks import (
    Check,
    artifact,
    completed,
    dataset,
    environment,
    file,
    log,
    metric,
    model,
    says,
    target,
)

SERVICE = "needs a web service"
PIPELINE = "needs pipelines"
HYPERDRIVE = "needs HyperDrive"
ONLINE = "installs packages from an index"
_DEPLOY = {r"Webservice|InferenceConfig": SERVICE}


@dataclass(frozen=True)
class Sample:
    """One sample: where it is, what it needs, what it claims.

    ``files`` are played one after the other, by default the one of ``path``. ``skips`` are cells
    that are passed over (pattern → reason), ``until`` those from which on nothing is played.
    ``pools`` are targets that the sample expects to exist. ``why_not`` is why it is not played.
    """

    key: str
    code: str
    path: str
    checks: tuple[Check, ...] = ()
    files: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()
    skips: Mapping[str, str] = field(default_factory=dict)
    until: Mapping[str, str] = field(default_factory=dict)
    pools: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ("sklearn",)
    has_config: bool = True
    seconds: int = 300
    note: str = ""
    why_not: str = ""

    @property
    def folder(self) -> str:
        """The folder of the checkout that is copied."""
        return dirname(self.path)

    @property
    def played(self) -> tuple[str, ...]:
        """The files to play, below the folder."""
        return self.files or (basename(self.path),)


_H, _T = "how-to-use-azureml", "tutorials"
_P = "v1/python-sdk"
_MLFLOW = f"{_H}/track-and-monitor-experiments/using-mlflow"
_PIPES = f"{_H}/machine-learning-pipelines"
_DAY1 = f"{_T}/get-started-day1"
_QUICK = f"{_T}/compute-instance-quickstarts"
_TRAIN = f"{_P}/workflows/train"
_LIGHTNING = f"{_P}/experimental/using-pytorch-lightning"

_SHIMS = {"AML_COMPAT_SHIMS": "1"}
_SHIMMED = "with the shims for old libraries"
_MATPLOTLIB = ("sklearn", "matplotlib")
_WITH_MLFLOW = (*_MATPLOTLIB, "mlflow")
_LIGHTNING_1 = (
    "Lightning 1's command line for the Lightning of today; processes on the CPU stand for its "
    "GPUs, five batches for an epoch"
)


def _pipeline(key: str, name: str) -> Sample:
    return Sample(key, "S25", f"{_PIPES}/{name}.ipynb", why_not=PIPELINE)


PLAIN: tuple[Sample, ...] = (
    Sample(
        "1",
        "S25",
        f"{_H}/training/train-on-local/train-on-local.ipynb",
        (
            completed("train-on-local", 2),
            metric("train-on-local", "mse", 20),
            model("best_ridge_model"),
            says("Name: best_ridge_model"),
        ),
        modules=_MATPLOTLIB,
        note="its Docker part is one that the notebook leaves out where there is no `docker`",
    ),
    Sample(
        "2",
        "S25",
        f"{_H}/training/train-on-amlcompute/train-on-amlcompute.ipynb",
        (
            completed("train-on-amlcompute", 2),
            metric("train-on-amlcompute", "mse", 20),
            target("cpu-cluster"),
        ),
    ),
    Sample(
        "3",
        "S25",
        f"{_H}/training/using-environments/using-environments.ipynb",
        (
            completed("environment-example"),
            environment("myenv"),
            says("Attributes of restored environment"),
        ),
    ),
    Sample(
        "4",
        "S25",
        f"{_H}/training/train-on-remote-vm/train-on-remote-vm.ipynb",
        (
            completed("train-on-remote-vm", 4),
            metric("train-on-remote-vm", "mse", 20),
            says("we have min MSE"),
        ),
        pools=("cpudsvm",),
        note="a pool `cpudsvm` stands for the machine behind SSH that it names",
    ),
    Sample(
        "5",
        "S20",
        f"{_H}/training/train-within-notebook/train-within-notebook.ipynb",
        (
            completed("train-within-notebook", 21),
            metric("train-within-notebook", "mse"),
            model("best_model"),
            says(r"best_model \d"),
        ),
        until=_DEPLOY,
        variables=_SHIMS,
        modules=("sklearn", "tqdm"),
        note=_SHIMMED,
    ),
    Sample(
        "6",
        "S20",
        f"{_H}/training/train-on-computeinstance/train-on-computeinstance.ipynb",
        (
            completed("train-on-computeinstance"),
            metric("train-on-computeinstance", "mse", 20),
            target("compute-instance"),
        ),
        variables=_SHIMS,
        note=_SHIMMED,
    ),
    Sample(
        "7",
        "S22",
        f"{_H}/deployment/deploy-to-local/register-model-deploy-local.ipynb",
        (model("sklearn_regression_model"),),
        until=_DEPLOY,
    ),
    Sample(
        "8",
        "S22",
        f"{_H}/deployment/deploy-to-cloud/model-register-and-deploy.ipynb",
        (model("my-sklearn-model"), says("Name: my-sklearn-model"), says("Version: 1")),
        until={r"Model\.deploy|InferenceConfig": SERVICE},
    ),
    Sample(
        "9",
        "S22",
        f"{_H}/deployment/enable-app-insights-in-production-service/"
        "enable-app-insights-in-production-service.ipynb",
        why_not=SERVICE,
    ),
    Sample(
        "10",
        "S25",
        f"{_MLFLOW}/train-local/train-local.ipynb",
        (
            completed("LocalTrain-with-mlflow-sample"),
            metric("LocalTrain-with-mlflow-sample", "mse"),
            artifact("LocalTrain-with-mlflow-sample", "actuals_vs_predictions.png"),
        ),
        modules=_WITH_MLFLOW,
    ),
    Sample(
        "11",
        "S25",
        f"{_MLFLOW}/train-remote/train-remote.ipynb",
        (
            completed("RemoteTrain-with-mlflow-sample"),
            metric("RemoteTrain-with-mlflow-sample", "mse"),
            artifact("RemoteTrain-with-mlflow-sample", "actuals_vs_predictions.png"),
        ),
        modules=_WITH_MLFLOW,
    ),
    Sample(
        "12",
        "S25",
        f"{_MLFLOW}/train-projects-local/train-projects-local.ipynb",
        (completed("train-project-local", 2), metric("train-project-local", "rmse")),
        modules=("sklearn", "mlflow", "pandas"),
        variables=_SHIMS,
        note=_SHIMMED,
    ),
    Sample(
        "13",
        "S25",
        f"{_MLFLOW}/train-projects-remote/train-projects-remote.ipynb",
        (completed("train-project-amlcompute"), metric("train-project-amlcompute", "rmse")),
        pools=("cpu-cluster",),
        modules=("sklearn", "mlflow", "pandas"),
        variables=_SHIMS,
        note=_SHIMMED,
    ),
    Sample(
        "14",
        "EX",
        f"{_TRAIN}/scikit-learn/diabetes-mlproject/job.py",
        (
            completed("sklearn-diabetes-example"),
            metric("sklearn-diabetes-example", "mse"),
            artifact("sklearn-diabetes-example", "actuals_vs_predictions.png"),
        ),
        pools=("cpu-cluster",),
        modules=_WITH_MLFLOW,
    ),
    Sample(
        "15",
        "S25",
        "setup-environment/configuration.ipynb",
        (
            says("Workspace not accessible"),
            file("**/config.json"),
        ),
        variables={
            "SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000001",
            "RESOURCE_GROUP": "samples",
            "WORKSPACE_NAME": "samples",
        },
        has_config=False,
        note="there is no workspace yet, so that it makes one",
    ),
    Sample(
        "16",
        "S21",
        f"{_DAY1}/day1-part1-setup.ipynb",
        (target("cpu-cluster"), says("Version: ")),
    ),
    Sample(
        "16 scripts",
        "S21",
        f"{_DAY1}/IDE-users/03-run-hello.py",
        (completed("day1-experiment-hello"), target("cpu-cluster")),
        files=("02-create-compute.py", "03-run-hello.py"),
        note="01-create-workspace.py has placeholders that are for its reader",
    ),
    Sample(
        "17",
        "S21",
        f"{_DAY1}/day1-part2-hello-world.ipynb",
        (completed("day1-experiment-hello"), log("day1-experiment-hello", "hello world")),
        pools=("cpu-cluster",),
    ),
    Sample(
        "18",
        "EX",
        f"{_P}/tutorials/dataset-uploads/upload_dataframe_register_as_dataset.ipynb",
        (dataset("ds_from_pandas_df"),),
        modules=("pandas",),
    ),
    Sample(
        "19",
        "EX",
        f"{_P}/tutorials/dataset-uploads/upload_directory_create_file_dataset.ipynb",
        (dataset("ds_from_directory"), file("downloads/**/titanic.csv")),
    ),
    Sample(
        "20",
        "EX",
        f"{_P}/tutorials/deploy-local/1.deploy-local.ipynb",
        why_not=SERVICE,
    ),
    Sample(
        "21",
        "S25",
        f"{_H}/work-with-data/datasets-tutorial/timeseries-datasets/"
        "tabular-timeseries-dataset-filtering.ipynb",
        (dataset("weather-data-florida"), says("Expected exception"), says("after clean both")),
        modules=("pandas", "pyarrow"),
    ),
    Sample(
        "22",
        "S19",
        f"{_H}/deployment/register-model-create-image-deploy-service/"
        "register-model-create-image-deploy-service.ipynb",
        why_not="the Image API of 2019, which SDK v1 itself dropped",
    ),
    Sample(
        "23",
        "S25",
        f"{_H}/explain-model/azure-integration/run-history/"
        "save-retrieve-explanations-run-history.ipynb",
        why_not="needs azureml-interpret, a package of its own",
    ),
)
"""Table 2a: scikit-learn and plain Python, nothing is fetched."""

SMALL: tuple[Sample, ...] = (
    Sample(
        "24",
        "EX",
        f"{_TRAIN}/lightgbm/iris/job.py",
        (completed("lightgbm-iris-example"), metric("lightgbm-iris-example", "accuracy")),
        stand_ins=("iris",),
        pools=("cpu-cluster",),
        modules=(*_WITH_MLFLOW, "lightgbm", "pandas"),
    ),
    Sample(
        "25",
        "EX",
        f"{_TRAIN}/xgboost/iris/job.py",
        (completed("xgboost-iris-example"), metric("xgboost-iris-example", "accuracy")),
        pools=("cpu-cluster",),
        modules=("sklearn", "mlflow", "xgboost"),
    ),
    Sample(
        "26",
        "EX",
        "v1/notebooks/basics/1.train-lightgbm-local.ipynb",
        (
            completed("lightgbm-iris-local-example"),
            metric("lightgbm-iris-local-example", "accuracy"),
            artifact("lightgbm-iris-local-example", r"1\.train-lightgbm-local\.ipynb"),
        ),
        stand_ins=("iris",),
        skips={r"^%pip install": ONLINE},
        modules=(*_WITH_MLFLOW, "lightgbm", "pandas"),
    ),
    Sample(
        "27",
        "S25",
        f"{_T}/image-classification-mnist-data/img-classification-part1-training.ipynb",
        (
            completed("Tutorial-sklearn-mnist"),
            metric("Tutorial-sklearn-mnist", "accuracy"),
            dataset("mnist_opendataset"),
            model("sklearn_mnist"),
            says(r"sklearn_mnist\tsklearn_mnist:1\t1"),
        ),
        stand_ins=("mnist",),
        variables=_SHIMS,
        modules=_MATPLOTLIB,
        note=_SHIMMED,
    ),
    Sample(
        "28",
        "S25",
        f"{_T}/image-classification-mnist-data/img-classification-part2-deploy.ipynb",
        (model("sklearn_mnist"), environment("tutorial-env")),
        until=_DEPLOY,
        modules=_MATPLOTLIB,
    ),
    Sample(
        "29",
        "S25",
        f"{_QUICK}/quickstart-azureml-in-10mins/quickstart-azureml-in-10mins.ipynb",
        (completed("azure-ml-in10-mins-tutorial"), model("sklearn_mnist_model")),
        stand_ins=("mnist",),
        until=_DEPLOY,
        modules=_WITH_MLFLOW,
    ),
    Sample(
        "30",
        "S25",
        f"{_QUICK}/quickstart-azureml-python-sdk/quickstart-azureml-python-sdk.ipynb",
        (
            completed("get-started-with-jobsubmission-tutorial"),
            model("sklearn_mnist"),
            says(r"sklearn_mnist\tsklearn_mnist:1\t1"),
        ),
        stand_ins=("mnist",),
        modules=("sklearn", "mlflow"),
    ),
    Sample(
        "31",
        "S21",
        f"{_T}/quickstart-ci/AzureMLIn10mins.ipynb",
        (
            completed("azure-ml-in10-mins-tutorial"),
            metric("azure-ml-in10-mins-tutorial", "accuracy"),
            model("sklearn_mnist_model"),
        ),
        stand_ins=("mnist",),
        until=_DEPLOY,
        variables=_SHIMS,
        modules=_MATPLOTLIB,
        note=_SHIMMED,
    ),
    Sample(
        "32",
        "S21",
        f"{_T}/quickstart-ci/GettingStartedWithPythonSDK.ipynb",
        (
            completed("get-started-with-jobsubmission-tutorial"),
            metric("get-started-with-jobsubmission-tutorial", "accuracy"),
            model("sklearn_mnist"),
        ),
        stand_ins=("mnist",),
        variables=_SHIMS,
        modules=_MATPLOTLIB,
        note=_SHIMMED,
    ),
    _pipeline("33", "intro-to-pipelines/aml-pipelines-getting-started"),
    _pipeline("34", "intro-to-pipelines/aml-pipelines-with-data-dependency-steps"),
    _pipeline("35", "intro-to-pipelines/aml-pipelines-showcasing-dataset-and-pipelineparameter"),
    _pipeline("36", "intro-to-pipelines/aml-pipelines-showcasing-datapath-and-pipelineparameter"),
    _pipeline("37", "intro-to-pipelines/aml-pipelines-with-notebook-runner-step"),
    _pipeline("38", "intro-to-pipelines/aml-pipelines-publish-and-run-using-rest-endpoint"),
    _pipeline("39", "intro-to-pipelines/aml-pipelines-how-to-use-modulestep"),
    _pipeline("40", "parallel-run/tabular-dataset-inference-iris"),
    _pipeline("41", "parallel-run/file-dataset-partition-per-folder"),
    Sample(
        "42",
        "S20",
        f"{_PIPES}/intro-to-pipelines/aml-pipelines-how-to-use-estimatorstep.ipynb",
        why_not=PIPELINE,
    ),
    Sample(
        "43",
        "EX",
        f"{_P}/tutorials/using-pipelines/dataset-and-pipelineparameter.ipynb",
        why_not=PIPELINE,
    ),
    Sample("44", "S19", f"{_MLFLOW}/deploy-model/deploy-model.ipynb", why_not=SERVICE),
    Sample(
        "45",
        "S20",
        "contrib/gbdt/lightgbm/lightgbm-example.ipynb",
        why_not="needs azureml.contrib.gbdt, a package of its own",
    ),
)
"""Table 2b: scikit-learn, LightGBM, XGBoost and MLflow, with a small download."""

_TF = f"{_H}/ml-frameworks/tensorflow"
_TORCH = ("torch", "torchvision")
_WITH_LIGHTNING = (*_TORCH, "pytorch_lightning")

DEEP: tuple[Sample, ...] = (
    Sample(
        "46",
        "S21",
        f"{_DAY1}/day1-part3-train-model.ipynb",
        (
            completed("day1-experiment-train", 2),
            log("day1-experiment-train", "Finished Training"),
            says("Finished Training"),
        ),
        stand_ins=("cifar",),
        pools=("cpu-cluster",),
        modules=_TORCH,
    ),
    Sample(
        "47",
        "S21",
        f"{_T}/quickstart/azureml-quickstart.ipynb",
        why_not="`dataiter.next()`, which PyTorch dropped with 1.13; its rest needs a web service",
    ),
    Sample(
        "48",
        "EX",
        f"{_TRAIN}/pytorch/mnist/job.py",
        (completed("pytorch-mnist-example"), log("pytorch-mnist-example", "Test set")),
        stand_ins=("mnist",),
        pools=("gpu-cluster",),
        modules=(*_TORCH, "mlflow"),
    ),
    Sample(
        "49",
        "EX",
        f"{_TRAIN}/pytorch/mnist-mlproject/job.py",
        (
            completed("pytorch-mnist-mlproject-example"),
            metric("pytorch-mnist-mlproject-example", "average_loss", 2),
        ),
        stand_ins=("mnist",),
        pools=("gpu-cluster",),
        modules=(*_TORCH, "mlflow"),
    ),
    Sample(
        "50",
        "EX",
        f"{_LIGHTNING}/1.train-single-node.ipynb",
        (completed("pt-lightning-tutorial", 2), log("pt-lightning-tutorial", "max_epochs=25")),
        stand_ins=("large-mnist",),
        skips={r"^%pip install": ONLINE},
        pools=("gpu-V100-2",),
        modules=_WITH_LIGHTNING,
        note=_LIGHTNING_1,
    ),
    Sample(
        "51",
        "EX",
        f"{_LIGHTNING}/2.log-with-tensorboard.ipynb",
        (
            completed("pt-lightning-tensorboard-tutorial"),
            artifact("pt-lightning-tensorboard-tutorial", r"logs/.*events"),
        ),
        stand_ins=("large-mnist",),
        pools=("gpu-V100-2",),
        modules=(*_WITH_LIGHTNING, "tensorboard"),
        note=_LIGHTNING_1,
    ),
    Sample(
        "52",
        "EX",
        f"{_LIGHTNING}/3.log-with-mlflow.ipynb",
        (
            completed("pt-lightning-mlflow-tutorial"),
            metric("pt-lightning-mlflow-tutorial", "loss", 25),
        ),
        stand_ins=("large-mnist",),
        pools=("gpu-V100-2",),
        modules=(*_WITH_LIGHTNING, "mlflow"),
        note=_LIGHTNING_1,
    ),
    Sample(
        "53",
        "EX",
        f"{_P}/tutorials/train-on-low-priority-aml-compute/train-on-low-priority-aml-compute.ipynb",
        (
            completed("low-priority-compute-tutorial", 2),
            metric("low-priority-compute-tutorial", "validation_accuracy", 2),
        ),
        stand_ins=("mnist",),
        modules=(*_TORCH, "matplotlib", "pandas", "tqdm"),
    ),
    Sample(
        "54",
        "S25",
        f"{_H}/ml-frameworks/pytorch/train-hyperparameter-tune-deploy-with-pytorch/"
        "train-hyperparameter-tune-deploy-with-pytorch.ipynb",
        why_not=HYPERDRIVE,
    ),
    Sample(
        "55",
        "S25",
        f"{_H}/ml-frameworks/keras/train-hyperparameter-tune-deploy-with-keras/"
        "train-hyperparameter-tune-deploy-with-keras.ipynb",
        why_not=HYPERDRIVE,
    ),
    Sample(
        "56",
        "S22",
        f"{_TF}/train-hyperparameter-tune-deploy-with-tensorflow/"
        "train-hyperparameter-tune-deploy-with-tensorflow.ipynb",
        why_not=HYPERDRIVE,
    ),
    Sample(
        "57",
        "S25",
        f"{_TF}/hyperparameter-tune-and-warm-start-with-tensorflow/"
        "hyperparameter-tune-and-warm-start-with-tensorflow.ipynb",
        why_not=HYPERDRIVE,
    ),
    Sample(
        "58",
        "S25",
        f"{_TF}/train-tensorflow-resume-training/train-tensorflow-resume-training.ipynb",
        (
            completed("tf-resume-training", 2),
            metric("tf-resume-training", "final_acc"),
            log("tf-resume-training", "Resuming from epoch"),
        ),
        stand_ins=("mnist",),
        variables={**_SHIMS, "TF_USE_LEGACY_KERAS": "1"},
        modules=("tensorflow", "tf_keras"),
        note=f"{_SHIMMED}, and tf-keras for TensorFlow 1's layers",
    ),
    Sample(
        "59",
        "EX",
        f"{_TRAIN}/tensorflow/mnist/job.py",
        (completed("tf-mnist-example"), metric("tf-mnist-example", "accuracy", 5)),
        stand_ins=("keras-mnist",),
        pools=("gpu-cluster",),
        modules=("tensorflow", "mlflow"),
    ),
    Sample(
        "59 distributed",
        "EX",
        f"{_TRAIN}/tensorflow/mnist-distributed/job.py",
        (completed("tf-mnist-distributed-example"),),
        stand_ins=("keras-mnist",),
        pools=("gpu-V100-2",),
        variables={"TF_USE_LEGACY_KERAS": "1"},
        modules=("tensorflow", "tf_keras"),
        seconds=600,
        note="tf-keras for a model saved as a folder",
    ),
    Sample(
        "60",
        "S25",
        f"{_H}/track-and-monitor-experiments/tensorboard/tensorboard/tensorboard.ipynb",
        (completed("tensorboard-demo", 3), artifact("tensorboard-demo", r"logs/.*events")),
        stand_ins=("summaries",),
        pools=("cpudsvm",),
        modules=("tensorflow", "tensorboard", "requests"),
        note="a pool `cpudsvm` stands for the machine behind SSH that it names; a small script for "
        "the one that it fetches",
    ),
    Sample(
        "61",
        "S21",
        f"{_H}/ml-frameworks/chainer/train-hyperparameter-tune-deploy-with-chainer/"
        "train-hyperparameter-tune-deploy-with-chainer.ipynb",
        why_not=HYPERDRIVE,
    ),
    Sample(
        "62",
        "S22",
        f"{_H}/deployment/onnx/onnx-train-pytorch-aml-deploy-mnist.ipynb",
        why_not=SERVICE,
    ),
    _pipeline("63", "intro-to-pipelines/aml-pipelines-parameter-tuning-with-hyperdrive"),
    _pipeline("64", "intro-to-pipelines/aml-pipelines-with-commandstep"),
)
"""Table 2c: PyTorch, TensorFlow and Keras on a CPU, with small stand-ins."""

OWN: tuple[Sample, ...] = (
    Sample(
        "own notebook",
        "",
        "tests/compat/own/notebook/hello.ipynb",
        (completed("own-notebook"), metric("own-notebook", "answer"), says("good morning")),
        stand_ins=("greeting",),
        skips={"raise SystemExit": "is for people"},
        until={"never reached": "the end"},
        modules=(),
    ),
    Sample(
        "own script",
        "",
        "tests/compat/own/script/job.py",
        (completed("own-script"), log("own-script", "good morning"), says("submitted")),
        stand_ins=("greeting",),
        pools=("own-cluster",),
        modules=(),
    ),
)
"""Two of our own, by which the harness itself is tested."""

TABLES: Mapping[str, tuple[Sample, ...]] = {
    "scikit-learn and plain Python": PLAIN,
    "With a small download": SMALL,
    "PyTorch, TensorFlow and Keras on a CPU": DEEP,
}


def find(key: str) -> Sample:
    """The sample of that number."""
    known = {sample.key: sample for table in (*TABLES.values(), OWN) for sample in table}
    return known[key]
