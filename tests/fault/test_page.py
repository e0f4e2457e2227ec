from tests.fault.page import BEGIN, END, PAGE, with_tables


def test_the_tables_in_docs_are_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert BEGIN in text
    assert END in text
    assert text == with_tables(text)
