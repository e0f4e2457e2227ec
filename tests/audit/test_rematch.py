"""The rematch stage through the command line: shards of which some captions were exchanged."""

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ncaudit import files
from ncaudit.audit import rematch as module
from ncaudit.audit.score import score_shards
from ncaudit.config import FitConfig, HeadsConfig, RematchConfig, ScoreConfig
from ncaudit.errors import ShardsFailedError
from ncaudit.report.columns import PROPOSAL_COLUMNS
from tests.support.audits import digests, ncaudit, rows, toy_encoders
from tests.support.shards import write_shard
from tests.support.toy_encoder import COLOURS, describe, stripes

pytestmark = pytest.mark.slow
FIT = FitConfig(heads=HeadsConfig(pieces=(1,)))
N_SHARDS, N_PAIRS, NOISE = 3, 160, 0.25


def write_exchanged(folder: Path) -> dict[str, str]:
    """Write shards in folders, captions exchanged inside each; return the true donor of keys."""
    rng = np.random.default_rng(0)
    every = [(a, b, c) for a in COLOURS for b in COLOURS for c in COLOURS if len({a, b, c}) == 3]
    order = rng.permutation(len(every))
    donors: dict[str, str] = {}
    for shard in range(N_SHARDS):
        names = [every[at] for at in order[shard * N_PAIRS : (shard + 1) * N_PAIRS]]
        chosen = rng.permutation(N_PAIRS)[: round(NOISE * N_PAIRS)]
        source = np.arange(N_PAIRS)
        source[chosen] = np.roll(chosen, 1)
        for row in chosen.tolist():
            donors[f"{shard}{int(source[row]):04d}"] = f"{shard}{row:04d}"
        samples = []
        for row, own in enumerate(names):
            told = describe(names[int(source[row])])
            # Spreadsheets must not run what strangers wrote.
            told = f"=cmd() {told}" if source[row] != row else told
            samples.append((f"{shard}{row:04d}", {"jpg": stripes(own), "txt": told.encode()}))
        write_shard(folder / "shards" / f"{'ab'[shard % 2]}/{shard}.tar", samples)
    return donors


def run(folder: Path, out: Path, *, overwrite: bool = False, **rematch: Any) -> Any:
    config = ScoreConfig(
        shards=(str(folder / "shards"),),
        encoder="toy-aligned",
        fit=FIT,
        rematch=RematchConfig(**rematch),
    )
    with toy_encoders():
        return score_shards(config, out, overwrite=overwrite)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("rematch")
    donors = write_exchanged(folder)
    run(folder, folder / "audit")
    return folder, donors


def proposals(folder: Path) -> list[dict[str, str]]:
    return [row for row in rows(folder) if row["rematch_key"]]


def test_proposals_find_the_true_partners(whole: tuple[Path, dict[str, str]]) -> None:
    folder, donors = whole
    found = [row for row in proposals(folder) if row["key"] in donors]
    right = [row["rematch_key"] == donors[row["key"]] for row in found]
    assert len(found) > 60
    assert np.mean(right) > 0.8
    accepted = [row for row in found if row["verdict"] == "rematch"]
    assert np.mean([row["rematch_key"] == donors[row["key"]] for row in accepted]) > 0.9


def test_only_flagged_pairs_have_proposals(whole: tuple[Path, dict[str, str]]) -> None:
    for row in rows(whole[0]):
        assert bool(row["rematch_key"]) <= (float(row["p_mismatch"] or 0) >= 0.5)
        if row["verdict"] == "rematch":
            assert float(row["rematch_confidence"]) >= 0.5
            assert float(row["rematch_p_mismatch"]) < 0.2
    accepted = sum(row["verdict"] == "rematch" for row in rows(whole[0]))
    about = json.loads((whole[0] / "audit/run.json").read_text())["rematch"]
    assert about["accepted"] == accepted > 0


def test_captions_are_safe_in_the_csv_and_raw_in_the_parts(
    whole: tuple[Path, dict[str, str]],
) -> None:
    assert all(row["rematch_caption"].startswith("'=cmd()") for row in proposals(whole[0])[:20])
    parts = sorted((whole[0] / "audit/scores").rglob("*.parquet"))
    table = [row for part in parts for row in pq.ParquetFile(part).read().to_pylist()]
    by_key = {row["key"]: row for row in table}
    for row in table:
        if row["rematch_key"]:
            donor = by_key[row["rematch_key"]]
            assert donor["caption"] == row["rematch_caption"]
            assert donor["shard"] == row["rematch_shard"]
            assert donor["sample_index"] == row["rematch_sample_index"]
            assert len(json.loads(row["rematch_alternatives"])) <= 3


def test_shards_kept_apart_exchange_nothing(
    whole: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "shards").symlink_to(whole[0] / "shards")
    run(tmp_path, tmp_path / "audit", within="shard")
    found = proposals(tmp_path)
    assert len(found) > 60
    assert all(row["rematch_shard"] == row["shard"] for row in found)


def test_without_rematching_the_columns_are_empty(
    whole: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "shards").symlink_to(whole[0] / "shards")
    run(tmp_path, tmp_path / "audit", enabled=False)
    for row in rows(tmp_path):
        assert not any(row[column.name] for column in PROPOSAL_COLUMNS)
        assert row["verdict"] != "rematch"


def test_a_limit_is_said(whole: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    (tmp_path / "shards").symlink_to(whole[0] / "shards")
    run(tmp_path, tmp_path / "audit", max_pairs=350)
    about = json.loads((tmp_path / "audit/run.json").read_text())["rematch"]
    assert about["flagged"] <= about["flagged_in_all"]
    assert about["seed"] == 0


@pytest.mark.parametrize(
    ("name", "call"), [("_write_table", 1), ("replace_columns", 1), ("replace_columns", 3)]
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupted_stage_goes_on_to_the_same_bytes(
    whole: tuple[Path, dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    call: int,
    when: str,
) -> None:
    (tmp_path / "shards").symlink_to(whole[0] / "shards")
    real, n_calls = getattr(module, name), 0

    def stop(*args: Any) -> Any:
        nonlocal n_calls
        n_calls += 1
        if n_calls < call:
            return real(*args)
        if when == "after":
            real(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, name, stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, tmp_path / "audit")
    monkeypatch.setattr(module, name, real)
    run(tmp_path, tmp_path / "audit")
    assert digests(tmp_path / "audit") == digests(whole[0] / "audit")


@pytest.mark.parametrize("n_writes", range(0, 28, 3))
def test_a_disk_that_is_full_at_any_write_stops_the_run_and_it_goes_on_later(
    whole: tuple[Path, dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    n_writes: int,
) -> None:
    (tmp_path / "shards").symlink_to(whole[0] / "shards")
    shutil.copytree(whole[0] / "audit", tmp_path / "audit")
    names = ("scores", "rematch", "ledger/score", "ledger/propose", "ledger/rematch")
    for done in (tmp_path / "audit" / name for name in names):
        shutil.rmtree(done)
    (tmp_path / "audit/run.json").unlink()
    real, n_calls = files._fsync, 0

    def fill_up(path: Path) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls > n_writes:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_fsync", fill_up)
        with pytest.raises(ShardsFailedError, match="is full"):
            run(tmp_path, tmp_path / "audit")
    assert not list((tmp_path / "audit").rglob(".tmp-*"))
    assert not (tmp_path / "audit/run.json").exists()
    run(tmp_path, tmp_path / "audit")
    assert digests(tmp_path / "audit") == digests(whole[0] / "audit")


def test_a_lost_part_comes_back_with_its_proposals(
    whole: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shards").symlink_to(whole[0] / "shards")
    run(tmp_path, tmp_path / "audit")
    (tmp_path / "audit/scores/a/0.parquet").unlink()
    monkeypatch.setattr(module, "propose", None)  # it must not be called again
    run(tmp_path, tmp_path / "audit")
    assert digests(tmp_path / "audit") == digests(whole[0] / "audit")


def test_a_pool_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    result = ncaudit("score", tmp_path, "--rematch-pool", "some")
    assert result.exit_code == 2
