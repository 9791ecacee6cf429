"""What a run leaves to its workspace: for every handle on a run that knows it."""

from __future__ import annotations

from .keywords import says_its_keywords

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

    from .models import Model
    from .resource_configuration import ResourceConfiguration


class OfWorkspace:
    """A run whose files can become models."""

    @says_its_keywords
    def register_model(
        self: Any,
        model_name: str,
        model_path: str | None = None,
        tags: Mapping[str, Any] | None = None,
        properties: Mapping[str, Any] | None = None,
        model_framework: str | None = None,
        model_framework_version: str | None = None,
        description: str | None = None,
        datasets: Sequence[tuple[str, Any]] | None = None,
        sample_input_dataset: Any = None,
        sample_output_dataset: Any = None,
        resource_configuration: ResourceConfiguration | None = None,
    ) -> Model:
        """Register a file or folder of the run, by its name there, as a new version of a model.

        ``model_path`` is the model's name if not said; ``./`` is all files of the run. While the
        run goes on, what is in ``outputs/`` by then counts, too (v1 wanted it uploaded).
        """
        from .models import register_from_run

        return register_from_run(
            self,
            model_name,
            model_name if model_path is None else model_path,
            tags=tags,
            properties=properties,
            description=description,
            datasets=datasets,
            model_framework=model_framework,
            model_framework_version=model_framework_version,
            sample_input_dataset=sample_input_dataset,
            sample_output_dataset=sample_output_dataset,
            resource_configuration=resource_configuration,
        )

    register_model.__qualname__ = "Run.register_model"  # the name that its callers know
