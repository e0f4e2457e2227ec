"""Models on disk: what is read scores like what was written; nothing hostile gets through."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ncaudit.audit.checkpoint import FORMAT, load_model, save_model
from ncaudit.audit.fit_model import fit_model
from ncaudit.audit.judged import Judged, Known
from ncaudit.audit.model import AuditModel
from ncaudit.config import BankConfig, FitConfig, HeadsConfig, MetaConfig
from ncaudit.errors import WeightsError
from ncaudit.matching.pairs import concatenate
from tests.signals.latent_pairs import card, latent_pairs

CONFIG = FitConfig(
    heads=HeadsConfig(dim=16, pieces=(1,), batch=128),
    bank=BankConfig(loss_batch=64, repeats=2),
    meta=MetaConfig(steps=10),
)
PAIRS, _ = latent_pairs(300)
FILES = {
    "card.json",
    "calibration.json",
    "heads.safetensors",
    "bank.safetensors",
    "fit_pairs.safetensors",
    "reference.safetensors",
    "mscn.safetensors",
}


@pytest.fixture(scope="module")
def model() -> AuditModel:
    return fit_model(PAIRS, CONFIG, card(aligned=False), seed=3)


@pytest.fixture(scope="module")
def saved(model: AuditModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    save_model(model, folder)
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def assert_scores_alike(left: AuditModel, right: AuditModel) -> None:
    strangers, _ = latent_pairs(50, aligned=left.encoder.aligned, seed=8)
    both = concatenate([PAIRS, strangers]) if not left.encoder.aligned else strangers
    one, other = left.score(both), right.score(both)
    for name in ("p_mismatch", "p_low", "p_high"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.signals.keys() == other.signals.keys()
    for name, values in one.signals.items():
        np.testing.assert_array_equal(values, other.signals[name])
    assert one.reasons == other.reasons


def test_a_model_read_back_scores_to_the_last_bit(model: AuditModel, saved: Path) -> None:
    loaded = load_model(saved)
    assert_scores_alike(model, loaded)
    assert loaded.encoder == model.encoder
    assert loaded.summary == model.summary
    assert (loaded.seed, loaded.temperature, loaded.deciding) == (3, 0.05, model.deciding)


def test_a_model_that_only_compares_is_kept_too(tmp_path: Path) -> None:
    few, _ = latent_pairs(100, aligned=True)
    model = fit_model(few, CONFIG, card(aligned=True), seed=0)
    save_model(model, tmp_path / "model")
    assert_scores_alike(model, load_model(tmp_path / "model"))


def test_saving_what_was_read_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    save_model(load_model(saved), tmp_path / "again")
    assert {file.name for file in saved.iterdir()} == FILES
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes(), name


def test_no_folder_at_all_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not hold a fitted model") as caught:
        load_model(tmp_path / "nowhere")
    assert "ncaudit train" in caught.value.hint


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_no_model(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(WeightsError):
        load_model(copy)


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("content", [b"", b"garbage", b"[1, 2]"], ids=["empty", "text", "list"])
def test_garbage_is_no_model(copy: Path, name: str, content: bytes) -> None:
    (copy / name).write_bytes(content)
    with pytest.raises(WeightsError):
        load_model(copy)


@pytest.mark.parametrize("name", sorted(name for name in FILES if name.endswith("safetensors")))
def test_a_file_cut_short_is_no_model(copy: Path, name: str) -> None:
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError):
        load_model(copy)


def changed(copy: Path, change: Callable[[dict[str, object]], object]) -> Path:
    stored = json.loads((copy / "card.json").read_text())
    change(stored)
    (copy / "card.json").write_text(json.dumps(stored))
    return copy


def test_another_format_is_refused_by_number(copy: Path) -> None:
    folder = changed(copy, lambda stored: stored.update(format=FORMAT + 1))
    with pytest.raises(WeightsError, match=f"model format {FORMAT + 1}, .* reads {FORMAT}"):
        load_model(folder)


def test_a_card_that_lacks_a_field_is_no_model(copy: Path) -> None:
    with pytest.raises(WeightsError):
        load_model(changed(copy, lambda stored: stored.pop("n_heads")))


def test_a_card_that_announces_heads_it_does_not_have_is_no_model(copy: Path) -> None:
    with pytest.raises(WeightsError):
        load_model(changed(copy, lambda stored: stored.update(n_heads=9)))


def test_a_card_that_is_not_text_is_no_model(copy: Path) -> None:
    (copy / "card.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(WeightsError):
        load_model(copy)


def test_a_bank_of_unequal_sides_is_no_model(copy: Path) -> None:
    from safetensors.numpy import load_file, save_file

    bank = load_file(copy / "bank.safetensors")
    save_file(bank | {"image": bank["image"][:-1].copy()}, copy / "bank.safetensors")
    with pytest.raises(WeightsError):
        load_model(copy)


def test_a_calibration_of_ragged_knots_is_no_model(copy: Path) -> None:
    stored = json.loads((copy / "calibration.json").read_text())
    stored["outside"][0]["knots"] = [[1.0, 2.0], [3.0]]
    (copy / "calibration.json").write_text(json.dumps(stored))
    with pytest.raises(WeightsError):
        load_model(copy)


def with_array(copy: Path, file: str, name: str, change: Callable[[Any], Any]) -> Path:
    from safetensors.numpy import load_file, save_file

    arrays = load_file(copy / file)
    changed_array = np.ascontiguousarray(change(arrays[name].copy()))
    save_file(arrays | {name: changed_array}, copy / file)
    return copy


def poisoned(values: Any) -> Any:
    values.flat[0] = np.nan
    return values


@pytest.mark.parametrize(
    ("file", "name", "change", "message"),
    [
        ("heads", "image_map.0", poisoned, "the image map of head 0 are not finite"),
        ("heads", "caption_mean.1", poisoned, "the caption mean of head 1 are not finite"),
        ("heads", "image_map.0", lambda array: array[:-1], r"the image map of head 0 have shape"),
        (
            "heads",
            "image_map.1",
            lambda array: array[:, :-1],
            "the image map of head 1 have shape",
        ),
        ("heads", "caption_mean.0", lambda array: array[None], "the caption mean of head 0 have"),
        ("heads", "image_mean.0", lambda array: array.astype(int), "the type of the image mean"),
        ("bank", "image", poisoned, "the images of the banks are not finite"),
        ("bank", "caption", lambda array: array[:, 1:], "the captions of the banks have shape"),
        ("bank", "image_id", lambda array: array.astype(np.int64), "the identities of the banks"),
        ("fit_pairs", "column.p_mismatch", lambda array: array + 2, "the column p_mismatch"),
        ("fit_pairs", "column.similarity", lambda array: array / 0, "the column similarity"),
        ("fit_pairs", "caption_id", lambda array: array[1:], "the identities of the fit pairs"),
        ("fit_pairs", "contributions", lambda array: array[:, 1:], "the contributions have shape"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_arrays_that_cannot_score_are_refused_by_name(
    copy: Path, file: str, name: str, change: Callable[[Any], Any], message: str
) -> None:
    folder = with_array(copy, f"{file}.safetensors", name, change)
    with pytest.raises(WeightsError, match=message):
        load_model(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("share", 1.5),
        ("bias", float("nan")),
        ("scale", [0.0]),
        ("slopes", [[-1.0] * 7]),
        ("knots", []),
        ("centre", ["a"]),
        ("names", []),
    ],
)
def test_a_calibration_that_cannot_be_right_is_refused(copy: Path, name: str, value: Any) -> None:
    stored = json.loads((copy / "calibration.json").read_text())
    stored["outside"][0][name] = value
    (copy / "calibration.json").write_text(json.dumps(stored))
    with pytest.raises(WeightsError, match="does not hold a fitted model"):
        load_model(copy)


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0},
        {"temperature": "hot"},
        {"n_heads": 0},
        {"config": {}},
        {"config": {"heads": {"floor": 3}}},
        {"bank": {"repeats": 1, "size": 7, "energy_size": 3}},
        {"encoder": {}},
        {"encoder": None},
    ],
)
def test_a_card_that_cannot_be_right_is_refused(copy: Path, change: dict[str, object]) -> None:
    with pytest.raises(WeightsError, match="does not hold a fitted model"):
        load_model(changed(copy, lambda stored: stored.update(change)))


def test_a_pickle_in_the_place_of_the_heads_is_not_loaded(copy: Path, tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    pickle = f"cos\nsystem\n(S'touch {trace}'\ntR.".encode()
    (copy / "heads.safetensors").write_bytes(pickle)
    with pytest.raises(WeightsError):
        load_model(copy)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("mscn.safetensors", "0.network.inner.bias"),
        ("reference.safetensors", "distance"),
        ("reference.safetensors", "image"),
        ("fit_pairs.safetensors", "history"),
    ],
)
def test_numbers_that_are_not_finite_are_refused_in_every_file(
    copy: Path, file: str, name: str
) -> None:
    with pytest.raises(WeightsError, match="does not hold a fitted model"):
        load_model(with_array(copy, file, name, lambda values: values * np.nan))


def test_networks_of_another_width_are_refused(copy: Path) -> None:
    halved = with_array(copy, "mscn.safetensors", "0.features.mix.weight", lambda w: w[:, ::2])
    with pytest.raises(WeightsError, match="does not hold a fitted model"):
        load_model(halved)


def test_a_calibration_on_verdicts_is_read_back(tmp_path: Path) -> None:
    n = len(PAIRS)
    _, wrong = latent_pairs(300)
    judged = Judged(PAIRS.image_id, PAIRS.caption_id, wrong, np.ones(n))
    made = fit_model(PAIRS, CONFIG, card(aligned=False), seed=3, known=Known(judged=judged))
    assert made.labelled is not None
    save_model(made, tmp_path / "model")
    strangers, _ = latent_pairs(50, seed=8)
    np.testing.assert_allclose(
        load_model(tmp_path / "model").score(strangers).p_mismatch,
        made.score(strangers).p_mismatch,
        atol=1e-6,
    )
