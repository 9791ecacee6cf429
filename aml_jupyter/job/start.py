"""The file that a backend gives to the job's interpreter: finds its room, then launches."""

import os
import sys

# An image may bring any Python; even an old one has to understand this file.
if sys.version_info < (3, 8):  # noqa: UP036
    sys.exit("Python %d.%d is too old for a run: it takes 3.8." % sys.version_info[:2])  # noqa: UP031

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from aml_jupyter.job.launch import main  # noqa: E402

main(sys.argv[1:])
