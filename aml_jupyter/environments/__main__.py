"""``python -m aml_jupyter.environments FOLDER``: builds one environment; started by the cache."""

from __future__ import annotations

from .builder import main

if __name__ == "__main__":
    main()
