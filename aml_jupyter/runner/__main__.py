"""``python -m aml_jupyter.runner``: what the first submit starts."""

from __future__ import annotations

import os

from ..store.home import home
from .daemon import IDLE_SECONDS, Runner


def main() -> None:
    """Serve until idle."""
    Runner(home(), float(os.environ.get("AML_RUNNER_IDLE_SECONDS") or IDLE_SECONDS)).serve()


if __name__ == "__main__":
    main()
