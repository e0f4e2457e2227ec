from pathlib import Path
from typing import Any

import pytest
import yaml

from ncaudit.audit.clean_shard import CleanTally
from ncaudit.report.dataset_card import dataset_card, size_category, tar_globs
from tests.support.cleaning import BAD, SHARDS, cleaned
from tests.support.runs import write_run

TOTALS = {name: 0 for name in CleanTally.__slots__ if name != "shard"}


def card(tars: list[str], **summary: Any) -> str:
    return dataset_card(tars, TOTALS, threshold=0.5, encoder="toy", summary=summary)


def head(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def paths(text: str) -> list[str]:
    (config,) = head(text)["configs"]
    (split,) = config["data_files"]
    found: list[str] = split["path"]
    return found


def test_the_head_points_to_the_cleaned_tars_alone() -> None:
    assert paths(card(["00000.tar", "00001.tar"])) == ["*.tar"]
    assert tar_globs(["0.tar", "x/1.tar", "x/2.tar"]) == ["*.tar", "x/*.tar"]


def test_names_of_folders_are_only_names() -> None:
    name = "it's: a & <folder> # no comment"
    assert paths(card([f"{name}/0.tar"])) == [f"{name}/*.tar"]


@pytest.mark.parametrize(
    ("n_samples", "expected"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**9, "n>1B")],
)
def test_sizes_are_the_hubs_words(n_samples: int, expected: str) -> None:
    assert size_category(n_samples) == expected


def test_numbers_are_those_of_the_run_and_the_cleaning(tmp_path: Path) -> None:
    write_run(tmp_path, SHARDS, BAD)
    cleaned(tmp_path, card=True)
    text = (tmp_path / "cleaned/README.md").read_text()
    assert "| kept | 2 |" in text
    assert "| dropped | 2 |" in text
    assert "| rejected | 1 |" in text
    assert "`p_mismatch >= 0.5`" in text.replace("&gt;", ">")
    assert head(text)["size_categories"] == ["n<1K"]


def test_what_the_run_estimated_is_told() -> None:
    summary = {
        "estimated_noise_rate": 0.123,
        "noise_rate_low": 0.1,
        "noise_rate_high": 0.15,
        "self_check": {"auroc": 0.9876},
        "banner": "too few <b>pairs</b>",
    }
    text = card(["0.tar"], **summary)
    assert "12.3 % of the scored pairs" in text
    assert "10.0 % to 15.0 %" in text
    assert "AUROC of 0.988" in text
    assert "> too few &lt;b&gt;pairs" in text


def test_what_is_not_known_is_not_told() -> None:
    text = card(["0.tar"])
    assert "estimated to be mismatches" not in text
    assert "AUROC" not in text
