import socket
import sys
from pathlib import Path

import pytest

from tests.support.audits import ncaudit
from tests.support.scored_runs import many_pairs, write_scored_run


def test_a_review_without_flask_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "flask", None)
    run = write_scored_run(tmp_path, *many_pairs(10))
    done = ncaudit("review", run, "--no-open")
    assert (done.exit_code, "ncaudit[review]" in done.stderr) == (2, True)


def test_a_port_in_use_is_exit_2_with_a_hint(tmp_path: Path) -> None:
    run = write_scored_run(tmp_path, *many_pairs(10))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = ncaudit("review", run, "--no-open", "--port", port)
    assert (done.exit_code, "Choose another with --port" in done.stderr) == (2, True)


def test_a_folder_that_is_no_run_is_left_as_it_is(tmp_path: Path) -> None:
    assert ncaudit("review", tmp_path, "--no-open").exit_code == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["explain", "report", "review"])
def test_the_commands_have_help_under_both_names(command: str) -> None:
    short, long = ncaudit(command, "-h"), ncaudit(command, "--help")
    assert (short.exit_code, short.output) == (0, long.output)
