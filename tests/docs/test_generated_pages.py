import re
import tomllib
from pathlib import Path

import pytest

from ncaudit.api.sections import SECTIONS
from ncaudit.api.settle import settle
from tests.docs.generated_pages import BEGIN, DOCS, END, cli_page, with_sections


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_page_of_the_command_line_is_current() -> None:
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == cli_page()


def test_the_sections_of_config_files_in_docs_are_current() -> None:
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert BEGIN in text
    assert END in text
    assert text == with_sections(text)


def test_every_config_file_shown_is_accepted(tmp_path: Path) -> None:
    shown = blocks("configuration.md", "toml")
    assert len(shown) == 1 + len(SECTIONS)
    for text in shown:
        file = tmp_path / "ncaudit.toml"
        file.write_text(text)
        for command in tomllib.loads(text):
            settle(SECTIONS[command], {}, file)


@pytest.mark.parametrize("page", ["python-api.md", "plugins.md"])
def test_the_python_shown_can_be_read(page: str) -> None:
    shown = blocks(page, "python")
    assert shown
    for text in shown:
        compile(text, page, "exec")
