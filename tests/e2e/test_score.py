"""`ncaudit score` from the command line to the files, on shards made on the fly."""

import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ncaudit.report.columns import AUDIT_COLUMNS, PART_COLUMNS
from tests.support.audits import digests, ncaudit, rows, score, summary, write_striped
from tests.support.shards import json_bytes, tar_bytes, write_shard
from tests.support.toy_encoder import describe, striped, stripes

RED = ("red", "blue", "white")


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """A finished audit of 360 pairs, 72 of them wrong; tests only read it."""
    folder = tmp_path_factory.mktemp("audited")
    wrong = write_striped(folder)
    done = score(folder)
    assert done.exit_code == 0, done.output
    return folder, wrong


def test_the_table_has_the_columns_and_the_rows_in_shard_order(
    audited: tuple[Path, set[str]],
) -> None:
    table = rows(audited[0])
    assert list(table[0]) == [column.name for column in AUDIT_COLUMNS]
    keys = [(row["shard"], row["key"]) for row in table]
    assert keys == [
        (f"{shard}", f"{shard:02d}{row:05d}") for shard in range(3) for row in range(120)
    ]
    assert {row["status"] for row in table} == {"scored"}


def test_mismatches_get_higher_probabilities(audited: tuple[Path, set[str]]) -> None:
    folder, wrong = audited
    p = {row["key"]: float(row["p_mismatch"]) for row in rows(folder)}
    bad, good = [p[key] for key in wrong], [p[key] for key in p.keys() - wrong]
    n_in_order = sum((b > g) + 0.5 * (b == g) for b in bad for g in good)
    assert n_in_order / (len(bad) * len(good)) > 0.9
    assert all(0 <= value <= 1 for value in p.values())


def test_verdicts_agree_with_the_probabilities(audited: tuple[Path, set[str]]) -> None:
    for row in rows(audited[0]):
        p, low, high = (float(row[name]) for name in ("p_mismatch", "p_low", "p_high"))
        assert low <= p <= high
        assert row["verdict"] in {"keep", "review", "drop"}
        assert row["verdict"] != "drop" or p >= 0.5
        assert row["verdict"] != "keep" or p < 0.5


def test_the_parts_have_the_same_rows_and_more(audited: tuple[Path, set[str]]) -> None:
    folder, _ = audited
    part = pq.read_table(folder / "audit/scores/1.parquet")
    names = [column.name for column in AUDIT_COLUMNS + PART_COLUMNS]
    assert part.column_names[: len(names)] == names
    assert {"sample_start", "sample_stop"} <= set(part.column_names)
    assert part["key"].to_pylist() == [row["key"] for row in rows(folder) if row["shard"] == "1"]
    assert set(part["in_fit"].to_pylist()) == {True}
    with tarfile.open(folder / "shards/1.tar") as tar:
        offsets = [info.offset for info in tar if info.name.endswith(".jpg")]
    assert part["sample_start"].to_pylist() == offsets


def test_the_summary_adds_up(audited: tuple[Path, set[str]]) -> None:
    found = summary(audited[0])
    p = [float(row["p_mismatch"]) for row in rows(audited[0])]
    counts = found["counts"]
    assert (counts["pairs"], counts["scored"], counts["rejects"]) == (360, 360, {})
    assert counts["at_or_above_half"] == sum(value >= 0.5 for value in p)
    assert sum(counts["verdicts"].values()) == 360
    table = {row["threshold"]: row for row in counts["thresholds"]}
    assert list(table) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99]
    half = table[0.5]
    assert half["dropped"] == counts["at_or_above_half"]
    assert half["expected_mismatches_removed"] + half["expected_good_pairs_lost"] == pytest.approx(
        half["dropped"]
    )
    assert 0 <= found["estimated_noise_rate"] <= 1
    assert found["defects"] == {}


def test_run_json_says_what_was_run(audited: tuple[Path, set[str]]) -> None:
    folder, _ = audited
    run = json.loads((folder / "audit/run.json").read_text())
    assert (run["config"]["encoder"], run["encoder"]["name"], run["seed"]) == ("toy", "toy", 0)
    assert [shard["name"] for shard in run["shards"]] == ["0", "1", "2"]
    assert all(len(shard["sha256"]) == 64 for shard in run["shards"])
    assert set(run["seconds"]) == {"embed", "fit", "score", "rematch", "merge"}
    assert len(run["fingerprint"]) == 64


def test_a_second_run_does_nothing(audited: tuple[Path, set[str]]) -> None:
    folder, _ = audited
    before, record = digests(folder / "audit"), (folder / "audit/run.json").read_bytes()
    done = score(folder)
    assert done.exit_code == 0
    assert digests(folder / "audit") == before
    assert (folder / "audit/run.json").read_bytes() == record


@pytest.mark.parametrize(
    "lost",
    [
        ["audit.csv"],
        ["scores/1.parquet"],
        ["run.json", "embeddings/1"],
        ["run.json", "model"],
        ["scores/0.parquet", "embeddings"],
        ["run.json", "ledger/score", "embeddings/2/ids.parquet"],
    ],
)
def test_what_was_lost_comes_back_the_same(
    audited: tuple[Path, set[str]], tmp_path: Path, lost: list[str]
) -> None:
    shutil.copytree(audited[0], tmp_path, dirs_exist_ok=True)
    before = digests(tmp_path / "audit")
    for name in lost:
        path = tmp_path / "audit" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    done = score(tmp_path)
    assert done.exit_code == 0, done.output
    assert digests(tmp_path / "audit") == before
    assert (tmp_path / "audit/run.json").exists()


def test_other_batches_and_another_place_change_nothing(
    audited: tuple[Path, set[str]], tmp_path: Path
) -> None:
    folder, _ = audited
    listed = tmp_path / "shards.txt"
    listed.write_text("".join(f"{folder}/shards/{n}.tar\n" for n in (2, 0, 1)))
    words = ["-o", tmp_path / "audit", "--encoder", "toy", "-q", "--batch-size", 7]
    assert ncaudit("score", f"@{listed}", *words).exit_code == 0
    assert digests(tmp_path / "audit") == digests(folder / "audit")


def test_the_table_on_the_console(audited: tuple[Path, set[str]]) -> None:
    done = score(audited[0])
    assert done.stderr == ""
    for words in ("pairs", "estimated noise rate", "p_mismatch >= 0.5", "drop at 0.7"):
        assert words in done.stdout
    command = f"ncaudit clean {audited[0] / 'audit'} --threshold 0.5"
    assert done.stdout.rstrip().endswith(command)


def test_json_for_programs(audited: tuple[Path, set[str]]) -> None:
    found = json.loads(score(audited[0], "--json").stdout)
    assert found == {"out": str(audited[0] / "audit")} | summary(audited[0])


def test_another_run_in_the_folder_is_exit_5_and_can_be_replaced(
    audited: tuple[Path, set[str]], tmp_path: Path
) -> None:
    shutil.copytree(audited[0], tmp_path, dirs_exist_ok=True)
    before = digests(tmp_path / "audit")
    done = score(tmp_path, "--seed", 1)
    assert done.exit_code == 5
    assert "seed: 0 -> 1" in done.stderr
    assert digests(tmp_path / "audit") == before
    kept = (tmp_path / "audit/embeddings/0/image.npy").stat().st_mtime_ns
    assert score(tmp_path, "--seed", 1, "--overwrite").exit_code == 0
    assert (tmp_path / "audit/embeddings/0/image.npy").stat().st_mtime_ns == kept
    assert json.loads((tmp_path / "audit/run.json").read_text())["seed"] == 1
    assert score(tmp_path, "--overwrite").exit_code == 0
    assert digests(tmp_path / "audit") == before


def test_a_folder_of_something_else_is_exit_5(tmp_path: Path) -> None:
    write_striped(tmp_path, 1, 10)
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit/thesis.txt").write_text("mine")
    assert score(tmp_path, "--overwrite").exit_code == 5
    assert [file.name for file in (tmp_path / "audit").iterdir()] == ["thesis.txt"]


def test_score_then_clean_accounts_for_every_pair(
    audited: tuple[Path, set[str]], tmp_path: Path
) -> None:
    folder, _ = audited
    done = ncaudit("clean", folder / "audit", "-o", tmp_path, "--threshold", "0.5", "--json")
    assert done.exit_code == 0, done.output
    totals = json.loads(done.stdout)["totals"]
    dropped = {row["key"] for row in rows(folder) if float(row["p_mismatch"]) >= 0.5}
    assert (totals["n_pairs"], totals["n_dropped"]) == (360, len(dropped))
    assert totals["n_kept"] + totals["n_dropped"] + totals["n_rejected"] == 360
    for number in range(3):
        content = [*striped(120, seed=number)[0]]
        kept = [(key, members) for key, members in content if key not in dropped]
        assert (tmp_path / f"{number}.tar").read_bytes() == tar_bytes(kept)


def test_bad_samples_are_rows_with_reasons(tmp_path: Path) -> None:
    write_striped(tmp_path, 2)
    good = {"jpg": stripes(RED), "txt": describe(RED).encode()}
    bad = {
        "no-caption": {"jpg": stripes(RED)},
        "no-image": {"txt": b"red left"},
        "html": good | {"jpg": b"<html>404</html>" * 20},
        "cut": good | {"jpg": stripes(RED)[:300]},
        "blank": good | {"txt": b"  \n"},
    }
    write_shard(tmp_path / "shards/bad.tar", [("good", good), *bad.items(), ("good", good)])
    done = score(tmp_path)
    assert done.exit_code == 0, done.output
    found = {row["key"]: row for row in rows(tmp_path) if row["shard"] == "bad"}
    status = {key: row["status"] for key, row in found.items() if key != "good"}
    assert status == {
        "no-caption": "caption_missing",
        "no-image": "image_missing",
        "html": "not_an_image",
        "cut": "image_truncated",
        "blank": "caption_empty",
    }
    for key in bad:
        assert found[key]["p_mismatch"] == found[key]["similarity"] == found[key]["verdict"] == ""
    assert [row["status"] for row in rows(tmp_path) if row["key"] == "good"] == [
        "scored",
        "duplicate_key",
    ]
    assert summary(tmp_path)["counts"]["rejects"] == Counter(status.values()) | {
        "duplicate_key": 1
    }
    assert "caption_missing" in done.stdout


def test_damaged_shards_fail_alone(tmp_path: Path) -> None:
    write_striped(tmp_path, 3)
    cut = tmp_path / "shards/1.tar"
    cut.write_bytes(cut.read_bytes()[:100_000])
    (tmp_path / "shards/3.tar").write_bytes(b"no tar " * 200)
    done = score(tmp_path)
    assert done.exit_code == 4, done.output
    assert "1: shard_truncated" in done.stderr
    assert "3: shard_unreadable: not a tar" in done.stderr
    by_shard = Counter(row["shard"] for row in rows(tmp_path))
    assert (by_shard["0"], by_shard["2"], by_shard["3"]) == (120, 120, 1)
    assert 20 < by_shard["1"] < 120
    (row,) = (row for row in rows(tmp_path) if row["shard"] == "3")
    assert (row["key"], row["status"], row["p_mismatch"]) == ("", "shard_unreadable", "")
    assert set(summary(tmp_path)["defects"]) == {"1", "3"}
    before = digests(tmp_path / "audit")
    assert score(tmp_path).exit_code == 4
    assert digests(tmp_path / "audit") == before
    cleaned = ncaudit("clean", tmp_path / "audit", "-o", tmp_path / "cleaned", "--json")
    assert cleaned.exit_code == 0, cleaned.output
    totals = json.loads(cleaned.stdout)["totals"]
    assert totals["n_pairs"] == len(rows(tmp_path))


def test_no_shard_at_all_is_exit_3_and_leaves_the_folder_free(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    done = score(tmp_path)
    assert done.exit_code == 3
    assert str(tmp_path / "shards") in done.stderr
    (tmp_path / "shards/0.tar").write_bytes(b"no tar " * 200)
    done = score(tmp_path)
    assert done.exit_code == 3
    assert "not a tar" in done.stderr
    (tmp_path / "shards/0.tar").unlink()
    write_striped(tmp_path, 2, 20)
    done = score(tmp_path, encoder="toy-aligned")
    assert (done.exit_code, len(rows(tmp_path))) == (6, 40), done.output


def test_too_few_pairs_for_two_towers_is_exit_6_without_numbers(tmp_path: Path) -> None:
    write_striped(tmp_path, 1, 50)
    for _ in range(2):
        done = score(tmp_path)
        assert done.exit_code == 6
        assert "50" in done.stderr
        table = rows(tmp_path)
        assert len(table) == 50
        assert {(row["status"], row["similarity"], row["p_mismatch"]) for row in table} == {
            ("scored", "", "")
        }


def test_too_few_pairs_for_aligned_towers_is_exit_6_with_similarities(tmp_path: Path) -> None:
    write_striped(tmp_path, 1, 50)
    for _ in range(2):
        done = score(tmp_path, encoder="toy-aligned")
        assert done.exit_code == 6, done.output
        table = rows(tmp_path)
        assert all(-1 <= float(row["similarity"]) <= 1 for row in table)
        assert {(row["p_mismatch"], row["verdict"]) for row in table} == {("", "")}


def test_every_caption_of_an_image_is_scored(tmp_path: Path) -> None:
    samples = [
        (
            key,
            {
                "jpg": members["jpg"],
                "json": json_bytes({"captions": [members["txt"].decode()] * 2}),
            },
        )
        for key, members in striped(150)[0]
    ]
    write_shard(tmp_path / "shards/0.tar", samples)
    done = score(tmp_path, "--captions", "json:captions")
    assert done.exit_code == 0, done.output
    table = rows(tmp_path)
    assert [row["caption_index"] for row in table] == ["0", "1"] * 150
    assert all(row["p_mismatch"] for row in table)


def test_a_sample_of_the_pairs_is_fitted_on_and_all_are_scored(tmp_path: Path) -> None:
    write_striped(tmp_path)
    done = score(tmp_path, "--fit-pairs", 250)
    assert done.exit_code == 0, done.output
    parts = [pq.read_table(tmp_path / f"audit/scores/{n}.parquet") for n in range(3)]
    # A pair that equals one of the sample counts as seen.
    assert 250 <= sum(sum(part["in_fit"].to_pylist()) for part in parts) < 330
    assert all(row["p_mismatch"] for row in rows(tmp_path))
    assert summary(tmp_path)["n_fit"] == 250


@pytest.mark.parametrize("words", [["--captions", "xml"], ["--device", "tpu"], ["--seed", "-1"]])
def test_settings_that_make_no_sense_are_exit_2(tmp_path: Path, words: list[str]) -> None:
    write_striped(tmp_path, 1, 10)
    assert score(tmp_path, *words).exit_code == 2
    assert not (tmp_path / "audit").exists()


def test_the_note_of_an_attempt_killed_after_its_last_write_is_taken_away(tmp_path: Path) -> None:
    write_striped(tmp_path)
    assert score(tmp_path).exit_code == 0
    note = tmp_path / "audit/embeddings/0/.attempt"
    note.touch()
    (tmp_path / "audit/run.json").unlink()
    assert score(tmp_path).exit_code == 0
    assert not note.exists()
