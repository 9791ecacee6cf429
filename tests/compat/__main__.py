"""``python -m tests.compat``: play the public samples and tell what came of them.

::

    export AML_SAMPLES_MLN=~/MachineLearningNotebooks AML_SAMPLES_EX=~/azureml-examples
    export AML_SAMPLES_PYTHON=~/samples-venv/bin/python      # has aml_jupyter and the packages
    python -m tests.compat                       # all
    python -m tests.compat 1 24 --keep /tmp/look # some, leaving everything there
    python -m tests.compat --write               # all, and docs/compatibility.md anew
    python -m tests.compat 1 --write --results R # one; of the others the page has what R keeps
    python -m tests.compat --extract S25=~/MachineLearningNotebooks --to ~/samples
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import results, sources, table
from .harness import FAILS, ROOT, Outcome, play
from .samples import OWN, TABLES, Sample, find


def main() -> int:
    """Do what the command line says; 1 when a sample failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.compat", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("samples", nargs="*", help="their numbers; all without")
    parser.add_argument("--own", action="store_true", help="the two of the harness's own")
    parser.add_argument("--write", action="store_true", help="write docs/compatibility.md")
    parser.add_argument("--results", type=Path, help="a file that keeps what came of samples")
    parser.add_argument("--keep", type=Path, help="a folder to leave what was played in")
    parser.add_argument("--extract", nargs="+", metavar="CODE=REPOSITORY")
    parser.add_argument("--to", type=Path, help="where --extract writes")
    asked = parser.parse_args()
    if asked.extract:
        return _extract(asked.extract, asked.to or parser.error("--extract needs --to"))
    outcomes = {}
    for sample in _wanted(asked):
        outcome = outcomes[sample.key] = _played(sample, asked.keep)
        if asked.results:
            results.add(asked.results, outcome)
    if asked.results:
        outcomes = {**results.read(asked.results), **outcomes}
    if asked.write:
        (ROOT / "docs" / "compatibility.md").write_text(table.page([*outcomes.values()]))
    print(table.summary([*outcomes.values()]))
    return int(any(outcome.result == FAILS for outcome in outcomes.values()))


def _wanted(asked: argparse.Namespace) -> list[Sample]:
    if asked.own:
        return list(OWN)
    if asked.samples:
        return [find(key) for key in asked.samples]
    return [sample for samples in TABLES.values() for sample in samples]


def _played(sample: Sample, keep: Path | None) -> Outcome:
    outcome = play(sample, keep)
    print(f"{sample.key:>14}  {outcome.result:15} {outcome.seconds:6.1f} s  {sample.path}")
    if outcome.why:
        print("\n".join(f"{'':16}{line}" for line in outcome.why.splitlines()[-40:]))
    sys.stdout.flush()
    return outcome


def _extract(words: list[str], into: Path) -> int:
    for word in words:
        code, _, repository = word.partition("=")
        count = sources.extract(Path(repository).expanduser(), code, into.expanduser())
        print(f"{code}: {count} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
