"""The audit model, fitted end to end on drawn pairs whose truth is known."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ncaudit.audit.fit_model import fit_model, n_fit_steps
from ncaudit.audit.judged import Known
from ncaudit.audit.model import AuditModel, Scores
from ncaudit.config import BankConfig, FitConfig, HeadsConfig, MetaConfig
from ncaudit.errors import ConfigError, FitError
from ncaudit.matching.pairs import Pairs, concatenate
from ncaudit.types import Bools
from tests.signals.latent_pairs import card, latent_pairs

CONFIG = FitConfig(
    heads=HeadsConfig(dim=24, pieces=(2,), batch=128),
    bank=BankConfig(loss_batch=128, repeats=2),
    meta=MetaConfig(steps=40),
)
NUMBERS = ("p_mismatch", "p_low", "p_high")


@dataclasses.dataclass(frozen=True)
class Case:
    pairs: Pairs
    wrong: Bools
    model: AuditModel
    scores: Scores


def fitted(*, aligned: bool = False, noise: float = 0.3, captions: int = 1) -> Case:
    pairs, wrong = latent_pairs(900, noise=noise, aligned=aligned, captions=captions)
    model = fit_model(pairs, CONFIG, card(aligned=aligned), seed=0)
    return Case(pairs, wrong, model, model.score(pairs))


@pytest.fixture(scope="module", params=["two spaces", "one space", "three captions"])
def noisy(request: pytest.FixtureRequest) -> Case:
    return fitted(
        aligned=request.param == "one space",
        captions=3 if request.param == "three captions" else 1,
    )


@pytest.fixture(scope="module")
def case() -> Case:
    return fitted()


def rows_of(scores: Scores) -> dict[str, object]:
    return {name: getattr(scores, name) for name in NUMBERS} | scores.signals


def assert_same(left: Scores, right: Scores, rows: object = slice(None)) -> None:
    for name, values in rows_of(right).items():
        np.testing.assert_array_equal(rows_of(left)[name], np.asarray(values)[rows], err_msg=name)
    assert left.reasons == np.array(right.reasons, object)[rows].tolist()


def test_mismatches_are_found(noisy: Case) -> None:
    assert roc_auc_score(noisy.wrong, noisy.scores.p_mismatch) > 0.95


def test_noise_rate_is_about_right(noisy: Case) -> None:
    assert noisy.model.summary["estimated_noise_rate"] == pytest.approx(
        noisy.wrong.mean(), abs=0.12
    )
    assert noisy.model.summary["separable"]


def test_probabilities_lie_within_their_intervals(noisy: Case) -> None:
    scores = noisy.scores
    assert np.all((scores.p_low >= 0) & (scores.p_high <= 1))
    assert np.all(scores.p_low <= scores.p_mismatch)
    assert np.all(scores.p_mismatch <= scores.p_high)
    assert scores.in_fit.all()


def test_clean_pairs_are_not_flagged() -> None:
    clean = fitted(noise=0.0)
    assert np.mean(clean.scores.p_mismatch >= 0.5) < 0.02
    assert clean.model.summary["estimated_noise_rate"] < 0.05


def test_self_check_is_a_set_of_shares(noisy: Case) -> None:
    check = dict(noisy.model.summary["self_check"])
    assert check.pop("n_planted") > 20
    bins = check.pop("reliability")
    assert sum(each["n_pairs"] for each in bins) == 900
    assert all(each["low"] <= each["mean_p"] <= each["high"] for each in bins)
    assert all(0 <= each["mismatch_rate"] <= 1 for each in bins)
    assert set(check) == {"auroc", "recall_at_half", "precision_at_half"}
    assert all(0 <= value <= 1 for value in check.values())


def test_captions_that_stray_alone_are_told_from_images_that_stray_whole(noisy: Case) -> None:
    together = noisy.model.summary["moving_together"]
    several = len(np.unique(noisy.pairs.image_id)) < len(noisy.pairs)
    assert (together < 0.2) if several else (together is None)


def test_subsets_and_orders_of_the_fit_pairs_get_the_same_numbers(case: Case) -> None:
    for rows in (np.array([17]), np.arange(50, 90), np.random.default_rng(0).permutation(900)):
        assert_same(case.model.score(case.pairs.take(rows)), case.scores, rows)


def test_pairs_outside_the_fit_get_numbers_too(noisy: Case) -> None:
    pairs, wrong = latent_pairs(300, aligned=noisy.model.encoder.aligned, seed=5)
    scores = noisy.model.score(pairs)
    assert not scores.in_fit.any()
    for name, values in rows_of(scores).items():
        assert np.isfinite(values).all(), name
    assert np.all((scores.p_low <= scores.p_mismatch) & (scores.p_mismatch <= scores.p_high))
    assert roc_auc_score(wrong, scores.p_mismatch) > 0.9


def test_strangers_do_not_change_what_known_pairs_get(case: Case) -> None:
    strangers, _ = latent_pairs(40, seed=6)
    mixed = case.model.score(concatenate([strangers, case.pairs]))
    known = np.arange(40, 940)
    for name, values in rows_of(case.scores).items():
        np.testing.assert_array_equal(np.asarray(rows_of(mixed)[name])[known], values)
    assert np.flatnonzero(mixed.in_fit).tolist() == known.tolist()


def test_strangers_get_the_same_numbers_in_any_company(case: Case) -> None:
    strangers, _ = latent_pairs(60, seed=6)
    whole = rows_of(case.model.score(strangers))
    part = rows_of(case.model.score(strangers.take(np.arange(20, 30))))
    for name, values in whole.items():
        np.testing.assert_allclose(part[name], np.asarray(values)[20:30], atol=2e-5, err_msg=name)


def test_a_known_image_with_another_caption_is_a_stranger(case: Case) -> None:
    pairs = case.pairs.recombine(np.array([0, 1]), np.array([1, 0]))
    assert not case.model.score(pairs).in_fit.any()


def test_reasons_name_deciding_signals_of_doubtful_pairs_only(case: Case) -> None:
    for p, reasons in zip(case.scores.p_mismatch, case.scores.reasons, strict=True):
        codes = reasons.split(";") if reasons else []
        assert set(codes) <= set(case.model.deciding)
        assert not codes or p >= 0.2
    flagged = np.flatnonzero(case.scores.p_mismatch >= 0.9)
    assert np.mean([bool(case.scores.reasons[at]) for at in flagged]) > 0.9


def test_same_seed_gives_the_same_model(case: Case) -> None:
    assert_same(fitted().scores, case.scores)


def test_steps_are_told_as_announced() -> None:
    pairs, _ = latent_pairs(300)
    told: list[int] = []
    fit_model(pairs, CONFIG, card(aligned=False), seed=0, on_step=told.append)
    assert sum(told) == n_fit_steps(CONFIG)


def test_too_few_pairs_of_two_spaces_are_refused() -> None:
    pairs, _ = latent_pairs(199)
    with pytest.raises(FitError, match="199 pairs can be scored, and fitting needs 200"):
        fit_model(pairs, CONFIG, card(aligned=False), seed=0)


def test_too_few_pairs_of_one_space_are_only_compared() -> None:
    pairs, wrong = latent_pairs(100, aligned=True)
    model = fit_model(pairs, CONFIG, card(aligned=True), seed=0)
    scores = model.score(pairs)
    for name in NUMBERS:
        assert np.isnan(getattr(scores, name)).all()
    assert roc_auc_score(~wrong, scores.signals["similarity"]) > 0.9
    assert not model.summary["separable"]
    assert "100 pairs are too few" in model.summary["banner"]
    assert set(scores.reasons) == {""}


def test_images_that_are_all_the_same_cannot_be_fitted() -> None:
    pairs, _ = latent_pairs(300)
    same = Pairs(pairs.image[np.zeros(300, int)], pairs.caption, pairs.image_id, pairs.caption_id)
    with pytest.raises(FitError, match="could not be fitted"):
        fit_model(same, CONFIG, card(aligned=False), seed=0)


def test_one_image_with_all_captions_cannot_be_fitted() -> None:
    pairs, _ = latent_pairs(300)
    one = Pairs(pairs.image, pairs.caption, np.zeros(300, np.uint64), pairs.caption_id)
    with pytest.raises(FitError, match="1 groups for 10 folds"):
        fit_model(one, CONFIG, card(aligned=False), seed=0)


def test_labels_of_every_epoch_are_kept_for_pairs_of_the_fit(case: Case) -> None:
    strangers, _ = latent_pairs(5, seed=6)
    mixed = case.model.score(concatenate([strangers, case.pairs]))
    assert mixed.history.shape == (905, 2)
    assert np.isnan(mixed.history[:5]).all()
    np.testing.assert_allclose(mixed.history[5:, -1], mixed.signals["crcl_label"][5:], rtol=1e-5)


def test_other_signals_can_decide() -> None:
    pairs, wrong = latent_pairs(900)
    config = dataclasses.replace(CONFIG, signals=("neg_clip_loss", "crcl_label"))
    model = fit_model(pairs, config, card(aligned=False), seed=0)
    assert model.deciding == config.signals
    assert model.outside[0].names == ("neg_clip_loss",)
    assert roc_auc_score(wrong, model.score(pairs).p_mismatch) > 0.95


def test_signals_that_cannot_decide_are_refused() -> None:
    for signals in ((), ("similarity",)):
        with pytest.raises(ConfigError, match="cannot decide"):
            dataclasses.replace(CONFIG, signals=signals)


def test_trusted_pairs_teach_the_network_and_the_summary_says_so(case: Case) -> None:
    pairs, _ = latent_pairs(900)
    trusted, _ = latent_pairs(300, noise=0.0, seed=9)
    model = fit_model(pairs, CONFIG, card(aligned=False), seed=0, known=Known(trusted=trusted))
    assert (case.model.summary["meta"], model.summary["meta"]) == ("self", "given")
    assert model.summary["n_trusted"] == 300
    assert "mscn_similarity" in model.deciding
    assert "mscn_similarity" not in case.model.deciding


def test_the_probability_alone_is_the_one_of_the_whole_score(noisy: Case) -> None:
    fresh = latent_pairs(120, seed=5, aligned=noisy.model.encoder.aligned)[0]
    both = concatenate([noisy.pairs.take(np.arange(50)), fresh])
    whole = noisy.model.score(both)
    assert whole.in_fit.sum() == 50
    np.testing.assert_array_equal(noisy.model.p_mismatch(both), whole.p_mismatch)
