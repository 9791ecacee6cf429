"""What is known of a registered model, under v1's names."""

from __future__ import annotations

from aml_jupyter.errors import UserErrorException
from aml_jupyter.job.run import iso

from .model_records import dataset_of
from .resource_configuration import ResourceConfiguration

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime
    from typing import Any

    from .model_shelf import Record


class ModelFacts:
    """One version of a registered model, to be read."""

    workspace: Any
    _record: Record

    @property
    def name(self) -> str:
        """The name that all versions share."""
        return str(self._record["name"])

    @property
    def version(self) -> int:
        """Counts the versions of the name, from 1; a number is never given twice."""
        return int(self._record["version"])

    @property
    def id(self) -> str:
        """``name:version``."""
        return f"{self.name}:{self.version}"

    @property
    def tags(self) -> dict[str, str | None]:
        """The tags."""
        return dict(self._record["tags"])

    @property
    def properties(self) -> dict[str, str | None]:
        """The properties; one never changes once set."""
        return dict(self._record["properties"])

    @property
    def description(self) -> str | None:
        """Free text about the model."""
        return self._text("description")

    @property
    def created_time(self) -> datetime.datetime:
        """When it was registered."""
        import datetime

        return datetime.datetime.fromtimestamp(self._record["created"], datetime.timezone.utc)

    @property
    def created_by(self) -> dict[str, str]:
        """Who registered it, with v1's keys."""
        return {"userName": self._record["created_by"]}

    @property
    def size(self) -> int:
        """The bytes of all its files. v1 had no such thing."""
        return int(self._record["bytes"])

    @property
    def url(self) -> str:
        """The address of its asset: a name, nothing that could be fetched."""
        return f"aml://asset/{self._record['asset']}"

    @property
    def run_id(self) -> str | None:
        """The run that it was registered from."""
        return self._text("run_id")

    @property
    def run(self) -> Any:
        """The run that it was registered from; None if there was none, or it is gone."""
        if self.run_id is None:
            return None
        try:
            return self.workspace.get_run(self.run_id)
        except UserErrorException:
            return None

    @property
    def experiment_name(self) -> str | None:
        """The experiment of that run."""
        return self._text("experiment")

    @property
    def model_framework(self) -> str | None:
        """One of :class:`Model.Framework`, or whatever was said."""
        return self._text("framework")

    @property
    def model_framework_version(self) -> str | None:
        """The version of the framework."""
        return self._text("framework_version")

    @property
    def resource_configuration(self) -> ResourceConfiguration | None:
        """What it wants of the machine that serves it."""
        return ResourceConfiguration._of(self._record["resources"])

    @property
    def datasets(self) -> list[tuple[str, Any]]:
        """Pairs of a purpose and the dataset that served it."""
        kept = self._record["datasets"]
        return [(purpose, dataset_of(self.workspace, each)) for purpose, each in kept]

    @property
    def sample_input_dataset(self) -> Any:
        """A dataset that shows what goes in."""
        return dataset_of(self.workspace, self._record["sample_input"])

    @property
    def sample_output_dataset(self) -> Any:
        """A dataset that shows what comes out."""
        return dataset_of(self.workspace, self._record["sample_output"])

    def serialize(self) -> dict[str, Any]:
        """All of it as one dictionary with v1's keys."""
        record = self._record
        return {
            "id": self.id,
            "name": self.name,
            "version": self.version,
            "createdTime": iso(record["created"]),
            "createdBy": self.created_by,
            "description": self.description,
            "framework": self.model_framework,
            "frameworkVersion": self.model_framework_version,
            "tags": self.tags,
            "properties": self.properties,
            "url": self.url,
            "experimentName": self.experiment_name,
            "runId": self.run_id,
            "datasets": [{"name": purpose, "id": each} for purpose, each in record["datasets"]],
            "sampleInputDatasetId": record["sample_input"],
            "sampleOutputDatasetId": record["sample_output"],
            "resourceRequirements": record["resources"],
        }

    def _text(self, key: str) -> str | None:
        found: str | None = self._record[key]
        return found
