from datetime import UTC, datetime
from pathlib import Path

import pytest

from ncaudit.audit.decide import Human
from ncaudit.audit.review_verdicts import (
    VerdictLog,
    pair_name,
    read_verdict_rows,
    sole_reviewer,
)
from ncaudit.audit.verdicts import read_verdicts
from ncaudit.errors import ConfigError, OutputExistsError

HEADER = "shard,key,caption_index,verdict,weight,stratum,decided_at\n"
A, B = pair_name("00000", "a", 0), pair_name("00000", "b", 0)
TIME = "2026-01-31T12:00:00Z"


def log(path: Path) -> VerdictLog:
    return VerdictLog(path, lambda: datetime(2026, 1, 31, 12, tzinfo=UTC))


def test_a_verdict_is_a_line_on_disk_when_decide_returns(tmp_path: Path) -> None:
    log(tmp_path / "v.csv").decide(A, "match", weight=2.5, stratum="0.0-0.1")
    assert (tmp_path / "v.csv").read_text() == f"{HEADER}00000,a,0,match,2.5,0.0-0.1,{TIME}\n"


def test_the_last_verdict_about_a_pair_stands_alone(tmp_path: Path) -> None:
    verdicts = log(tmp_path / "v.csv")
    verdicts.decide(A, "match", weight=1, stratum="")
    verdicts.decide(B, "unsure", weight=1, stratum="")
    verdicts.decide(A, "mismatch", weight=1, stratum="")
    assert [x.verdict for x in read_verdict_rows(tmp_path / "v.csv").values()] == [
        "unsure",
        "mismatch",
    ]


def test_what_is_taken_back_is_gone_from_disk(tmp_path: Path) -> None:
    verdicts = log(tmp_path / "v.csv")
    verdicts.decide(A, "match", weight=1, stratum="")
    verdicts.take_back(A)
    assert (tmp_path / "v.csv").read_text() == HEADER


def test_a_line_that_was_being_written_when_the_process_died_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    whole = f"00000,a,0,match,2.5,0.0-0.1,{TIME}\n"
    for torn in ("00000,b,0,mat", "00000,b,0,match,2.5", "00000,b,0,match,2.5,,2026-01-3", '"0'):
        path.write_text(HEADER + whole + torn)
        assert list(read_verdict_rows(path)) == [A]
        log(path)
        assert path.read_text() == HEADER + whole


def test_a_whole_last_line_needs_no_line_end(tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    path.write_text("shard,key,caption_index,verdict\n00000,a,0,match\n00000,b,0,mismatch")
    assert [x.verdict for x in read_verdict_rows(path).values()] == ["match", "mismatch"]


def test_files_with_four_columns_are_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    path.write_text("shard,key,caption_index,verdict\n00000,a,0,match\n")
    log(path).decide(B, "mismatch", weight=3, stratum="0.9-1.0")
    assert path.read_text() == (
        f"{HEADER}00000,a,0,match,,,\n00000,b,0,mismatch,3,0.9-1.0,{TIME}\n"
    )


def test_weights_follow_the_queue(tmp_path: Path) -> None:
    verdicts = log(tmp_path / "v.csv")
    verdicts.decide(A, "match", weight=9, stratum="0.0-0.1")
    verdicts.weigh({A: (4.5, "0.0-0.1")})
    assert read_verdict_rows(tmp_path / "v.csv")[A].weight == 4.5


def test_clean_reads_the_file(tmp_path: Path) -> None:
    verdicts = log(tmp_path / "v.csv")
    verdicts.decide(pair_name("00000", "=cmd", 0), "rematch", weight=1, stratum="")
    assert read_verdicts(tmp_path / "v.csv") == {"00000": {("'=cmd", 0): Human.REMATCH}}


@pytest.mark.parametrize(
    "content", ["a,b\n1,2\n", "shard,key,caption_index,verdict\n00000,a,0,perhaps\n"]
)
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "v.csv").write_text(content)
    with pytest.raises(ConfigError, match="is not a verdicts file"):
        log(tmp_path / "v.csv")


def test_an_unknown_verdict_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown verdict 'yes'"):
        log(tmp_path / "v.csv").decide(A, "yes", weight=1, stratum="")
    assert (tmp_path / "v.csv").read_text() == HEADER


def test_a_run_is_reviewed_by_one_process_at_a_time(tmp_path: Path) -> None:
    second = sole_reviewer(tmp_path)
    with sole_reviewer(tmp_path), pytest.raises(OutputExistsError, match="another process"):
        second.__enter__()
    with sole_reviewer(tmp_path):
        pass
