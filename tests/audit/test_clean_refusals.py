import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ncaudit.errors import ConfigError, InputError, OutputExistsError, ShardsFailedError
from ncaudit.files import read_json, write_json
from tests.support.audits import ncaudit
from tests.support.cleaning import BAD, SHARDS, cleaned
from tests.support.runs import write_run
from tests.support.shards import write_shard


def test_verdicts_about_unknown_pairs_write_nothing(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    (tmp_path / "v.csv").write_text("shard,key,caption_index,verdict\n0,zebra,0,match\n")
    with pytest.raises(ConfigError, match="0,zebra,0"):
        cleaned(tmp_path, verdicts=tmp_path / "v.csv")
    assert not (tmp_path / "cleaned").exists()


def test_a_run_that_is_missing_or_not_complete_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run directory"):
        cleaned(tmp_path)
    write_run(tmp_path, SHARDS, {})
    (tmp_path / "audit/run.json").unlink()
    with pytest.raises(InputError, match="not complete"):
        cleaned(tmp_path)


def test_a_run_without_one_of_its_parts_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, {})
    (tmp_path / "audit/scores/1.parquet").unlink()
    with pytest.raises(InputError, match="no scores for 1"):
        cleaned(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"shards": [{}]}', '{"shards": 3}'])
def test_a_broken_run_json_is_refused(tmp_path: Path, content: str) -> None:
    write_run(tmp_path, SHARDS, {})
    (tmp_path / "audit/run.json").write_text(content)
    with pytest.raises(InputError, match="is not a run of ncaudit"):
        cleaned(tmp_path)


def test_a_shard_name_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path, SHARDS, {}) / "run.json"
    content = read_json(run)
    content["shards"][0]["name"] = "../0"
    write_json(run, content)
    with pytest.raises(InputError, match="not a shard name"):
        cleaned(tmp_path)


def test_a_run_without_probabilities_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, {(key, 0): None for key in "abcde"})  # type: ignore[dict-item, misc]
    with pytest.raises(InputError, match="has a p_mismatch"):
        cleaned(tmp_path)


def test_a_shard_that_changed_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, {})
    write_shard(tmp_path / "shards/1.tar", SHARDS["0"])
    with pytest.raises(OutputExistsError, match="changed since they were scored: 1"):
        cleaned(tmp_path)
    assert not (tmp_path / "cleaned").exists()


def test_a_shard_with_another_time_but_the_same_bytes_is_the_same(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, {})
    os.utime(tmp_path / "shards/1.tar", (1, 1))
    assert cleaned(tmp_path).totals["n_pairs"] == 5


def test_a_shard_that_is_gone_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, {})
    (tmp_path / "shards/1.tar").unlink()
    with pytest.raises(InputError, match="does not exist"):
        cleaned(tmp_path)


def test_a_folder_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, {})
    (tmp_path / "cleaned").mkdir()
    (tmp_path / "cleaned/mine.txt").touch()
    with pytest.raises(OutputExistsError):
        cleaned(tmp_path)
    assert [path.name for path in (tmp_path / "cleaned").iterdir()] == ["mine.txt"]


def test_another_threshold_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, {})
    cleaned(tmp_path)
    with pytest.raises(OutputExistsError, match=r"threshold: 0\.5 -> 0\.25"):
        cleaned(tmp_path, threshold=0.25)


def test_the_run_itself_is_no_place_for_cleaned_shards(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is the run itself"):
        cleaned(tmp_path, out="audit")


def test_a_shard_in_a_folder_called_rejected_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, {"0": SHARDS["0"], "1": SHARDS["1"]}, {})
    content = read_json(tmp_path / "audit/run.json")
    content["shards"][1]["name"] = "rejected/0"
    write_json(tmp_path / "audit/run.json", content)
    (tmp_path / "audit/scores/rejected").mkdir()
    shutil.copy(tmp_path / "audit/scores/1.parquet", tmp_path / "audit/scores/rejected/0.parquet")
    with pytest.raises(InputError, match="folder called 'rejected'"):
        cleaned(tmp_path)


@pytest.mark.parametrize("out", ["shards", "shards/cleaned", "shards/x/../cleaned"])
def test_the_folder_of_the_shards_is_no_place_for_cleaned_ones(tmp_path: Path, out: str) -> None:
    write_run(tmp_path, SHARDS, {})
    with pytest.raises(ConfigError, match="the folder of the shards"):
        cleaned(tmp_path, out=out)
    assert sorted(path.name for path in (tmp_path / "shards").iterdir()) == ["0.tar", "1.tar"]


def test_a_part_that_does_not_say_where_samples_are_is_refused(tmp_path: Path) -> None:
    part = write_run(tmp_path, {"0": SHARDS["0"]}, {}) / "scores/0.parquet"
    pq.write_table(pq.read_table(part).drop(["sample_start"]), part)
    with pytest.raises(ShardsFailedError, match="do not say where its samples are"):
        cleaned(tmp_path)


def test_scores_that_skip_a_sample_are_refused(tmp_path: Path) -> None:
    part = write_run(tmp_path, {"0": SHARDS["0"]}, {}) / "scores/0.parquet"
    pq.write_table(pq.read_table(part).take([0, 2]), part)
    with pytest.raises(ShardsFailedError, match="do not number its samples in order"):
        cleaned(tmp_path)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--apply-rematch"], 2, "no proposals to apply"),
        (["--min-confidence", 0.7], 2, "Add --apply-rematch"),
        (["--verdicts", "v.csv"], 2, "  0,zebra,0"),
        (["-o", "shards/x"], 2, "the folder of the shards"),
        (["-o", "full"], 5, "not empty"),
    ],
)
def test_what_a_person_gets_wrong_has_its_exit_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[object],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path, SHARDS, BAD)
    Path("v.csv").write_text("shard,key,caption_index,verdict\n0,zebra,0,match\n")
    Path("full").mkdir()
    Path("full/mine.txt").touch()
    done = ncaudit("clean", "audit", *words)
    assert (done.exit_code, message in done.stderr) == (code, True)


def test_a_changed_shard_is_exit_5_and_a_run_without_scores_exit_3(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    write_shard(tmp_path / "shards/1.tar", SHARDS["0"])
    done = ncaudit("clean", tmp_path / "audit", "-o", tmp_path / "out")
    assert (done.exit_code, "changed since they were scored: 1" in done.stderr) == (5, True)
    shutil.rmtree(tmp_path / "audit/scores")
    done = ncaudit("clean", tmp_path / "audit", "-o", tmp_path / "out")
    assert (done.exit_code, "has no scores for 0, 1" in done.stderr) == (3, True)
