import sys
from pathlib import Path

import pytest

from tests.support.audits import ncaudit
from tests.support.scored_runs import many_pairs, write_scored_run


def test_the_report_says_what_it_wrote(tmp_path: Path) -> None:
    run = write_scored_run(tmp_path, *many_pairs(10))
    done = ncaudit("report", run, "--quiet")
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["report", "size", "pairs"]
    assert (run / "report.html").is_file()


def test_a_report_of_no_run_is_exit_3(tmp_path: Path) -> None:
    assert ncaudit("report", tmp_path / "x").exit_code == 3


def test_plots_without_matplotlib_name_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    run = write_scored_run(tmp_path, *many_pairs(10))
    done = ncaudit("report", run, "--png", tmp_path / "png", "--quiet")
    assert (done.exit_code, "ncaudit[plots]" in done.stderr) == (2, True)
