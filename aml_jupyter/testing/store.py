"""What the store promises on whatever disk a workspace lives."""

# ruff: noqa: D102 - the name of a test is its sentence

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pytest

from ..errors import SnapshotException, UserErrorException
from ..job import events, layout, metrics
from ..job.metrics import MetricWriter
from ..job.run import Run
from ..store import Index, MetricFeed, Query, WorkspaceFolder, snapshots
from ..store.index import delete_run
from ..store.objects import Objects

_PACKAGE = str(Path(__file__).parents[2])


class StoreContract(ABC):
    """Subclass it, name the subclass ``Test…``, and define :meth:`make_place`."""

    patience = 10.0

    @abstractmethod
    def make_place(self, tmp_path: Path) -> Path:
        """An empty folder on the disk in question; ``tmp_path`` is the test's own folder."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return self.make_place(tmp_path)

    @pytest.fixture
    def folder(self, place: Path) -> WorkspaceFolder:
        return WorkspaceFolder.create(place / "project")

    def new_run(self, folder: WorkspaceFolder, run_id: str, **request: Any) -> Run:
        """A run that was asked for, as the store makes it."""
        default: dict[str, Any] = {"format": 1, "experiment": "e", "created": time.time()}
        return Run(str(folder.new_run({**default, "id": run_id, **request})))

    def elsewhere(self, code: str, *arguments: object) -> subprocess.Popen[bytes]:
        """Another process that runs ``code``."""
        return subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": _PACKAGE},
            stdout=subprocess.PIPE,
        )

    def said(self, process: subprocess.Popen[bytes]) -> str:
        """All that another process printed; it must have ended well."""
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        return out.decode()

    # Workspaces and runs

    def test_a_workspace_is_found_from_below(self, folder: WorkspaceFolder) -> None:
        below = folder.project / "a/b"
        below.mkdir(parents=True)
        found = WorkspaceFolder.find(below)
        assert found is not None
        assert found.record == folder.record

    def test_a_request_is_kept_as_it_is(self, folder: WorkspaceFolder) -> None:
        run = self.new_run(folder, "one", tags={"a": "ü", "b": None}, properties={"p": "1"})
        again = Run(str(folder.runs / "one"))
        assert (again.id, again.tags, again.properties) == (
            "one",
            {"a": "ü", "b": None},
            {"p": "1"},
        )
        assert run.get_status() == "NotStarted"

    def test_an_id_is_given_once(self, folder: WorkspaceFolder) -> None:
        self.new_run(folder, "one")
        with pytest.raises(UserErrorException, match="one"):
            self.new_run(folder, "one")

    def test_numbers_are_unique_across_processes(self, folder: WorkspaceFolder) -> None:
        code = (
            "import sys\nfrom pathlib import Path\nfrom aml_jupyter.store import WorkspaceFolder\n"
            "folder = WorkspaceFolder(Path(sys.argv[1]))\n"
            "print(*[folder.next_number('e') for _ in range(50)])"
        )
        processes = [self.elsewhere(code, folder.root) for _ in range(3)]
        numbers = [int(n) for process in processes for n in self.said(process).split()]
        assert sorted(numbers) == list(range(1, 151))

    def test_a_copied_run_is_the_same_run(self, folder: WorkspaceFolder, place: Path) -> None:
        run = self.new_run(folder, "one")
        run.log("x", 1.5)
        run.tag("a", "b")
        run.complete()
        other = WorkspaceFolder.create(place / "other")
        shutil.copytree(folder.runs / "one", other.runs / "one")
        copy = Run(str(Index(other).locate("one")))
        assert copy.get_metrics() == {"x": 1.5}
        assert (copy.get_status(), copy.tags) == ("Completed", {"a": "b"})

    # Events

    def test_events_of_many_processes_are_all_there(self, folder: WorkspaceFolder) -> None:
        self.new_run(folder, "one")
        code = (
            "import sys\nfrom aml_jupyter.job import events\n"
            "for n in range(100): events.append(sys.argv[1], 'tags', set={sys.argv[2]: str(n)})"
        )
        processes = [self.elsewhere(code, folder.runs / "one", name) for name in "abc"]
        for process in processes:
            self.said(process)
        found, _ = events.read(str(folder.runs / "one"))
        for name in "abc":
            own = [event["set"][name] for event in found if name in event["set"]]
            assert own == [str(n) for n in range(100)]

    def test_a_reader_follows_what_another_process_writes(self, folder: WorkspaceFolder) -> None:
        self.new_run(folder, "one")
        code = (
            "import sys\nfrom aml_jupyter.job.run import Run\nrun = Run(sys.argv[1])\nrun.start()\n"
            "for n in range(2000): run.log('x', float(n))\nrun.complete()"
        )
        process = self.elsewhere(code, folder.runs / "one")
        feed = MetricFeed(folder.runs / "one" / layout.METRICS)
        until = time.monotonic() + self.patience
        while process.poll() is None:
            assert time.monotonic() < until
            feed.poll()
            time.sleep(0.01)
        self.said(process)
        feed.poll(final=True)
        (line,) = feed.lines("x")
        assert (line.count, line.last) == (2000, 1999.0)

    # Metrics

    @pytest.mark.parametrize("mapped", [None, False], ids=["as is right here", "written"])
    def test_metrics_come_back_exactly(self, mapped: bool | None, folder: WorkspaceFolder) -> None:
        place = str(folder.runs / "metrics")
        writer = MetricWriter(place, mapped)
        for number in range(5000):
            writer.number("float", number / 3)
            writer.number("int", number, step=number)
        writer.other("list", "list", [1, None, "ü"])
        found = metrics.read_all(place)
        assert [e["value"] for e in found["float"]] == [n / 3 for n in range(5000)]
        assert [e["value"] for e in found["int"]] == list(range(5000))
        assert [e["value"] for e in found["list"]] == [[1, None, "ü"]]

    # Snapshots

    def test_a_snapshot_comes_back_byte_for_byte(
        self, folder: WorkspaceFolder, place: Path
    ) -> None:
        source, target = place / "source", place / "target"
        content = {"a.py": b"print(1)", "data/b.bin": bytes(range(256)), "empty": b""}
        content["large"] = os.urandom(3_000_000)
        for name, data in content.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(data)
        taken = snapshots.take(source, Objects(folder.objects))
        target.mkdir()
        snapshots.lay_out(taken.id, Objects(folder.objects), target)
        assert {name: (target / name).read_bytes() for name in content} == content
        assert snapshots.take(source, Objects(folder.objects)).id == taken.id

    def test_a_snapshot_of_nothing_that_exists_is_refused(
        self, folder: WorkspaceFolder, place: Path
    ) -> None:
        with pytest.raises(SnapshotException):
            snapshots.take(place / "missing", Objects(folder.objects))

    # The index

    def test_the_index_answers_by_experiment_state_tag_and_metric(
        self, folder: WorkspaceFolder
    ) -> None:
        for number in range(6):
            run = self.new_run(folder, f"run{number}", experiment="ab"[number % 2], created=number)
            run.log("x", number % 3)
            run.tag("parity", number % 2)
            if number < 4:
                run.complete()
        found = Index(folder)

        def ids(**query: Any) -> list[str]:
            return [summary.id for summary in found.find(Query(**query))]

        assert ids(experiment="a") == ["run4", "run2", "run0"]
        assert ids(state="Completed") == ["run3", "run2", "run1", "run0"]
        assert ids(tag="parity", tag_value="1") == ["run5", "run3", "run1"]
        assert {found.find(Query(by_metric="x"))[0].metrics["x"]} == {2}
        assert ids(limit=2, offset=1) == ["run4", "run3"]

    def test_the_index_sees_what_other_processes_do(self, folder: WorkspaceFolder) -> None:
        found = Index(folder)
        assert found.count() == 0
        code = (
            "import sys\nfrom pathlib import Path\nfrom aml_jupyter.store import WorkspaceFolder\n"
            "from aml_jupyter.job.run import Run\nfolder = WorkspaceFolder(Path(sys.argv[1]))\n"
            "request = {'format': 1, 'id': 'new', 'experiment': 'e'}\n"
            "run = Run(str(folder.new_run(request)))\nrun.log('x', 3)\nrun.complete()"
        )
        self.said(self.elsewhere(code, folder.root))
        (summary,) = found.find(Query())
        assert (summary.id, summary.status, summary.metrics) == ("new", "Completed", {"x": 3})

    def test_a_lost_index_loses_nothing(self, folder: WorkspaceFolder) -> None:
        for number in range(5):
            self.new_run(folder, f"run{number}", created=number).log("x", number)
        found = Index(folder)
        before = found.find(Query())
        for path in folder.root.glob("index.*"):
            path.unlink()
        assert found.find(Query()) == before
        assert Index(folder).find(Query()) == before

    def test_a_deleted_run_is_gone(self, folder: WorkspaceFolder) -> None:
        self.new_run(folder, "one").complete()
        self.new_run(folder, "two").complete()
        found = Index(folder)
        delete_run(folder.runs / "one")
        folder.note("one")
        assert [summary.id for summary in found.find(Query())] == ["two"]
        with pytest.raises(UserErrorException, match="no run 'one'"):
            found.locate("one")

    def test_a_run_is_found_by_the_beginning_of_its_id(self, folder: WorkspaceFolder) -> None:
        for name in ("abc_1", "abc_2", "abd"):
            self.new_run(folder, name)
        found = Index(folder)
        assert found.locate("abd") == found.locate("abd"[:3]) == folder.runs / "abd"
        assert found.locate("abc_1") == folder.runs / "abc_1"
        with pytest.raises(UserErrorException, match="Several runs"):
            found.locate("abc")

    def test_children_are_found_below_their_parents(self, folder: WorkspaceFolder) -> None:
        run = self.new_run(folder, "one")
        with run.child_run() as child:
            child.log("x", 1)
        folder.note("one")
        found = Index(folder)
        (below,) = found.find(Query(parent="one"))
        assert (below.id, below.metrics) == (child.id, {"x": 1})
        assert found.locate(child.id) == folder.runs / "one" / layout.CHILDREN / child.id
        assert [summary.id for summary in found.find(Query(top_level=True))] == ["one"]
