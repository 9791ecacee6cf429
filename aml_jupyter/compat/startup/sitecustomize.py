"""Python imports a module of this name at its start: it lets ``azureml`` be found in every process.

Its folder stands on ``PYTHONPATH`` in jobs and under ``aml compat run``, and so reaches the
processes that a script starts. A ``sitecustomize`` that would have been imported otherwise is
imported then, in its place. Whatever Python starts reads this file, an old one as well; most
processes never ask for ``azureml``, so nothing else is imported before somebody does.
"""

import os
import sys


class _Finder(object):  # noqa: UP004 - Python 2 may read this
    """Stands at the end of ``sys.meta_path`` for the finder of ``aml_jupyter.compat``."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ("azureml", "azureml_user"):
            return None
        try:
            from aml_jupyter.compat import Finder
        except Exception:  # noqa: BLE001 - an interpreter that cannot have ours does without
            return None
        return Finder().find_spec(name, path, target)


def _install_shims():
    try:
        from aml_jupyter.compat import install

        install()
    except Exception:  # noqa: BLE001 - as above
        pass


def _hand_on(here):
    """Import the ``sitecustomize`` that this one hides, as if this one were not there."""
    # The halves of importlib that Python has in itself: importlib.util would cost milliseconds.
    from _frozen_importlib import module_from_spec
    from _frozen_importlib_external import PathFinder

    places = [os.path.realpath(entry or ".") for entry in sys.path]
    if here not in places:
        return
    spec = PathFinder.find_spec("sitecustomize", sys.path[places.index(here) + 1 :])
    if spec is not None and spec.loader is not None:
        sys.modules["sitecustomize"] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules["sitecustomize"])


_here = os.path.dirname(os.path.realpath(__file__))
_been_here = sys.__dict__.setdefault("_aml_startups", [])
# One that hides this one may import it as well, and a second time.
if sys.version_info >= (3, 8) and _here not in _been_here:
    _been_here.append(_here)
    sys.meta_path.append(_Finder())
    if os.environ.get("AML_COMPAT_SHIMS"):
        _install_shims()
    _hand_on(_here)
