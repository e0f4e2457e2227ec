"""Verdicts: they rescue wrong probabilities and leave right ones alone."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logit
from sklearn.metrics import roc_auc_score

from ncaudit.calibration.labelled import LabelledMethod, Verdicts, fit_labelled
from ncaudit.calibration.metrics import expected_calibration_error
from ncaudit.calibration.two_groups import fit_two_groups
from ncaudit.types import Bools, Floats
from tests.calibration.simulated_noise import queue, simulated


def label_free(share: float, *, topic: bool, seed: int = 0) -> tuple[Floats, Floats, Bools]:
    evidence, wrong = simulated(share, topic=topic, seed=seed)
    p = fit_two_groups(evidence).p_mismatch(evidence.observed)
    return evidence.observed, p, wrong


def log_odds(p: Floats) -> Floats:
    odds: Floats = logit(np.clip(p, 1e-9, 1 - 1e-9))
    return odds


def plain(n: int, n_mismatch: int) -> tuple[Floats, Floats, Verdicts]:
    """Pairs of one signal, of which the first n are judged by a noisy eye."""
    rng = np.random.default_rng(3)
    signals = rng.normal(size=(1000, 2))
    order = np.argsort(-(signals[:n, 0] + rng.normal(size=n)))
    is_mismatch = np.zeros(n, np.bool_)
    is_mismatch[order[:n_mismatch]] = True
    return (
        signals,
        signals[:, 1] - 1.0,
        Verdicts(rows=np.arange(n), is_mismatch=is_mismatch, weight=rng.uniform(1, 5, n)),
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_300_verdicts_rescue_mismatches_between_similar_images(seed: int) -> None:
    signals, p, wrong = label_free(0.4, topic=True, seed=seed)
    odds = log_odds(p)
    assert 0.7 < roc_auc_score(wrong, p) < 0.8
    assert expected_calibration_error(p, wrong) > 0.3
    fit = fit_labelled(signals, odds, queue(p, wrong, seed=seed), seed=seed)
    after = fit.p_mismatch(signals, odds)
    assert fit.method is LabelledMethod.SIGNALS
    assert expected_calibration_error(after, wrong) < 0.06
    assert roc_auc_score(wrong, after) >= roc_auc_score(wrong, p) - 0.002
    assert fit.noise_rate is not None
    assert fit.noise_rate.estimate == pytest.approx(0.4, abs=0.06)
    assert fit.noise_rate.low < fit.noise_rate.estimate < fit.noise_rate.high


def test_the_rescue_is_seen_on_the_verdicts_themselves() -> None:
    signals, p, wrong = label_free(0.4, topic=True)
    fit = fit_labelled(signals, log_odds(p), queue(p, wrong))
    assert fit.quality is not None
    assert fit.quality_label_free is not None
    assert fit.quality.ece < 0.1 < 0.3 < fit.quality_label_free.ece
    assert fit.quality.brier < fit.quality_label_free.brier


@pytest.mark.parametrize("share", [0.2, 0.4])
def test_300_verdicts_leave_right_probabilities_right(share: float) -> None:
    signals, p, wrong = label_free(share, topic=False)
    odds = log_odds(p)
    after = fit_labelled(signals, odds, queue(p, wrong)).p_mismatch(signals, odds)
    assert expected_calibration_error(after, wrong) < 0.03
    assert roc_auc_score(wrong, after) >= roc_auc_score(wrong, p) - 0.002


@pytest.mark.parametrize(
    ("n", "n_mismatch", "method"),
    [
        (49, 20, LabelledMethod.UNCHANGED),
        (50, 20, LabelledMethod.PLATT),
        (199, 90, LabelledMethod.PLATT),
        (200, 29, LabelledMethod.PLATT),
        (200, 171, LabelledMethod.PLATT),
        (200, 30, LabelledMethod.SIGNALS),
    ],
)
def test_the_method_has_no_more_parameters_than_verdicts_can_bear(
    n: int, n_mismatch: int, method: LabelledMethod
) -> None:
    signals, odds, verdicts = plain(n, n_mismatch)
    fit = fit_labelled(signals, odds, verdicts, n_resamples=2)
    assert (fit.method, fit.n_match, fit.n_mismatch) == (method, n - n_mismatch, n_mismatch)


def test_too_few_verdicts_change_nothing_and_say_so() -> None:
    signals, odds, verdicts = plain(49, 20)
    fit = fit_labelled(signals, odds, verdicts)
    np.testing.assert_allclose(fit.p_mismatch(signals, odds), 1 / (1 + np.exp(-odds)))
    assert fit.interval(signals, odds) is fit.quality is fit.noise_rate is None
    assert fit.quality_label_free is not None


def test_no_verdicts_at_all_change_nothing() -> None:
    signals, odds, _ = plain(50, 20)
    none = Verdicts(rows=np.zeros(0, int), is_mismatch=np.zeros(0, bool), weight=np.zeros(0))
    assert fit_labelled(signals, odds, none).quality_label_free is None


@pytest.mark.parametrize(("n", "n_mismatch"), [(100, 40), (300, 120)])
def test_probability_rises_with_every_signal_and_stays_in_zero_to_one(
    n: int, n_mismatch: int
) -> None:
    signals, odds, verdicts = plain(n, n_mismatch)
    fit = fit_labelled(signals, odds, verdicts, n_resamples=4)
    p = fit.p_mismatch(signals, odds)
    assert ((p >= 0) & (p <= 1)).all()
    for column in range(2):
        higher = signals.copy()
        higher[:, column] += 0.7
        assert (fit.p_mismatch(higher, odds) >= p).all()
    assert (fit.p_mismatch(signals, odds + 0.7) >= p).all()


def test_the_interval_holds_the_probability() -> None:
    signals, odds, verdicts = plain(300, 120)
    fit = fit_labelled(signals, odds, verdicts, n_resamples=8)
    interval, p = fit.interval(signals, odds), fit.p_mismatch(signals, odds)
    assert interval is not None
    low, high = interval
    assert ((low <= p) & (p <= high)).all()
    assert (high - low).mean() > 0.01


@pytest.mark.parametrize(("n", "n_mismatch"), [(100, 40), (300, 120)])
def test_verdicts_of_weight_zero_change_nothing(n: int, n_mismatch: int) -> None:
    signals, odds, verdicts = plain(n, n_mismatch)
    more = Verdicts(
        rows=np.append(verdicts.rows, np.arange(500, 700)),
        is_mismatch=np.append(verdicts.is_mismatch, np.ones(200, np.bool_)),
        weight=np.append(verdicts.weight, np.zeros(200)),
    )
    first, second = (fit_labelled(signals, odds, each, n_resamples=2) for each in (verdicts, more))
    np.testing.assert_array_equal(
        first.p_mismatch(signals, odds), second.p_mismatch(signals, odds)
    )
    assert first.quality == second.quality


def test_the_unit_of_the_weights_does_not_matter() -> None:
    signals, odds, verdicts = plain(300, 120)
    scaled = replace(verdicts, weight=verdicts.weight * 1000)
    first, second = (
        fit_labelled(signals, odds, each, n_resamples=2) for each in (verdicts, scaled)
    )
    np.testing.assert_allclose(
        first.p_mismatch(signals, odds), second.p_mismatch(signals, odds), atol=1e-4
    )


def test_a_verdict_weighs_as_many_pairs_as_its_weight_says() -> None:
    signals, odds, verdicts = plain(100, 50)
    heavy = replace(verdicts, weight=np.where(verdicts.is_mismatch, 9.0, 1.0))
    even = replace(verdicts, weight=np.ones(100))
    rates = [fit_labelled(signals, odds, each, n_resamples=2).noise_rate for each in (heavy, even)]
    assert rates[0] is not None
    assert rates[1] is not None
    assert rates[0].estimate > rates[1].estimate + 0.2


def test_order_of_verdicts_does_not_matter() -> None:
    signals, odds, verdicts = plain(300, 120)
    order = np.random.default_rng(0).permutation(300)
    other = Verdicts(
        rows=verdicts.rows[order],
        is_mismatch=verdicts.is_mismatch[order],
        weight=verdicts.weight[order],
    )
    first, second = (
        fit_labelled(signals, odds, each, n_resamples=2) for each in (verdicts, other)
    )
    np.testing.assert_array_equal(
        first.p_mismatch(signals, odds), second.p_mismatch(signals, odds)
    )
    assert first.quality == second.quality


def test_order_of_pairs_does_not_matter() -> None:
    signals, odds, verdicts = plain(300, 120)
    order = np.random.default_rng(0).permutation(1000)
    moved = replace(verdicts, rows=np.argsort(order)[verdicts.rows])
    here = fit_labelled(signals, odds, verdicts, n_resamples=2)
    there = fit_labelled(signals[order], odds[order], moved, n_resamples=2)
    np.testing.assert_allclose(
        here.p_mismatch(signals, odds)[order],
        there.p_mismatch(signals[order], odds[order]),
        atol=1e-4,
    )


def test_units_of_a_signal_do_not_matter() -> None:
    signals, odds, verdicts = plain(300, 120)
    first = fit_labelled(signals, odds, verdicts, n_resamples=2)
    second = fit_labelled(signals * 40 - 3, odds, verdicts, n_resamples=2)
    np.testing.assert_allclose(
        first.p_mismatch(signals, odds), second.p_mismatch(signals * 40 - 3, odds), atol=1e-4
    )


@pytest.mark.parametrize("verdict", [False, True])
@pytest.mark.parametrize("n", [60, 400])
def test_verdicts_of_one_kind_move_the_probability_their_way(n: int, verdict: bool) -> None:
    signals, odds, verdicts = plain(n, 0)
    fit = fit_labelled(
        signals, odds, replace(verdicts, is_mismatch=np.full(n, verdict)), n_resamples=2
    )
    before, after = (1 / (1 + np.exp(-odds))).mean(), fit.p_mismatch(signals, odds).mean()
    assert fit.method is LabelledMethod.PLATT
    assert (after > before) == verdict
    assert fit.quality is not None
    assert fit.quality.auroc is None


def test_constant_signals_and_log_odds_give_the_weighted_rate() -> None:
    _, _, verdicts = plain(300, 120)
    signals, odds = np.ones((1000, 2)), np.full(1000, -4.0)
    p = fit_labelled(signals, odds, verdicts, n_resamples=2).p_mismatch(signals, odds)
    rate = verdicts.weight @ verdicts.is_mismatch / verdicts.weight.sum()
    np.testing.assert_allclose(p, rate, atol=0.01)


def test_platt_on_a_small_case() -> None:
    """10 verdicts at each of five log odds, two of ten wrong at each."""
    odds = np.repeat([-2.0, -1.0, 0.0, 1.0, 2.0], 10)
    wrong = np.tile(np.arange(10) < 2, 5) ^ (odds > 0)
    verdicts = Verdicts(rows=np.arange(50), is_mismatch=wrong, weight=np.ones(50))
    fit = fit_labelled(np.zeros((50, 1)), odds, verdicts, n_resamples=0)
    model = fit.models[0]
    away = 1 / (1 + np.exp(-(model.slopes[0] * odds + model.offset))) - wrong
    # At the optimum the pull of the verdicts equals the pull of the prior.
    assert away @ odds + 4.0 * (model.slopes[0] - 1.0) == pytest.approx(0.0, abs=1e-4)
    assert away.sum() + 0.25 * model.offset == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": np.zeros(300, int)},
        {"rows": np.arange(300) + 900},
        {"rows": np.arange(300) - 1},
        {"weight": np.full(300, np.nan)},
        {"weight": np.full(300, -1.0)},
        {"weight": np.ones(299)},
    ],
)
def test_impossible_verdicts_are_refused(change: dict[str, Floats]) -> None:
    signals, odds, verdicts = plain(300, 120)
    with pytest.raises(ValueError, match=r"verdict|weights"):
        fit_labelled(signals, odds, replace(verdicts, **change))


def test_values_that_are_not_numbers_are_refused() -> None:
    signals, odds, verdicts = plain(300, 120)
    fit = fit_labelled(signals, odds, verdicts, n_resamples=1)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite"):
            fit_labelled(np.full_like(signals, bad), odds, verdicts)
        with pytest.raises(ValueError, match="finite"):
            fit.p_mismatch(signals, np.full_like(odds, bad))
    with pytest.raises(ValueError, match="log odds"):
        fit_labelled(signals, odds[:-1], verdicts)
