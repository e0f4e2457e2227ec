"""`ncaudit bench`: noise is planted in clean shards, found, and measured."""

import importlib.util
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ncaudit.audit.bench import case
from ncaudit.audit.downstream import HeadTraining
from tests.support.audits import ncaudit
from tests.support.shards import json_bytes, write_shard
from tests.support.toy_encoder import PLACES, describe, striped, stripes

CASES = ("--noise", "caption", "--noise", "partial", "--rate", 0.4, "--seeds", 1)


def write_clean(folder: Path, n_pairs: int = 300) -> Path:
    samples, _ = striped(n_pairs, seed=0, noise=0)
    write_shard(folder / "shards/0.tar", samples)
    return folder


def bench(folder: Path, *words: object, encoder: str = "toy", out: str = "bench") -> Any:
    where = ["-o", folder / out, "--cache", folder / "cache", "--encoder", encoder, "--quiet"]
    return ncaudit("bench", folder / "shards", *where, *words)


def results(folder: Path, out: str = "bench") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / out / "bench.json").read_text())
    return found


def table(entry: dict[str, Any], key: str = "rows") -> dict[str, dict[str, Any]]:
    rows = entry["downstream"]["rows"] if key == "downstream" else entry[key]
    return {row["method"]: row for row in rows}


@pytest.fixture(scope="module")
def benched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_clean(tmp_path_factory.mktemp("bench"))
    done = bench(folder, *CASES)
    assert done.exit_code == 0, done.output
    (folder / "stdout.txt").write_text(done.stdout)
    return folder


def test_every_method_has_a_row(benched: Path) -> None:
    caption, partial = results(benched)["results"]
    assert (caption["case"], partial["case"]) == ("all:caption:0.4", "all:partial:0.4")
    rows = table(caption)
    assert next(iter(rows)) == "fusion"
    assert {"random", "start_cosine", "start_neg_clip_loss", "gmm_on_loss"} <= rows.keys()
    assert {"lemon_fixed", "lemon_tuned", "neg_clip_loss", "crcl_label", "oracle"} <= rows.keys()
    assert "cosine" not in rows  # the towers share no space
    assert caption["true_rate"] == pytest.approx(0.4)


def test_mismatches_are_found(benched: Path) -> None:
    rows = table(results(benched)["results"][0])
    assert rows["fusion"]["auroc"] > 0.9
    assert rows["start_cosine"]["auroc"] > 0.9
    assert 0.35 < rows["random"]["auroc"] < 0.65
    perfect = ("auroc", "ap", "precision_at_k", "recall_at_95", "f1_at_half")
    assert [rows["oracle"][name] for name in perfect] == [1] * 5
    assert rows["oracle"]["ece"] == 0


def test_one_wrong_colour_is_harder_to_find_than_a_wrong_caption(benched: Path) -> None:
    caption, partial = (table(entry)["start_cosine"] for entry in results(benched)["results"])
    assert partial["auroc"] < caption["auroc"]


def test_the_record_says_how_and_where_it_was_made(benched: Path) -> None:
    found = results(benched)
    assert found["command"].split()[0] == "ncaudit"
    assert found["encoder"] == "toy"
    assert found["versions"]["numpy"]
    assert found["results"][0]["settings"]["fit"]["heads"]["folds"] == 5


def test_plots_are_drawn_for_each_case(benched: Path) -> None:
    for planted in ("all-caption-0.4", "all-partial-0.4"):
        for name in ("roc-pr.png", "reliability.png"):
            start = (benched / "bench/plots" / planted / name).read_bytes()[:8]
            assert start == b"\x89PNG\r\n\x1a\n"


def test_the_table_shows_every_method(benched: Path) -> None:
    shown = (benched / "stdout.txt").read_text()
    assert "all:caption:0.4: 300 pairs, 40.0% mismatched, 1 seed" in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("oracle")][:1]
    assert line.split() == ["oracle", *["1.000"] * 5, "0.000", "0.000", "0.400"]
    assert str(benched / "bench/bench.json") in shown


def test_what_is_done_is_not_done_again_and_cases_can_be_added(benched: Path) -> None:
    before = results(benched)["results"]
    done = bench(benched, "--noise", "caption", "--rate", 0, "--seeds", 1, "--json")
    assert done.exit_code == 0, done.output
    after = results(benched)["results"]
    assert after[:2] == before
    assert (after[2]["case"], after[2]["auroc"]) == ("all:caption:0", None)
    assert not (benched / "bench/plots/all-caption-0/roc-pr.png").exists()
    said = json.loads(done.stdout)
    assert [each["case"] for each in said["cases"]] == ["all:caption:0"]


def test_a_folder_of_other_settings_is_refused(benched: Path) -> None:
    done = bench(benched, *CASES, "--baselines", "none")
    assert (done.exit_code, "bench.baselines: 'all' -> 'none'" in done.stderr) == (5, True)


def test_a_folder_of_other_shards_is_refused(benched: Path, tmp_path: Path) -> None:
    write_clean(tmp_path, 240)
    where = ["-o", benched / "bench", "--encoder", "toy", "--quiet", "--cache", tmp_path / "cache"]
    done = ncaudit("bench", tmp_path / "shards", *where, *CASES)
    assert (done.exit_code, "belongs to another run" in done.stderr) == (5, True)


def test_without_matplotlib_a_line_says_how_to_get_plots(
    benched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else found(name)
    )
    done = bench(benched, *CASES)
    assert done.exit_code == 0
    assert "ncaudit[plots]" in done.stderr


@pytest.mark.slow
def test_aligned_towers_have_cosines_and_downstream_shows_what_cleaning_is_worth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case, "HeadTraining", partial(HeadTraining, updates=60))
    write_clean(tmp_path, 400)
    words = ("--noise", "orphan", "--seeds", 1, "--baselines", "fast", "--downstream")
    done = bench(tmp_path, *words, encoder="toy-aligned")
    assert done.exit_code == 0, done.output
    entry = results(tmp_path)["results"][0]
    rows = table(entry)
    assert rows["cosine"]["auroc"] > 0.95
    assert "lemon_fixed" not in rows
    downstream = table(entry, "downstream")
    assert downstream["noisy"]["recovery"] == 0
    assert downstream["oracle"]["recovery"] == 1
    assert downstream["cosine"]["n_kept"] == downstream["fusion"]["n_kept"]
    assert entry["downstream"]["held_out_images"] >= 45
    assert "retrieval on held-out clean pairs" in done.stdout


@pytest.mark.slow
def test_one_caption_per_image_takes_the_first(tmp_path: Path) -> None:
    samples, _ = striped(240, seed=0, noise=0)
    several = [
        (key, {"jpg": members["jpg"], "json": json_bytes({"captions": _thrice(members["txt"])})})
        for key, members in samples
    ]
    write_shard(tmp_path / "shards/0.tar", several)
    words = ("--captions", "json:captions", "--captions-per-image", 1, "--seeds", 1)
    done = bench(tmp_path, *words, "--noise", "image", "--baselines", "none", "--json")
    assert done.exit_code == 0, done.output
    (shown,) = json.loads(done.stdout)["cases"]
    assert shown["case"] == "1:image:0.4"
    assert shown["n_pairs"]["mean"] <= 240


def _thrice(text: bytes) -> list[str]:
    parts = text.decode().split(", ")
    return [text.decode(), ", ".join(parts[:2]), ", ".join(parts[1:])]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--noise", "loud"), 2, "'loud' is not one of"),
        (("--rate", "1.5"), 2, "less than or equal to 1"),
        (("--seeds", "0"), 2, "greater than or equal to 1"),
        (("--captions-per-image", "some"), 2, "'some' is no number"),
        (("--captions-per-image", "0"), 2, "leaves no pairs"),
        (("--baselines", "most"), 2, "'most' is not one of"),
    ],
)
def test_wrong_settings_are_usage_errors(
    tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done = ncaudit("bench", tmp_path, *words)
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr


def test_too_few_pairs_are_exit_6(tmp_path: Path) -> None:
    done = bench(write_clean(tmp_path, 50), "--seeds", 1)
    assert (done.exit_code, "too few for a benchmark" in done.stderr) == (6, True), done.stderr


def test_too_few_images_for_downstream_are_exit_6(tmp_path: Path) -> None:
    done = bench(write_clean(tmp_path, 50), "--downstream")
    assert (done.exit_code, "leave --downstream out" in done.stderr) == (6, True), done.stderr


def test_captions_that_are_all_the_same_are_exit_3(tmp_path: Path) -> None:
    picture = [stripes(names) for names in (["red", "blue", "pink"], ["blue", "red", "black"])]
    text = describe(["red"] * len(PLACES)).encode()
    samples = [(f"{at:03d}", {"jpg": picture[at % 2], "txt": text}) for at in range(220)]
    write_shard(tmp_path / "shards/0.tar", samples)
    done = bench(tmp_path, "--seeds", 1)
    assert (done.exit_code, "nothing to exchange" in done.stderr) == (3, True), done.stderr
