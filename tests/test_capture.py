"""A notebook cell becomes files that do the same elsewhere, or an error that says why not."""

from __future__ import annotations

import contextlib
import io
import linecache
import pickle
import subprocess
import sys
import threading
import traceback
from itertools import count
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell

from aml_jupyter.errors import CaptureError
from aml_jupyter.notebook import prelude
from aml_jupyter.notebook.capture import Capture, capture
from aml_jupyter.notebook.sources import NotebookSources

_numbers = count(1)


class Notebook:
    """Runs cells as a kernel does and remembers their source the same way."""

    def __init__(self, *cells: str, folder: str | Path = ".") -> None:
        self.namespace: dict[str, object] = {"__name__": "__main__"}
        self.cells: list[tuple[str, str]] = []
        self.folders: list[str | Path] = []
        for cell in cells:
            self.run(cell)

    def run(self, cell: str) -> str:
        name = f"<cell {next(_numbers)}>"
        linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
        self.cells.append((f"cell [{len(self.cells) + 1}]", cell))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(cell, name, "exec", dont_inherit=True), self.namespace)
        return printed.getvalue()

    def capture(self, cell: str, **options: object) -> Capture:
        sources = NotebookSources(self.cells, self.folders)
        return capture(cell, self.namespace, sources=sources, **options)  # type: ignore[arg-type]


def run_elsewhere(made: Capture, folder: Path) -> subprocess.CompletedProcess[str]:
    for name, data in made.files.items():
        (folder / name).write_bytes(data)
    return subprocess.run(
        [sys.executable, made.script], cwd=folder, capture_output=True, text=True, check=False
    )


def printed_elsewhere(made: Capture, folder: Path) -> str:
    done = run_elsewhere(made, folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_cell_that_needs_nothing_runs_as_it_is(tmp_path: Path) -> None:
    made = Notebook().capture("print('hello')\n")
    assert set(made.files) == {"cell.py", "aml_prelude.py"}
    assert printed_elsewhere(made, tmp_path) == "hello\n"


def test_imports_are_made_again_with_their_aliases(tmp_path: Path) -> None:
    notebook = Notebook(
        "import json as j, math\nimport xml\nimport xml.etree.ElementTree\nimport os.path\n"
        "import concurrent.futures as cf\nfrom collections import OrderedDict as OD, deque\n"
    )
    made = notebook.capture(
        "print(j.dumps([1]), math.pi, OD, deque, os.path.sep, cf.ThreadPoolExecutor.__name__)\n"
        "print(xml.etree.ElementTree.fromstring('<a/>').tag)"
    )
    assert "import json as j" in made.files["aml_prelude.py"].decode()
    assert "from collections import OrderedDict as OD" in made.files["aml_prelude.py"].decode()
    assert printed_elsewhere(made, tmp_path).endswith("ThreadPoolExecutor\na\n")


def test_what_a_star_import_brought_is_found_where_it_lives(tmp_path: Path) -> None:
    made = Notebook("from math import *").capture("print(floor(sqrt(17)), pi > 3)")
    assert printed_elsewhere(made, tmp_path) == "4 True\n"


def test_functions_and_classes_travel_as_source_with_what_they_need(tmp_path: Path) -> None:
    notebook = Notebook(
        "import math\nfrom dataclasses import dataclass\nscale = 3\nunused = object()",
        "def twice(f):\n    # doubles\n    return lambda x: 2 * f(x)",
        "@twice\ndef area(r: float, pi=math.pi):\n    return round(scale * pi * r * r, 3)",
        "class Base:\n    size = scale\n",
        "@dataclass\nclass Box(Base):\n    w: int = scale\n    def area(self):\n"
        "        return area(self.w)",
        "square = lambda x: x * x * scale",
    )
    made = notebook.capture("print(area(2), Box().area(), Box.size, square(4))")
    source = made.files["aml_prelude.py"].decode()
    assert "# doubles" in source
    assert "# from cell [3]\n@twice" in source
    assert "unused" not in source
    assert printed_elsewhere(made, tmp_path) == notebook.run(
        "print(area(2), Box().area(), Box.size, square(4))"
    )


def test_functions_that_need_each_other_both_travel(tmp_path: Path) -> None:
    notebook = Notebook(
        "def even(n): return n == 0 or odd(n - 1)", "def odd(n): return n != 0 and even(n - 1)"
    )
    assert printed_elsewhere(notebook.capture("print(even(10))"), tmp_path) == "True\n"


def test_an_alias_of_a_function_brings_the_function(tmp_path: Path) -> None:
    notebook = Notebook("def f(x): return x + 1\n", "g = f\n")
    assert printed_elsewhere(notebook.capture("print(g(1))"), tmp_path) == "2\n"


def test_a_function_defined_inside_an_if_travels_without_its_indentation(tmp_path: Path) -> None:
    notebook = Notebook("if True:\n    def f():\n        return '''a\n  b'''\n")
    assert printed_elsewhere(notebook.capture("print(f())"), tmp_path) == "a\n  b\n"


PLAIN = {
    "nothing": None,
    "flag": True,
    "count": 7,
    "huge": -(10**5000),
    "rate": 1e-3,
    "odd_floats": [float("inf"), float("-inf")],
    "text": "ä'\"\n\\ \ud800",
    "raw": b"\x00\xff",
    "nested": {"a": [1, (2,), ()], (1, "b"): {3}, None: frozenset({4}), "e": [set(), frozenset()]},
    "path": Path("a b/c"),
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_values_come_back_as_they_were(name: str, tmp_path: Path) -> None:
    notebook = Notebook()
    notebook.namespace[name] = PLAIN[name]
    made = notebook.capture(f"import pickle, sys; sys.stdout.write(pickle.dumps({name}).hex())")
    back = pickle.loads(bytes.fromhex(printed_elsewhere(made, tmp_path)))
    assert back == PLAIN[name]
    assert type(back) is type(PLAIN[name])


def test_numpy_scalars_are_sent_as_numbers(tmp_path: Path) -> None:
    notebook = Notebook()
    notebook.namespace["best"] = np.float64(0.25)
    assert printed_elsewhere(notebook.capture("print(best)"), tmp_path) == "0.25\n"


def test_two_names_for_one_list_stay_one_list(tmp_path: Path) -> None:
    notebook = Notebook("a = [1]\nb = a")
    assert printed_elsewhere(notebook.capture("a.append(2); print(b)"), tmp_path) == "[1, 2]\n"


def test_what_the_cell_makes_itself_is_not_taken_along() -> None:
    notebook = Notebook("data = object(); x = 5; best = object()")
    made = notebook.capture(
        "data = [1, 2]\nfor x in data: print(x)\nprint([y for y in data])\n"
        "with open('/dev/null') as f: size = len(data)\nprint(size)"
    )
    assert not made.items


def test_a_name_that_may_or_may_not_be_set_in_the_cell_is_sent(tmp_path: Path) -> None:
    notebook = Notebook("debug = False; epochs = 3")
    cell = "if debug:\n    epochs = 1\nprint(epochs)"
    assert printed_elsewhere(notebook.capture(cell), tmp_path) == "3\n"


def test_a_result_of_an_earlier_try_of_the_same_cell_does_not_stop_it() -> None:
    notebook = Notebook("best = object()")
    made = notebook.capture("for i in range(3):\n    if i > 1: best = i\nprint(best)")
    assert any("best" in note for note in made.notes)


def test_a_name_used_before_it_is_set_is_needed(tmp_path: Path) -> None:
    notebook = Notebook("total = 10")
    made = notebook.capture("total = total + 1\nprint(total)")
    assert printed_elsewhere(made, tmp_path) == "11\n"


def test_a_name_that_cannot_be_sent_is_refused_with_type_size_and_remedy() -> None:
    notebook = Notebook()
    notebook.namespace["table"] = np.zeros((1000, 30))
    with pytest.raises(CaptureError) as caught:
        notebook.capture("x = 1\nprint(table.sum())")
    assert "table (numpy.ndarray, 240 kB)" in caught.value.message
    assert "line 3" in caught.value.message
    assert "--with table" in caught.value.hint
    assert len(str(caught.value).splitlines()) == 2


def test_a_missing_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(CaptureError, match=r"learning_rte.*\n.*learning_rate"):
        Notebook("learning_rate = 1").capture("print(learning_rte)")


def test_a_missing_name_inside_a_function_names_the_function() -> None:
    with pytest.raises(CaptureError, match=r"helper.*used by f"):
        Notebook("def f(): return helper()").capture("f()")


def test_all_problems_are_told_at_once() -> None:
    notebook = Notebook("import threading\na = threading.Lock(); b = object()")
    with pytest.raises(CaptureError, match=r"a \(_thread.*b \(object"):
        notebook.capture("print(a, b)")


def test_with_sends_an_object_pickled(tmp_path: Path) -> None:
    notebook = Notebook()
    notebook.namespace["table"] = np.arange(4)
    made = notebook.capture("print(table.sum())", with_names=["table"])
    assert "aml_values.pkl" in made.files
    assert "table (numpy.ndarray" in made.card().text
    assert printed_elsewhere(made, tmp_path) == "6\n"


def test_an_object_sent_pickled_is_of_the_class_sent_as_source(tmp_path: Path) -> None:
    notebook = Notebook("class P:\n    pass\n", "p = P()")
    made = notebook.capture("print(isinstance(p, P))", with_names=["p"])
    assert printed_elsewhere(made, tmp_path) == "True\n"


def test_a_default_that_was_pickled_is_there_in_time(tmp_path: Path) -> None:
    notebook = Notebook(
        "import types\nspace = types.SimpleNamespace(x=4)", "def f(s=space): return s.x"
    )
    made = notebook.capture("print(f())", with_names=["space"])
    assert printed_elsewhere(made, tmp_path) == "4\n"


def test_a_pickle_of_another_python_says_so(tmp_path: Path) -> None:
    notebook = Notebook("import types\nspace = types.SimpleNamespace(x=4)")
    made = notebook.capture("print(space.x)", with_names=["space"])
    written = f"{sys.version_info[0]}, {sys.version_info[1]}"
    source = made.files["aml_prelude.py"].replace(written.encode(), b"3, 7")
    files = {**made.files, "aml_prelude.py": source}
    done = run_elsewhere(Capture(made.script, files, (), (), ()), tmp_path)
    assert "this is Python 3." in done.stderr
    assert "use an environment with Python" in done.stderr


def test_what_cannot_be_pickled_is_refused() -> None:
    notebook = Notebook()
    notebook.namespace["lock"] = threading.Lock()
    with pytest.raises(CaptureError, match=r"lock .*cannot be pickled"):
        notebook.capture("print(lock)", with_names=["lock"])


def test_a_closure_is_refused_and_goes_with_with(tmp_path: Path) -> None:
    notebook = Notebook(
        "def make(n):\n    def add(x): return x + n\n    return add\nadd2 = make(2)"
    )
    with pytest.raises(CaptureError, match=r"add2.*made inside make\(\)"):
        notebook.capture("print(add2(1))")
    made = notebook.capture("print(add2(1))", with_names=["add2"])
    assert printed_elsewhere(made, tmp_path) == "3\n"


def test_a_secret_is_sent_only_when_named() -> None:
    notebook = Notebook("api_key = 's3cret'; tokenizer = 'bpe'; max_tokens = 5")
    with pytest.raises(CaptureError, match="api_key, which looks like a secret"):
        notebook.capture("print(api_key)")
    made = notebook.capture("print(api_key, tokenizer, max_tokens)", with_names=["api_key"])
    assert "s3cret" not in made.card().text


def test_a_name_for_with_that_does_not_exist_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"modle.*\n.*did you mean `model`"):
        Notebook("model = 1").capture("pass", with_names=["modle"])


def test_out_keeps_the_variables_for_the_notebook(tmp_path: Path) -> None:
    notebook = Notebook("class P:\n    pass\n")
    made = notebook.capture("import os\na, b = 1, P()\nos.chdir('/')", out_names=["a", "b"])
    assert printed_elsewhere(made, tmp_path) == ""
    data = (tmp_path / "outputs" / "aml_out.pkl").read_bytes()
    found = prelude.unpickled(data, notebook.namespace)
    assert found["a"] == 1
    assert type(found["b"]) is not None


def test_out_of_an_object_is_of_the_notebooks_own_class(tmp_path: Path) -> None:
    notebook = Notebook("class P:\n    pass\n")
    printed_elsewhere(notebook.capture("p = P()", out_names=["p"]), tmp_path)
    data = (tmp_path / "outputs" / "aml_out.pkl").read_bytes()
    assert type(prelude.unpickled(data, notebook.namespace)["p"]) is notebook.namespace["P"]


def test_out_of_a_variable_that_was_never_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"resutl for --out.*\n.*--out result"):
        Notebook().capture("result = 1", out_names=["resutl"])
    made = Notebook().capture("if 0 > len('a'): result = 1", out_names=["result"])
    assert "--out asked for result" in run_elsewhere(made, tmp_path).stderr


def test_a_traceback_points_at_the_line_of_the_cell(tmp_path: Path) -> None:
    made = Notebook().capture("\n\nx = 1\n1 / 0\n", out_names=["x"])
    assert 'cell.py", line 5, in <module>' in run_elsewhere(made, tmp_path).stderr


def test_a_future_statement_keeps_its_effect_and_the_lines_their_numbers(tmp_path: Path) -> None:
    cell = "from __future__ import annotations\ndef f(x: Unknown): return 1\nprint(f(1)); 1 / 0"
    done = run_elsewhere(Notebook().capture(cell), tmp_path)
    assert done.stdout == "1\n"
    assert 'cell.py", line 4' in done.stderr


def test_a_future_statement_of_the_session_holds_in_the_cell(tmp_path: Path) -> None:
    notebook = Notebook("from __future__ import annotations\ndef f(x: Unknown): return 1")
    assert (
        printed_elsewhere(notebook.capture("def g(y: Other): return f(1)\nprint(g(2))"), tmp_path)
        == "1\n"
    )


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("!ls -l", "!ls -l"),
        ("%time x = 1", "%time x = 1"),
        ("files = !ls", "!ls"),
        ("len?", "len?"),
    ],
)
def test_a_line_for_ipython_is_refused_by_its_number(line: str, shown: str) -> None:
    cell = InteractiveShell.instance().transform_cell(f"x = 1\n{line}\n")
    with pytest.raises(CaptureError) as caught:
        capture(cell, {})
    assert f"`{shown}` in line 3" in caught.value.message


def test_a_display_magic_is_left_out_with_a_note(tmp_path: Path) -> None:
    cell = InteractiveShell.instance().transform_cell("%matplotlib inline\nprint(1)\n")
    made = capture(cell, {})
    assert made.notes == ("%matplotlib inline was left out",)
    assert printed_elsewhere(made, tmp_path) == "1\n"


def test_a_syntax_error_is_told_with_its_line() -> None:
    with pytest.raises(CaptureError, match="line 3"):
        capture("x = 1\nfor in x\n", {})


def test_await_outside_a_function_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"await.*\n.*asyncio.run"):
        capture("import asyncio\nawait asyncio.sleep(0)\n", {})


def test_a_module_beside_the_notebook_asks_for_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside_me.py").write_text("x = 7\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    notebook = Notebook("import beside_me")
    for cell in ("print(beside_me.x)", "import beside_me\nprint(beside_me.x)"):
        with pytest.raises(CaptureError, match=r"beside_me.*\n.*--source"):
            notebook.capture(cell)
    notebook.folders = [tmp_path]
    assert printed_elsewhere(notebook.capture("print(beside_me.x)"), tmp_path) == "7\n"


def test_a_module_made_by_hand_is_refused() -> None:
    notebook = Notebook()
    notebook.namespace["made"] = ModuleType("made")
    with pytest.raises(CaptureError, match="made"):
        notebook.capture("made.x")


def test_ipythons_own_names_are_those_of_every_python() -> None:
    shell = InteractiveShell.instance()
    made = capture("with open('x') as f: display(exit)\n", shell.user_ns)
    assert [item.name for item in made.items] == ["display"]


def test_the_card_lists_what_was_taken() -> None:
    notebook = Notebook("import math\nlr = 0.1\ndef f(): return math.pi * lr\n")
    card = notebook.capture("loss = f()", out_names=["loss"]).card()
    assert "import math" in card.text
    assert "f (cell [1])" in card.text
    assert "lr (float, 3 B)" in card.text
    assert "comes back" in card.html


# Cells are built from pieces that use each other's names, so that most of them need much.

NAMES = ("a", "b", "c")
EXPRESSIONS = """
a + b; f(a) + c; [a for a in range(c % 4)]; (lambda z: z + b)(a); K(c).value; g(b); h()
sum(x * b for x in range(a % 5)); {k: f(k) for k in (a, b)}; math.floor(a / 3)
"""
expressions = st.sampled_from(EXPRESSIONS.strip().replace("\n", "; ").split("; "))
statements = st.one_of(
    st.builds("print({})".format, expressions),
    st.builds("{0} = len(str({1}))".format, st.sampled_from(NAMES), expressions),
    st.builds("{0} += {1} % 3".format, st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.builds("if a % 2:\n    {0} = 4".format, st.sampled_from(NAMES)),
    st.builds("for {0} in range(3):\n    print({1})".format, st.sampled_from(NAMES), expressions),
    st.builds("def f(x):\n    return x - {0}".format, st.sampled_from(NAMES)),
    st.just("def h():\n    global b\n    b = f(c)\n    return b"),
    st.builds(
        "class L(K):\n    top = {0}\n    {0} = top\nprint(L.{0})".format, st.sampled_from(NAMES)
    ),
)
SETTING = [
    "import math\na, b, c = 5, 7, 11\n",
    "def f(x, y=b):\n    return x * c + y\n",
    "import functools\n\n@functools.lru_cache\ndef g(x):\n    return math.gcd(x, f(a))\n",
    "class K:\n    start = a\n    def __init__(self, v):\n        self.value = f(v) + self.start\n",
    "def h():\n    return [g(i) for i in range(a % 4)]\n",
]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(statements, min_size=1, max_size=6))
def test_a_captured_cell_prints_what_it_prints_in_the_notebook(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
) -> None:
    cell = "\n".join(parts)
    made = Notebook(*SETTING).capture(cell)
    there = run_elsewhere(made, tmp_path_factory.mktemp("cell"))
    try:
        here = Notebook(*SETTING).run(cell)
    except Exception:  # noqa: BLE001 (any cell may fail, then both must)
        assert traceback.format_exc().splitlines()[-1] in there.stderr
    else:
        assert there.stdout == here, there.stderr
