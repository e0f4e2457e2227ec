from pathlib import Path

import pytest

from ncaudit.report.parts import write_part
from ncaudit.report.summary import Summary, count_pairs, read_summary, write_summary


def part(folder: Path, name: str, p: list[float | None], status: list[str]) -> Path:
    n = len(p)
    table = {"shard": [name] * n, "key": ["k"] * n, "caption_index": [0] * n, "status": status}
    verdict = [None if value is None else "drop" if value > 0.5 else "keep" for value in p]
    write_part(folder / f"{name}.parquet", table | {"p_mismatch": p, "verdict": verdict})
    return folder / f"{name}.parquet"


def test_parts_are_counted_together(tmp_path: Path) -> None:
    parts = [
        part(tmp_path, "a", [0.9, 0.1, None], ["scored", "scored", "image_missing"]),
        part(tmp_path, "b", [0.5, None], ["scored", "caption_empty"]),
        part(tmp_path, "c", [None], ["image_missing"]),
    ]
    counts = count_pairs(parts)
    assert (counts.pairs, counts.scored, counts.with_probability) == (6, 3, 3)
    assert counts.rejects == {"caption_empty": 1, "image_missing": 2}
    assert (counts.at_or_above_half, counts.verdicts) == (2, {"drop": 1, "keep": 2})
    (half,) = (row for row in counts.thresholds if row.threshold == 0.5)
    assert (half.dropped, half.share_dropped) == (2, pytest.approx(2 / 3))
    assert half.expected_mismatches_removed == pytest.approx(1.4)
    assert half.expected_good_pairs_lost == pytest.approx(0.6)
    assert half.share_of_mismatches_removed == pytest.approx(1.4 / 1.5)
    assert half.share_of_good_lost == pytest.approx(0.6 / 1.5)


def test_without_probabilities_there_is_no_threshold_table(tmp_path: Path) -> None:
    counts = count_pairs([part(tmp_path, "a", [None, None], ["scored", "json_invalid"])])
    assert (counts.pairs, counts.scored, counts.with_probability) == (2, 1, 0)
    assert counts.thresholds == ()


def test_a_summary_is_read_as_it_was_written(tmp_path: Path) -> None:
    summary = Summary(
        counts=count_pairs([part(tmp_path, "a", [0.2, 1.0], ["scored", "scored"])]),
        estimated_noise_rate=0.5,
        noise_rate_low=None,
        noise_rate_high=0.7,
        self_check={"auroc": 0.9},
        separable=True,
        banner="",
        n_fit=2,
        defects={"a": "shard_truncated: cut"},
    )
    write_summary(tmp_path / "summary.json", summary)
    assert read_summary(tmp_path / "summary.json") == summary
