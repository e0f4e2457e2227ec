"""`ncaudit evaluate`: a fitted model retrieves on shards it never saw."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.audits import ncaudit
from tests.support.shards import Samples, json_bytes, write_shard
from tests.support.toy_encoder import striped


def several_captions() -> Samples:
    """Return different pictures with a full caption and one that leaves a stripe out."""
    samples, _ = striped(400, seed=0, noise=0)
    different = {members["txt"]: (key, members) for key, members in samples}
    return [
        (key, {"jpg": members["jpg"], "json": json_bytes({"captions": _two(text)})})
        for text, (key, members) in different.items()
    ]


def _two(text: bytes) -> list[str]:
    return [text.decode(), ", ".join(text.decode().split(", ")[:2])]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    samples = list(several_captions())
    write_shard(folder / "train/0.tar", samples[60:])
    write_shard(folder / "test/1.tar", samples[:60])
    words = ["--captions", "json:captions", "--encoder", "toy", "--quiet"]
    done = ncaudit("train", folder / "train", "-o", folder / "model", *words)
    assert done.exit_code == 0, done.output
    return folder


def evaluate(folder: Path, *words: object, shards: str = "test", encoder: str = "toy") -> Any:
    where = ["--model", folder / "model", "-o", folder / f"evaluation-{shards}-{encoder}"]
    more = ["--captions", "json:captions", "--encoder", encoder, "--quiet"]
    return ncaudit("evaluate", folder / shards, *where, *more, *words)


def test_recalls_are_far_above_chance_on_unseen_shards(trained: Path) -> None:
    done = evaluate(trained, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["n_images"], found["n_captions"], found["n_in_fit"]) == (60, 120, 0)
    assert found["image_to_caption"][0] > 30
    assert found["caption_to_image"][2] > 50
    assert found["image_to_caption"] == sorted(found["image_to_caption"])
    sums = sum(found["image_to_caption"]) + sum(found["caption_to_image"])
    assert found["rsum"] == pytest.approx(sums)
    written = json.loads(Path(found["out"], "evaluation.json").read_text())
    assert written["rsum"] == found["rsum"]


def test_the_table_says_how_large_the_pool_is(trained: Path) -> None:
    done = evaluate(trained)
    assert done.exit_code == 0
    assert done.stderr == ""
    assert "pool              60 images, 120 captions" in done.stdout
    assert "rSum" in done.stdout


def test_pairs_the_model_was_fitted_on_are_pointed_out(trained: Path) -> None:
    done = evaluate(trained, shards="train")
    assert done.exit_code == 0
    assert "fitted on" in done.stderr
    assert "of these pairs" in done.stderr


def test_a_model_of_another_encoder_is_refused(trained: Path) -> None:
    done = evaluate(trained, encoder="toy-aligned")
    assert (done.exit_code, "was fitted with another encoder" in done.stderr) == (2, True)


def test_a_folder_without_a_model_is_exit_7(trained: Path, tmp_path: Path) -> None:
    done = ncaudit(
        "evaluate", trained / "test", "--model", tmp_path, "-o", tmp_path / "e", "--encoder", "toy"
    )
    assert (done.exit_code, "does not hold a fitted model" in done.stderr) == (7, True)


def test_no_model_is_a_usage_error(trained: Path) -> None:
    assert ncaudit("evaluate", trained / "test").exit_code == 2


def test_shards_without_a_pair_to_embed_are_exit_3(trained: Path, tmp_path: Path) -> None:
    write_shard(tmp_path / "test/0.tar", [("a", {"jpg": b"no picture", "txt": b"red left"})])
    where = ["--model", trained / "model", "-o", tmp_path / "e", "--encoder", "toy"]
    done = ncaudit("evaluate", tmp_path / "test", *where, "--quiet")
    assert (done.exit_code, "nothing to retrieve" in done.stderr) == (3, True)
