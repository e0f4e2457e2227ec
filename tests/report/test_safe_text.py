import pytest
from hypothesis import given, strategies as st

from ncaudit.report.safe_text import escape_controls, safe_cell


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\\t=1"),
        ("\rx", "'\\rx"),
        ("  =1", "'  =1"),
        ("\n=1", "'\\n=1"),
        ("\u00a0\u200b=1", "'\u00a0\u200b=1"),
        ("＝1", "'＝1"),
        ("＋1", "'＋1"),
        ("－1", "'－1"),
        ("＠x", "'＠x"),
        ("a = b", "a = b"),
        ("'=1", "'=1"),
        ("", ""),
        ("a\nb", "a\\nb"),
        ("a\x1b[31mb\x9b", "a\\x1b[31mb\\x9b"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("a\u2028b", "a\\u2028b"),
        ("日本 é 🙂", "日本 é 🙂"),
    ],
)
def test_a_cell_is_one_line_that_starts_no_formula(text: str, cell: str) -> None:
    assert safe_cell(text) == cell


@given(st.text())
def test_no_text_starts_a_formula_or_breaks_the_line(text: str) -> None:
    cell = safe_cell(text)
    assert cell.lstrip()[:1] not in tuple("=+-@\t\r＝＋－＠")
    assert len(cell.splitlines()) <= 1
    assert all(character >= " " for character in cell)


def test_newlines_may_stay_and_surrogates_never_do() -> None:
    assert escape_controls("a\nb\r\udc80", keep_newlines=True) == "a\nb\\r\\udc80"
