"""``python -m aml_jupyter.runner``: what the first submit starts."""

from __future__ import annotations

import os


def main() -> None:
    """Leave whoever started this, then serve until idle.

    The parent returns at once, before anything slow is imported: the submitter waits for it,
    and is then nobody's parent.
    """
    if os.fork():
        os._exit(0)
    from ..home import home
    from .daemon import IDLE_SECONDS, Runner

    Runner(home(), float(os.environ.get("AML_RUNNER_IDLE_SECONDS") or IDLE_SECONDS)).serve()


if __name__ == "__main__":
    main()
