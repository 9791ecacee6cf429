"""The file that a backend gives to the job's interpreter: finds its room, then launches."""

import os
import sys

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from aml_jupyter.job.launch import main  # noqa: E402

main(sys.argv[1:])
