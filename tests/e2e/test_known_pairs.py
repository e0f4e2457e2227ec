"""What people know changes a run: verdicts set the probabilities, trusted pairs teach MSCN."""

import csv
from pathlib import Path

import pytest

from tests.support.audits import ncaudit, rows, score, summary, write_striped
from tests.support.shards import write_shard
from tests.support.toy_encoder import striped

COLUMNS = ("shard", "key", "caption_index", "verdict", "weight")


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    folder = tmp_path_factory.mktemp("known")
    wrong = write_striped(folder)
    assert score(folder, "--no-rematch").exit_code == 0
    return folder, wrong


def judge(folder: Path, wrong: set[str], name: str, n: int, *, invert: bool = False) -> Path:
    """Write verdicts on the first n pairs; with `invert` people say the opposite."""
    path = folder / name
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in [row for row in rows(folder) if row["status"] == "scored"][:n]:
            is_wrong = (row["key"] in wrong) != invert
            says = "mismatch" if is_wrong else "match"
            writer.writerow([row["shard"], row["key"], row["caption_index"], says, "1"])
    return path


def test_two_hundred_verdicts_decide_the_noise_rate(scored: tuple[Path, set[str]]) -> None:
    folder, wrong = scored
    verdicts = judge(folder, wrong, "many.csv", 250)
    got = score(folder, "--no-rematch", "--verdicts", verdicts, out="judged")
    assert got.exit_code == 0, got.output
    said = summary(folder, "judged")
    assert said["verdicts"]["method"] == "signals"
    # Of pairs that are equal in image and caption, one verdict counts.
    assert 200 <= said["verdicts"]["n_match"] + said["verdicts"]["n_mismatch"] <= 250
    assert said["estimated_noise_rate"] == pytest.approx(len(wrong) / 360, abs=0.05)
    assert said["verdicts"]["quality"]["ece"] < 0.1


def test_few_verdicts_change_nothing_and_the_summary_says_so(
    scored: tuple[Path, set[str]],
) -> None:
    folder, wrong = scored
    verdicts = judge(folder, wrong, "few.csv", 20)
    assert score(folder, "--no-rematch", "--verdicts", verdicts, out="few").exit_code == 0
    assert summary(folder, "few")["verdicts"]["method"] == "unchanged"
    before, after = (
        {row["key"]: row["p_mismatch"] for row in rows(folder, out)} for out in ("audit", "few")
    )
    # MSCN's trusted pairs change, and it does not decide.
    assert before == after


def test_a_model_judged_by_people_scores_others_so(scored: tuple[Path, set[str]]) -> None:
    folder, wrong = scored
    verdicts = judge(folder, wrong, "for-train.csv", 250)
    words = ["--encoder", "toy", "--quiet", "--verdicts", verdicts]
    assert ncaudit("train", folder / "shards", "-o", folder / "model", *words).exit_code == 0
    samples, mismatched = striped(60, seed=9)
    write_shard(folder / "more" / "0.tar", samples)
    where = ["-o", folder / "more-audit", "--encoder", "toy", "--quiet", "--no-rematch"]
    got = ncaudit("score", folder / "more", *where, "--model", folder / "model")
    assert got.exit_code == 0, got.output
    p = {row["key"]: float(row["p_mismatch"]) for row in rows(folder, "more-audit")}
    right = [p[key] for key in p if key not in mismatched]
    assert min(p[key] for key in mismatched) > sum(right) / len(right)


def test_trusted_shards_teach_the_network(scored: tuple[Path, set[str]]) -> None:
    folder, _ = scored
    samples, _ = striped(80, seed=20, noise=0.0)
    write_shard(folder / "good" / "0.tar", samples)
    got = score(folder, "--no-rematch", "--trusted", folder / "good", out="taught")
    assert got.exit_code == 0, got.output
    reasons = ";".join(row["reasons"] for row in rows(folder, "taught"))
    assert "mscn_similarity" in reasons


def test_verdicts_and_a_fitted_model_do_not_go_together(scored: tuple[Path, set[str]]) -> None:
    folder, wrong = scored
    verdicts = judge(folder, wrong, "some.csv", 60)
    words = ["--verdicts", verdicts, "--model", folder / "audit/model"]
    got = score(folder, *words, out="refused")
    assert got.exit_code == 2
    assert "--verdicts" in got.output


def test_verdicts_on_unknown_pairs_are_listed(scored: tuple[Path, set[str]]) -> None:
    folder, _ = scored
    path = folder / "strange.csv"
    path.write_text("shard,key,caption_index,verdict\n0,nobody,0,match\n")
    got = score(folder, "--no-rematch", "--verdicts", path, out="strange")
    assert got.exit_code == 2
    assert "nobody" in got.output
