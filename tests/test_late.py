"""What is put off until somebody needs it is not done before, and then is done as ever."""

from __future__ import annotations

import subprocess
import sys
import textwrap

IMPORTED = """
    import sys
    from aml_jupyter.nbjob.late import late_grammar
    with late_grammar():
        import nbformat
    """


def says(code: str) -> str:
    """What a process of its own prints."""
    text = textwrap.dedent(IMPORTED) + textwrap.dedent(code)
    return subprocess.check_output([sys.executable, "-c", text], text=True).strip()


def test_notebooks_are_read_without_the_grammar_of_addresses() -> None:
    assert says("print('lark' in sys.modules, 'rfc3987_syntax' in sys.modules)") == "False False"


def test_who_needs_the_grammar_has_it() -> None:
    code = """
        from jsonschema import FormatChecker
        conforms = FormatChecker().conforms
        print([conforms(text, "iri") for text in ("http://bücher.example/ä", "no address")])
        print([conforms(text, "iri-reference") for text in ("/ä", "http://a b")])
        from rfc3987_syntax import parse
        """
    assert says(code) == "[True, False]\n[True, False]"


def test_where_the_grammar_is_there_already_it_stays() -> None:
    code = """
        import rfc3987_syntax
        with late_grammar():
            print(sys.modules["rfc3987_syntax"] is rfc3987_syntax)
        print(sys.modules["rfc3987_syntax"] is rfc3987_syntax)
        """
    assert says(code) == "True\nTrue"
