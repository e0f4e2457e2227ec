"""Paths that cannot be used are one line and one hint, whatever the command."""

from pathlib import Path

import pytest

from ncaudit.errors import OutputExistsError
from ncaudit.files import atomic_path
from tests.support.audits import ncaudit, write_striped
from tests.support.scored_runs import write_scored_run
from tests.support.shards import pair

SHARDS = {"00000": [("a", pair("red", "red")), ("b", pair("blue", "red"))]}


@pytest.mark.parametrize("out", ["file/below", "x" * 300])
@pytest.mark.parametrize(
    "words",
    [
        ["score", "shards", "--encoder", "toy-aligned", "-o"],
        ["train", "shards", "--encoder", "toy", "-o"],
        ["train", "shards", "--encoder", "toy", "-o", "model", "--cache"],
        ["clean", "run", "-o"],
        ["report", "run", "-o"],
        ["demo", "--pairs", "20", "-o"],
    ],
    ids=" ".join,
)
def test_an_output_that_cannot_be_written_is_one_line_and_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    write_striped(tmp_path, 1, 20)
    write_scored_run(tmp_path / "made", SHARDS, {}).rename(tmp_path / "run")
    done = ncaudit(*words, out, "--quiet")
    assert done.exit_code == 2, done.stderr
    first, second = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert "cannot be used: " in first
    assert second.startswith(" hint: Check the paths")


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(OutputExistsError, match="is no file"), atomic_path(tmp_path):
        pass
    with pytest.raises(OutputExistsError, match="is no file"), atomic_path(Path("/dev/null")):
        pass
    assert Path("/dev/null").is_char_device()
