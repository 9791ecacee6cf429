"""The file of a notebook that is executed: whole at every moment, and written once or twice."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import v4

from aml_jupyter.nbjob.growing import LARGEST_REPLACED, GrowingNotebook

MB = 1 << 20


def notebook(cells: int) -> Any:
    """A notebook as papermill has it at the start: nothing has been executed."""
    made = v4.new_notebook(cells=[v4.new_code_cell(f"cell({n})") for n in range(cells)])
    for cell in made.cells:
        cell.metadata["papermill"] = {"status": "pending", "duration": None}
    made.metadata["papermill"] = {"duration": None}
    return made


def said(text: str, name: str = "stdout") -> Any:
    return v4.new_output("stream", name=name, text=text)


def end(cell: Any, count: int = 1) -> None:
    cell.execution_count = count
    cell.metadata["papermill"].update(duration=0.1, status="completed")


def read(path: Path) -> Any:
    found = nbformat.reads(path.read_text(), as_version=4)
    nbformat.validate(found)
    return found


def same(path: Path, expected: Any) -> bool:
    """Whether the file holds this notebook, to the last key."""
    return bool(json.loads(path.read_text()) == json.loads(json.dumps(expected)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "report.ipynb"


@contextmanager
def watched(path: Path) -> Iterator[list[Any]]:
    """Read the file all the time, as others may; what was found to be no notebook is collected."""
    broken: list[Any] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            try:
                json.loads(path.read_bytes())
            except ValueError as error:
                broken.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield broken
    finally:
        over.set()
        thread.join()


def bytes_written() -> int:
    facts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(facts["wchar"])


def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit, "still not so"
        time.sleep(0.02)


def test_the_file_holds_the_whole_notebook_before_the_first_cell(path: Path) -> None:
    made = notebook(3)
    file = GrowingNotebook(str(path), made)
    file.save()
    assert same(path, made)
    file.close()


def test_a_notebook_without_cells_is_one_as_well(path: Path) -> None:
    file = GrowingNotebook(str(path), notebook(0))
    file.save()
    assert read(path).cells == []
    file.close()
    assert read(path).cells == []


def test_markdown_and_raw_cells_are_kept_as_they_are(path: Path) -> None:
    made = notebook(1)
    for new in (v4.new_markdown_cell, v4.new_raw_cell):
        cell = new("# Text")
        cell.metadata["papermill"] = {"status": "pending", "duration": None}
        made.cells.insert(0, cell)
    file = GrowingNotebook(str(path), made)
    file.save()
    for cell in made.cells:
        end(cell) if cell.cell_type == "code" else cell.metadata["papermill"].update(
            duration=0.0, status="completed"
        )
        file.save()
    file.close()
    assert same(path, made)
    read(path)


def test_what_a_long_cell_printed_is_there_before_its_end(path: Path) -> None:
    made = notebook(2)
    file = GrowingNotebook(str(path), made)
    file.save()
    made.cells[0].outputs.append(said("half way\n"))
    file.save_soon()
    until(lambda: "half way" in path.read_text())
    made.cells[0].outputs[0]["text"] += "nearly there\n"
    file.save_soon()
    until(lambda: "nearly there" in path.read_text())
    assert same(path, made)
    file.close()


@pytest.mark.parametrize("size", [10, MB // 2], ids=["small", "large"])
def test_at_every_moment_the_file_is_a_notebook(path: Path, size: int) -> None:
    made = notebook(30)
    file = GrowingNotebook(str(path), made)
    file.save()
    with watched(path) as broken:
        for number, cell in enumerate(made.cells):
            for _ in range(4):
                cell.outputs.append(said("x" * (size // 4) + "\n"))
                file.save_soon()
                time.sleep(0.005)
            end(cell, number)
            file.save()
        file.close()
    assert not broken
    assert same(path, made)
    read(path)
    assert os.listdir(path.parent) == [path.name]


def test_outputs_that_were_cleared_are_gone_from_the_file(path: Path) -> None:
    made = notebook(2)
    file = GrowingNotebook(str(path), made)
    outputs = made.cells[0].outputs
    file.save()
    for turn in range(5):
        if turn:
            outputs.clear()
            file.changed(0, 0)
        outputs += [said(f"{turn} a\n"), said(f"{turn} b\n", "stderr"), said(f"{turn} c\n")]
        file.save_soon()
        until(lambda turn=turn: f"{turn} c" in path.read_text())  # type: ignore[misc]
        assert same(path, made)
    file.close()


def test_a_change_in_an_earlier_cell_is_taken_over(path: Path) -> None:
    made = notebook(3)
    file = GrowingNotebook(str(path), made)
    for number, cell in enumerate(made.cells[:2]):
        cell.outputs += [v4.new_output("display_data", {"text/plain": "old"}) for _ in range(3)]
        end(cell, number)
        file.save()
    made.cells[0].outputs[1]["data"] = {"text/plain": "new and longer"}
    file.changed(0, 1)
    file.save_soon()
    until(lambda: "new and longer" in path.read_text())
    assert same(path, made)
    file.close()


@pytest.mark.slow
def test_a_large_notebook_is_written_twice_at_most_however_often_it_is_saved(path: Path) -> None:
    made = notebook(40)
    file = GrowingNotebook(str(path), made)
    before = bytes_written()
    for number, cell in enumerate(made.cells):
        for _ in range(10):
            cell.outputs.append(said("y" * (MB // 10)))
            file.save_soon()
            time.sleep(0.002)
        end(cell, number)
        file.save()
    file.close()
    size = path.stat().st_size
    assert size > 40 * MB
    assert bytes_written() - before < 2.3 * size
    assert same(path, made)


@pytest.mark.slow
def test_one_very_large_output_is_written_as_it_is(path: Path) -> None:
    made = notebook(2)
    file = GrowingNotebook(str(path), made)
    picture = "".join(map(chr, range(32, 0x3000))) * 500
    figure = {"data": [{"x": list(range(200_000)), "text": ["é\n"] * 100_000}]}
    data = {"text/html": picture, "application/json": figure, "text/plain": "p"}
    made.cells[0].outputs.append(v4.new_output("display_data", data))
    end(made.cells[0])
    file.save()
    file.close()
    assert path.stat().st_size > LARGEST_REPLACED
    assert same(path, made)


@pytest.mark.slow
def test_saving_does_not_keep_the_cells_waiting(path: Path) -> None:
    made = notebook(30)
    file = GrowingNotebook(str(path), made)
    made.cells[0].outputs.append(v4.new_output("display_data", {"text/html": "é\n" * (8 * MB)}))
    end(made.cells[0])
    longest = 0.0
    for number, cell in enumerate(made.cells[1:]):
        begun = time.monotonic()
        file.save()
        longest = max(longest, time.monotonic() - begun)
        cell.outputs.append(said("z" * 100_000))
        end(cell, number)
        time.sleep(0.01)
    file.close()
    assert longest < 0.1
    assert same(path, made)


@pytest.mark.slow
def test_a_bar_of_progress_far_above_does_not_have_all_written_again_each_time(
    path: Path,
) -> None:
    made = notebook(20)
    file = GrowingNotebook(str(path), made)
    before = bytes_written()
    bar = v4.new_output("display_data", {"text/plain": "0 %"})
    made.cells[0].outputs.append(bar)
    for number, cell in enumerate(made.cells):
        cell.outputs.append(said("y" * MB))
        for _ in range(10):
            bar["data"] = {"text/plain": f"{number * 5} %"}
            file.changed(0, 0)
            file.save_soon()
            time.sleep(0.02)
        end(cell, number)
        file.save()
    file.close()
    assert same(path, made)
    assert bytes_written() - before < 8 * path.stat().st_size


def test_a_file_that_somebody_else_wrote_to_is_written_anew(path: Path) -> None:
    made = notebook(2)
    file = GrowingNotebook(str(path), made)
    made.cells[0].outputs += [said("a" * MB), said("b" * MB)]
    file.save_soon()
    until(lambda: path.exists() and path.stat().st_size > MB)
    path.write_text("{}")
    end(made.cells[0])
    file.close()
    assert same(path, made)


def test_a_file_that_was_removed_comes_back(path: Path) -> None:
    made = notebook(2)
    file = GrowingNotebook(str(path), made)
    file.save()
    path.unlink()
    end(made.cells[0])
    file.close()
    assert same(path, made)


def test_without_a_place_to_write_to_the_cells_go_on_and_the_error_is_kept(path: Path) -> None:
    made = notebook(2)
    file = GrowingNotebook(str(path.parent / "gone" / "report.ipynb"), made)
    file.save()
    made.cells[0].outputs.append(said("a" * 2 * MB))
    end(made.cells[0])
    file.save()
    assert isinstance(file.error, FileNotFoundError)
    file.close()
    (path.parent / "gone").mkdir()
    file.close()
    assert file.error is None
    assert same(path.parent / "gone" / "report.ipynb", made)


@pytest.mark.service("mount")
def test_a_disk_that_is_full_costs_the_picture_and_no_cell(tmp_path: Path) -> None:
    import subprocess

    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=True)
    try:
        made = notebook(3)
        file = GrowingNotebook(str(place / "report.ipynb"), made)
        file.save()
        for cell in made.cells:
            cell.outputs += [said("a" * MB), said("b" * MB)]
            end(cell)
            file.save()
        file.close()
        assert isinstance(file.error, OSError)
        assert os.listdir(place) == ["report.ipynb"]
        read(place / "report.ipynb")
    finally:
        subprocess.run(["umount", place], check=True)
