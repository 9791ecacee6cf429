"""Everything that can go wrong, as one tree.

::

    AmlError (v1's AzureMLException)
    ├── UserErrorException               you asked for something that cannot be
    │   ├── RunConfigurationException    … in a run configuration
    │   ├── SnapshotException            … in the source folder
    │   ├── CaptureError                 … in a notebook cell
    │   └── ModelPathNotFoundException
    ├── ExperimentExecutionException     a run could not be submitted or followed
    ├── ActivityFailedException          a run ended as Failed
    ├── RunEnvironmentException          not inside a run
    ├── ComputeTargetException           no such target, or it cannot be used
    ├── WorkspaceException, ProjectSystemException, WorkspacePrivateEndpointException
    ├── ServiceException                 our own machinery failed
    │   ├── RunnerError                  the runner could not be started or reached
    │   └── DiscoveryUrlNotFoundException
    ├── StorageFullError (an OSError)    no room left on the disk
    └── ModelNotFoundException, WebserviceException, TrainingException, AuthenticationException,
        ImageException, ParallelRunException

The class names of SDK v1 are kept, because scripts catch them.
Each error says what happened and to what (``message``) and what to do next (``hint``).
This module travels into jobs: standard library only, Python 3.8.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable


class AmlError(Exception):
    """The root of all our errors; ``except AmlError`` catches whatever we raise.

    Shown in a notebook it is two lines, the message and the hint, instead of a traceback.
    Set ``AML_TRACEBACKS=1`` to see where it came from.
    """

    def __init__(
        self, message: str = "", hint: str = "", inner_exception: BaseException | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.inner_exception = inner_exception

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __reduce__(self) -> Any:
        return (_rebuild, (type(self), self.message, self.hint))

    def _render_traceback_(self) -> list[str]:
        """What IPython prints for this exception."""
        if os.environ.get("AML_TRACEBACKS"):
            import traceback

            return traceback.format_exception(type(self), self, self.__traceback__)
        return [f"{type(self).__name__}: {self.message}", *([self.hint] if self.hint else [])]


def _rebuild(kind: type[AmlError], message: str, hint: str) -> AmlError:
    return kind(message, hint)


AzureMLException = AmlError
"""The name SDK v1 gives the root."""


class UserErrorException(AmlError):
    """Something asked for is missing, misspelt or of the wrong type."""


class RunConfigurationException(UserErrorException):
    """A run configuration that cannot be read or makes no sense."""


class SnapshotException(UserErrorException):
    """A source folder that cannot be taken along."""


class CaptureError(UserErrorException):
    """A notebook cell that needs something which cannot be sent."""


class ModelPathNotFoundException(UserErrorException):
    """The run has no file under that path."""


class DatasetTimestampMissingError(UserErrorException):
    """A time filter on a dataset without timestamp columns."""


class DatasetValidationError(UserErrorException):
    """Kept for code that catches it: v1 raised it for data that could not be read."""


class ExperimentExecutionException(AmlError):
    """A run that could not be submitted, or whose output could not be followed."""


class ActivityFailedException(AmlError):
    """A run that was waited for ended as Failed."""


class RunEnvironmentException(AmlError):
    """The process is not part of a run."""


class ComputeTargetException(AmlError):
    """A compute target that does not exist or cannot be used."""


class WorkspaceException(AmlError):
    """A workspace that does not exist, exists already, or cannot be read."""


class ProjectSystemException(WorkspaceException):
    """The older name for a workspace that cannot be found."""


class WorkspacePrivateEndpointException(WorkspaceException):
    """Kept for code that catches it; a workspace here has no network."""


class ServiceException(AmlError):
    """A failure of our own machinery rather than of the request."""


class DiscoveryUrlNotFoundException(ServiceException):
    """Kept for code that catches it; there is no service to discover."""


class RunnerError(ServiceException):
    """The runner could not be started or reached."""


class StorageFullError(AmlError, OSError):
    """The disk has no room left; what was written before is intact."""

    def __init__(self, message: str = "", hint: str = "") -> None:
        AmlError.__init__(self, message, hint)
        import errno

        self.errno = errno.ENOSPC


class ModelNotFoundException(AmlError):
    """No registered model of that name and version."""


class WebserviceException(AmlError):
    """A deployment that failed or does not exist."""


class ImageException(AmlError):
    """Kept for code that catches it; v1's container images were made for web services."""


class ParallelRunException(AmlError):
    """Kept for code that catches it; v1 raised it in the steps of pipelines."""


class TrainingException(AmlError):
    """An estimator that cannot be turned into a run."""


class AuthenticationException(AmlError):
    """Kept for code that catches it; nothing here needs an account."""


def meant(word: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """A hint that names the likeliest of the known words; empty when none is like it."""
    import difflib

    close = difflib.get_close_matches(word, sorted(set(known)), 2, likeness)
    return f"Did you mean {' or '.join(close)}?" if close else ""


def near(word: str, known: Iterable[str]) -> str:
    """A hint that names the likeliest of the known words, or all of them."""
    names = sorted(set(known))
    everything = f"There are: {', '.join(names)}." if names else "There are none."
    return meant(word, names) or everything


def show_briefly(kind: type[BaseException], value: BaseException, traceback: Any) -> None:
    """A ``sys.excepthook`` that prints an :class:`AmlError` as two lines."""
    if isinstance(value, AmlError) and not os.environ.get("AML_TRACEBACKS"):
        sys.stderr.write("\n".join(value._render_traceback_()) + "\n")
    else:
        sys.__excepthook__(kind, value, traceback)
