"""The functions of `ncaudit` do what the commands do."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import ncaudit
from tests.support.audits import digests, score, toy_encoders, write_striped


@pytest.fixture(autouse=True)
def _toys() -> Iterator[None]:
    with toy_encoders():
        yield


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with shards and a run; tests only read it."""
    folder = tmp_path_factory.mktemp("api")
    write_striped(folder)
    with toy_encoders():
        ncaudit.score(folder / "shards", output=folder / "audit", encoder="toy")
    return folder


def test_score_gives_the_bytes_of_the_command(scored: Path, tmp_path: Path) -> None:
    shutil.copytree(scored / "shards", tmp_path / "shards")
    assert score(tmp_path).exit_code == 0
    assert digests(scored / "audit") == digests(tmp_path / "audit")


def test_a_run_tells_its_numbers(scored: Path) -> None:
    run = ncaudit.open_run(scored / "audit")
    assert run.summary.counts.pairs == 360
    assert run.audit_csv.is_file()
    table = run.table(["key", "p_mismatch"])
    assert (table.column_names, table.num_rows) == (["key", "p_mismatch"], 360)
    assert len(run.table().column_names) > 28


def test_an_unknown_column_is_refused(scored: Path) -> None:
    with pytest.raises(ncaudit.InputError, match="no column nope"):
        ncaudit.open_run(scored / "audit").table(["key", "nope"])


def test_clean_writes_shards(scored: Path, tmp_path: Path) -> None:
    done = ncaudit.clean(scored / "audit", output=tmp_path / "cleaned", keep_fraction=0.5)
    assert done.chosen_by == "keep_fraction"
    assert 180 <= sum(done.sizes.values()) < 200  # pairs of one p stay or go together
    assert (tmp_path / "cleaned/clean.json").is_file()


def test_a_model_is_trained_and_evaluated(scored: Path, tmp_path: Path) -> None:
    model, cache = tmp_path / "model", scored / "audit/embeddings"
    trained = ncaudit.train(scored / "shards", output=model, cache=cache, encoder="toy")
    assert trained.n_fit == 360
    found = ncaudit.evaluate(
        [scored / "shards"], model=model, output=tmp_path / "out", cache=cache, encoder="toy"
    )
    assert found.n_in_fit == found.retrieval.n_captions == 360


def test_validate_returns_every_defect(tmp_path: Path) -> None:
    write_striped(tmp_path, 1, 5)
    shutil.copy(tmp_path / "shards/0.tar", tmp_path / "shards/1.tar")
    with (tmp_path / "shards/1.tar").open("r+b") as tar:
        tar.truncate(700)
    found = ncaudit.validate(tmp_path / "shards", decode=False)
    assert found.totals.shards == 2
    assert {defect.shard for defect in found.defects} == {"1"}


def test_a_pair_is_explained_and_a_report_written(scored: Path, tmp_path: Path) -> None:
    assert ncaudit.explain(str(scored / "audit"), "0000000").status == "scored"
    written = ncaudit.write_report(scored / "audit", output=tmp_path / "r.html", pairs=3)
    assert written.path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_demo_draws_shards(tmp_path: Path) -> None:
    assert ncaudit.demo(tmp_path / "demo", pairs=20, seed=1).n_pairs == 20


def test_progress_is_told_to_a_function(tmp_path: Path) -> None:
    heard: list[tuple[str, int, int | None]] = []
    ncaudit.demo(tmp_path / "demo", pairs=20, progress=lambda *said: heard.append(said))
    assert heard == [("draw", n, 20) for n in range(21)]


def test_arguments_win_over_the_config_file(tmp_path: Path) -> None:
    file = tmp_path / "ncaudit.toml"
    file.write_text(f"[demo]\nout = '{tmp_path}/demo'\npairs = 30\nseed = 2\n")
    assert ncaudit.demo(config=file, pairs=20).n_pairs == 20
    assert (tmp_path / "demo").is_dir()


def test_a_frozen_config_replaces_the_table_of_the_file(tmp_path: Path) -> None:
    write_striped(tmp_path, 1, 20)
    file = tmp_path / "ncaudit.toml"
    file.write_text("[score.rematch]\npool = 'nonsense'\n")
    with pytest.raises(ncaudit.ConfigError, match="unknown rematch pool"):
        ncaudit.score(tmp_path / "shards", config=file)
    with pytest.raises(ncaudit.FitError):
        ncaudit.score(
            tmp_path / "shards",
            output=tmp_path / "audit",
            encoder="toy",
            fit=ncaudit.FitConfig(min_pairs=30),
        )
    assert ncaudit.open_run(tmp_path / "audit").summary.fit_problem


def test_wrong_arguments_are_errors_of_ncaudit() -> None:
    with pytest.raises(ncaudit.ConfigError, match="unknown key 'sead'") as caught:
        ncaudit.score("x.tar", sead=1)  # type: ignore[call-arg]
    assert caught.value.hint == "Did you mean 'seed'?"
    with pytest.raises(ncaudit.ConfigError, match="seed: expected int, got string"):
        ncaudit.score("x.tar", seed="1")  # type: ignore[arg-type]
    with pytest.raises(ncaudit.ConfigError, match="no shards are named"):
        ncaudit.score()
    with pytest.raises(ncaudit.InputError, match="does not exist"):
        ncaudit.score("x.tar")
