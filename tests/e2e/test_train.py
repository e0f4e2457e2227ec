"""`ncaudit train`, and scoring other shards with what it made."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.audits import digests, ncaudit, rows, score, write_striped
from tests.support.shards import write_shard
from tests.support.toy_encoder import striped


def train(folder: Path, *words: object, encoder: str = "toy") -> Any:
    where = ["-o", folder / "model", "--encoder", encoder, "--quiet"]
    return ncaudit("train", folder / "shards", *where, *words)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards and a model fitted on them; tests do not change what it says."""
    folder = tmp_path_factory.mktemp("trained")
    write_striped(folder)
    done = train(folder, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["n_fit"] == 360
    return folder


def test_a_trained_model_scores_other_shards(trained: Path, tmp_path: Path) -> None:
    samples, wrong = striped(60, seed=9)
    write_shard(tmp_path / "shards/9.tar", samples)
    done = score(tmp_path, "--model", trained / "model")
    assert done.exit_code == 0, done.output
    p = {row["key"]: float(row["p_mismatch"]) for row in rows(tmp_path)}
    bad, good = [p[key] for key in wrong], [p[key] for key in p.keys() - wrong]
    assert sum(bad) / len(bad) > sum(good) / len(good) + 0.1


def test_training_again_does_not_fit_again(trained: Path) -> None:
    def files() -> dict[str, bytes]:
        found = {f.name: f.read_bytes() for f in (trained / "model").iterdir() if f.is_file()}
        return {name: content for name, content in found.items() if name != "train.json"}

    before = files()
    assert "card.json" in before
    done = train(trained, "--json")
    assert done.exit_code == 0, done.output
    assert files() == before
    assert set(json.loads((trained / "model/train.json").read_text())["seconds"]) == set()


def test_scoring_uses_the_embeddings_it_finds(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "shards", tmp_path / "shards")
    assert score(tmp_path, "--model", trained / "model").exit_code == 0
    before = digests(tmp_path / "audit")
    done = train(tmp_path, "--cache", tmp_path / "audit/embeddings")
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "model/embeddings").exists()
    assert digests(tmp_path / "audit") == before


def test_a_model_of_another_encoder_is_exit_2(trained: Path, tmp_path: Path) -> None:
    write_striped(tmp_path, 1, 20)
    done = score(tmp_path, "--model", trained / "model", encoder="toy-aligned")
    assert done.exit_code == 2
    assert "name: 'toy' -> 'toy-aligned'" in done.stderr
    assert not (tmp_path / "audit").exists()


@pytest.mark.parametrize("encoder", ["toy", "toy-aligned"])
def test_too_few_pairs_are_exit_6_and_leave_no_model(tmp_path: Path, encoder: str) -> None:
    write_striped(tmp_path, 1, 50)
    done = train(tmp_path, encoder=encoder)
    assert done.exit_code == 6
    assert "50 scored pairs" in done.stderr
    assert not (tmp_path / "model/card.json").exists()
