"""The documentation says what is so: commands exist, links lead somewhere, reasons are listed."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer  # noqa: TID251 - the command line is what is documented

from ncaudit.cli._app import app
from ncaudit.errors import NcauditError
from ncaudit.types import Status

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Pages written or generated elsewhere, which may come later than a link to them.
COMMAND = typer.main.get_command(app)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def commands_of(text: str) -> Iterator[str]:
    """Yield each `ncaudit ...` in code blocks and in code spans."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [part for block in blocks for line in block.splitlines() for part in line.split("&&")]
    spans = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for line in (*lines, *spans):
        words = re.sub(r"\s+", " ", line.strip())
        if re.match(r"(\.venv/bin/)?ncaudit ", words):
            yield words


def anchors(text: str) -> set[str]:
    """Return the anchors that a forge gives to the headings."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def check(line: str) -> None:
    """Parse a command line as the command does, without running it."""
    _, name, *words = shlex.split(line)
    with COMMAND.make_context("ncaudit", [name, *words], resilient_parsing=True) as context:
        command = COMMAND.get_command(context, name)  # type: ignore[attr-defined]
        assert command is not None, f"no such command: {name}"
        # A command may be shown by its name alone, without what it needs.
        command.make_context(name, list(words), parent=context, resilient_parsing=not words)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_shown_can_be_typed(page: Path) -> None:
    for line in commands_of(page.read_text(encoding="utf-8")):
        check(line)


def test_commands_that_cannot_be_typed_are_noticed() -> None:
    for line in (
        "ncaudit frobnicate",
        "ncaudit score shards/ --frobnicate",
        "ncaudit clean a b c",
    ):
        with pytest.raises(Exception, match=r"(?i)frobnicate|unexpected"):
            check(line)


def test_the_readme_shows_commands() -> None:
    shown = {line.split()[1] for line in commands_of(PAGES[0].read_text(encoding="utf-8"))}
    assert shown >= {"demo", "score", "clean", "train", "doctor"}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor and file.suffix == ".md" and file.exists():
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_file_of_the_code_that_is_named_exists(page: Path) -> None:
    for path in re.findall(r"`((?:ncaudit|tests|examples)/[\w./]+)`", page.read_text("utf-8")):
        assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_operations_explain_every_status() -> None:
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    table = text.partition("## Reject reasons")[2].partition("## Faults")[0]
    listed = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(listed) == sorted(str(status) for status in Status)


def test_operations_explain_every_exit_code() -> None:
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    codes = {error.exit_code for error in NcauditError.__subclasses__()}
    assert listed == {0, 1} | codes


def test_decisions_are_numbered_short_and_have_a_status() -> None:
    pages = sorted((ROOT / "docs/adr").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{n + 1:04d}" for n in range(len(pages))]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert re.search(r"^Status: \w+", text, re.MULTILINE), page.name
        assert len(text.splitlines()) <= 40, page.name
