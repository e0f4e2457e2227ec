import contextlib
import errno
import itertools
import os
import shutil
from pathlib import Path

import pytest

from ncaudit.audit import clean_moves
from ncaudit.errors import OutputExistsError, ShardsFailedError
from tests.support.cleaning import BAD, SHARDS, cleaned, contents
from tests.support.runs import score_by_hand, write_run


def test_finished_shards_are_not_written_again(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    first = cleaned(tmp_path)
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "cleaned").rglob("*.tar")}
    assert cleaned(tmp_path) == first
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "cleaned").rglob("*.tar")} == times


@pytest.mark.parametrize(
    "lost",
    [
        "0.tar",
        "0.parquet",
        "rejected/1_stats.json",
        "ledger/clean/0.json",
        "sizes.json",
        "clean.json",
        "ledger/identity.json",
    ],
)
def test_what_is_lost_is_written_again(tmp_path: Path, lost: str) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path)
    whole = contents(tmp_path / "cleaned")
    (tmp_path / "cleaned" / lost).unlink()
    (tmp_path / "cleaned/.tmp-9-0.tar").touch()
    if lost == "ledger/identity.json":
        # Without it the folder cannot be told from anyone's.
        with pytest.raises(OutputExistsError):
            cleaned(tmp_path)
        return
    cleaned(tmp_path)
    assert contents(tmp_path / "cleaned") == whole


def test_scores_that_changed_in_between_are_cleaned_again(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path)
    shutil.rmtree(tmp_path / "audit")
    score_by_hand(tmp_path, {("a", 0): 0.9, ("b", 0): 0.9, ("c", 0): 0.9})
    assert cleaned(tmp_path).sizes == {"1.tar": 1}
    assert not (tmp_path / "cleaned/0.tar").exists()


@pytest.mark.parametrize("n_renames", range(0, 24, 3))
def test_a_clean_that_ends_at_any_rename_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_renames: int
) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path, out="whole")
    replace, calls = Path.replace, itertools.count()

    def stop(self: Path, target: Path) -> Path:
        if next(calls) == n_renames:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stop)
        with contextlib.suppress(KeyboardInterrupt):
            cleaned(tmp_path)
    cleaned(tmp_path)
    assert contents(tmp_path / "cleaned") == contents(tmp_path / "whole")


def test_a_full_disk_stops_and_the_same_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path, out="whole")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(clean_moves, "end_archive", full)
        with pytest.raises(ShardsFailedError, match="is full") as caught:
            cleaned(tmp_path)
    assert caught.value.hint == "Free some space and run the same command again."
    assert list((tmp_path / "cleaned").rglob(".tmp-*")) == []
    cleaned(tmp_path)
    assert contents(tmp_path / "cleaned") == contents(tmp_path / "whole")
