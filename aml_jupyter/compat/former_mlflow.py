"""What MLflow 1 had as ``mlflow.azureml``: programs import it, and few come to use it."""

from __future__ import annotations

from .later import stand_in

_WEB_SERVICES = "Web services"

build_image = stand_in("mlflow.azureml.build_image", _WEB_SERVICES)
deploy = stand_in("mlflow.azureml.deploy", _WEB_SERVICES)
