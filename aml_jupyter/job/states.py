"""The states of a run, with v1's names."""

NOT_STARTED = "NotStarted"
PREPARING = "Preparing"
QUEUED = "Queued"
STARTING = "Starting"
RUNNING = "Running"
FINALIZING = "Finalizing"
CANCEL_REQUESTED = "CancelRequested"
COMPLETED = "Completed"
FAILED = "Failed"
CANCELED = "Canceled"

TERMINAL = frozenset({COMPLETED, FAILED, CANCELED})
"""A run in one of these has ended and never changes its state again."""

WAITED_FOR = frozenset(
    {NOT_STARTED, QUEUED, PREPARING, "Provisioning", STARTING, RUNNING, "Unapproved"}
    | {"NotResponding", "Pausing", "Paused"}
)
"""v1's ``wait_for_completion()`` goes on while the run is in one of these."""

ALL = TERMINAL | WAITED_FOR | {FINALIZING, CANCEL_REQUESTED}
"""Every state that v1 knows."""
