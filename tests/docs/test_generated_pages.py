from tests.docs.generated_pages import BEGIN, DOCS, END, cli_page, with_sections


def test_the_page_of_the_command_line_is_current() -> None:
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == cli_page()


def test_the_sections_of_config_files_in_docs_are_current() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert BEGIN in text
    assert END in text
    assert text == with_sections(text)
