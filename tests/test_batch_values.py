"""The values of a batch: how they are written, which sets they make, which a notebook takes."""

from __future__ import annotations

from pathlib import Path

import nbformat
import nbformat.v4 as v4
import pytest
from hypothesis import example, given, strategies

from aml_jupyter.errors import UserErrorException
from aml_jupyter.workspace.batch_values import (
    ZIP,
    as_grid,
    combined,
    names_of,
    parse_value,
    parse_values,
    read_table,
    written_values,
)
from aml_jupyter.workspace.notebook_parameters import Parameter, check, parameters_in


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.1,0.3,1.0", [0.1, 0.3, 1.0]),
        ("1..5", [1, 2, 3, 4, 5]),
        ("5..1", [5, 4, 3, 2, 1]),
        ("0..10..5", [0, 5, 10]),
        ("-2..0,9", [-2, -1, 0, 9]),
        ("1e-3,2E+2,.5", [1e-3, 2e2, 0.5]),
        ("cnn,rnn", ["cnn", "rnn"]),
        ("[64, 32],[128]", [[64, 32], [128]]),
        ("{a: 1, b: [2, 3]}", [{"a": 1, "b": [2, 3]}]),
        ('"a,b",c', ["a,b", "c"]),
        ('"a\\",b",c', ['a",b', "c"]),
        ("true,null", [True, None]),
        ('"1"', ["1"]),
        ("2024-01-05", ["2024-01-05"]),
        ("1..x", ["1..x"]),
        ("", [None]),
    ],
)
def test_values_are_yaml_with_commas_between(text: str, values: list[object]) -> None:
    assert parse_values(text) == values
    assert [type(value) for value in parse_values(text)] == [type(value) for value in values]


def test_what_is_no_yaml_is_refused_with_the_text() -> None:
    with pytest.raises(ValueError, match=r"\[1, 2 is no value in YAML"):
        parse_value("[1, 2")
    with pytest.raises(ValueError, match="steps of 1 or more"):
        parse_values("1..5..0")
    with pytest.raises(ValueError, match=r"1\.\.99999999999999999999 is .* a batch has 100,000"):
        parse_values("1..99999999999999999999")


def test_a_grid_has_every_value_with_every_other_in_order() -> None:
    sets = combined({"a": [1, 2], "b": ["x", "y"]})
    assert [tuple(each.values()) for each in sets] == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]


def test_zip_puts_values_side_by_side_and_one_value_beside_all() -> None:
    sets = combined({"a": [1, 2], "b": ["x", "y"], "c": [0]}, ZIP)
    assert sets == [{"a": 1, "b": "x", "c": 0}, {"a": 2, "b": "y", "c": 0}]


def test_zip_refuses_lists_of_different_lengths_and_names_them() -> None:
    with pytest.raises(UserErrorException, match="a has 2, b has 3"):
        combined({"a": [1, 2], "b": [1, 2, 3]}, ZIP)


def test_a_set_that_comes_twice_is_done_once() -> None:
    assert combined({"a": [1, 1, 2]}) == [{"a": 1}, {"a": 2}]
    assert combined({"a": [1, True, 1.0]}) == [{"a": 1}, {"a": True}, {"a": 1.0}]


def test_no_values_are_one_set() -> None:
    assert combined({}) == [{}]


def test_too_many_sets_are_refused_before_they_are_made() -> None:
    with pytest.raises(UserErrorException, match="1,000,000,000 sets"):
        combined({name: list(range(1000)) for name in "abc"})


def test_a_csv_has_a_set_in_each_line(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text('alpha, name\n0.5,cnn\n\n1e-3,"a,b"\n')
    assert read_table(str(file)) == (
        [{"alpha": 0.5, "name": "cnn"}, {"alpha": 1e-3, "name": "a,b"}],
        {},
    )


def test_a_line_of_a_csv_that_is_too_short_is_named(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("alpha,seed\n1,2\n3\n")
    with pytest.raises(UserErrorException, match="line 3: 1 values for 2 parameters"):
        read_table(str(file))


def test_yaml_is_a_list_of_sets_or_values_by_name(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("- {alpha: 0.1, seed: 1}\n- {alpha: 0.2}\n")
    assert read_table(str(file)) == ([{"alpha": 0.1, "seed": 1}, {"alpha": 0.2}], {})
    file.write_text("alpha: [0.1, 0.3]\nseed: 7\n")
    assert read_table(str(file)) == ([], {"alpha": [0.1, 0.3], "seed": [7]})


@pytest.mark.parametrize("text", ["just words", "[1, 2]", "{}", "a: [1"])
def test_yaml_that_is_neither_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(text)
    with pytest.raises(UserErrorException, match=r"t\.yaml"):
        read_table(str(file))


def test_a_table_that_is_not_there_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserErrorException, match="cannot be read"):
        read_table(str(tmp_path / "none.csv"))
    (tmp_path / "t.xlsx").write_text("x")
    with pytest.raises(UserErrorException, match=r"\.csv, \.tsv"):
        read_table(str(tmp_path / "t.xlsx"))


def test_each_line_of_a_table_goes_with_each_set_of_values() -> None:
    sets = combined({"seed": [1, 2]}, table=[{"alpha": 0.1}, {"alpha": 0.3}])
    assert sets == [
        {"alpha": 0.1, "seed": 1},
        {"alpha": 0.1, "seed": 2},
        {"alpha": 0.3, "seed": 1},
        {"alpha": 0.3, "seed": 2},
    ]


def test_a_name_tells_only_what_differs() -> None:
    sets = [{"alpha": 0.1, "seed": 1, "kind": "x"}, {"alpha": 1 / 3, "seed": 1, "kind": "x"}]
    assert names_of(sets, "report") == ["alpha=0.1", "alpha=0.333333"]
    assert names_of([{"alpha": 1}], "report") == ["report"]
    assert len(names_of([{"a": "x" * 500}, {"a": "y"}], "report")[0]) == 80


# What a notebook takes ------------------------------------------------------------------------


def written(folder: Path, parameters: str | None) -> str:
    """A notebook with this parameters cell, and where it is."""
    cells = [v4.new_code_cell("print(1)")]
    if parameters is not None:
        cells.insert(0, v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    notebook = v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "language": "python", "display_name": "P"}
    nbformat.write(notebook, folder / "report.ipynb")
    return str(folder / "report.ipynb")


def test_parameters_have_name_default_type_and_help(tmp_path: Path) -> None:
    notebook = written(tmp_path, "alpha = 0.5\nseed: int = 1  # for all of it\nname = None")
    found = {each.name: each for each in parameters_in(notebook)}
    assert found["alpha"].default == "0.5"
    assert found["alpha"].wants == "float"
    assert (found["seed"].type, found["seed"].help) == ("int", "for all of it")
    assert found["name"].wants == ""


@pytest.mark.parametrize(
    ("default", "kind", "value", "fits"),
    [
        ("0.5", "", 1, True),
        ("0.5", "", "x", False),
        ("1", "", 1.5, False),
        ("1", "", True, False),
        ("True", "", False, True),
        ("True", "", 1, False),
        ("'a'", "", "b", True),
        ("'a'", "", 1, False),
        ("[1]", "", [2], True),
        ("[1]", "List[int]", 3, False),
        ("None", "", "anything", True),
        ("None", "int", None, True),
        ("None", "int", "x", False),
        ("1", "Optional[int]", "unchecked", True),
        ("Path('x')", "", "unchecked", True),
        ("{}", "Dict[str, int]", {"a": 1}, True),
    ],
)
def test_a_value_has_to_be_of_the_type_of_its_parameter(
    default: str, kind: str, value: object, fits: bool
) -> None:
    assert (Parameter("p", default, kind).problem(value) == "") is fits


def test_an_unknown_parameter_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    notebook = written(tmp_path, "alpha = 0.5\nseed = 1")
    with pytest.raises(UserErrorException, match="no parameter 'alhpa'") as refused:
        check("report.ipynb", parameters_in(notebook), [{"alhpa": 1}])
    assert "Did you mean alpha?" in refused.value.hint


def test_a_notebook_without_parameters_says_how_to_have_some(tmp_path: Path) -> None:
    with pytest.raises(UserErrorException, match="has no parameters") as refused:
        check("report.ipynb", parameters_in(written(tmp_path, None)), [{"alpha": 1}])
    assert "tag `parameters`" in refused.value.hint


def test_a_file_that_is_no_notebook_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "broken.ipynb").write_text("{")
    with pytest.raises(UserErrorException, match="cannot be read as a notebook"):
        parameters_in(str(tmp_path / "broken.ipynb"))


# Values written again -------------------------------------------------------------------------

VALUES = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(),
    lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text(), inner),
    max_leaves=5,
)


@given(strategies.lists(VALUES, min_size=1, max_size=4))
@example(["it's", 1, "a[", 2, "b]", '"', 3])
@example([5, 3, 1, -1])
@example([True, 2, 3])
def test_values_are_written_so_that_they_are_read_again(values: list[object]) -> None:
    assert repr(parse_values(written_values(values))) == repr(values)


def test_plain_values_are_written_plainly() -> None:
    assert written_values([0.1, 3, "cnn", True, "1..5", "a,b"]) == '0.1,3,cnn,true,"1..5","a,b"'
    assert written_values([1, 2]) == "1,2"
    assert written_values([1, 2, 3]) == "1..3"
    assert written_values([-9, -6, -3, 0]) == "-9..0..3"
    assert written_values([6, 4, 2]) == "6..2..2"
    assert written_values([1, 2, 4]) == "1,2,4"
    assert written_values([1, 1, 1]) == "1,1,1"


@pytest.mark.parametrize(
    "values",
    [{"a": [0.1, 0.3], "b": [1, 2, 3]}, {"a": ["x"]}, {"a": [1, 1.0, True]}, {}],
    ids=repr,
)
def test_a_grid_is_known_by_its_sets(values: dict[str, list[object]]) -> None:
    assert repr(as_grid(combined(values))) == repr(values)


@pytest.mark.parametrize(
    "sets",
    [
        [{"a": 1, "b": 1}, {"a": 2, "b": 2}],
        [{"a": 1}, {"b": 1}],
        [{"a": 1, "b": 1}, {"a": 1}],
        [{"a": 1, "b": 2}, {"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 2, "b": 2}],
    ],
    ids=["side by side", "other names", "a name less", "another order"],
)
def test_other_sets_are_no_grid(sets: list[dict[str, object]]) -> None:
    assert as_grid(sets) is None
