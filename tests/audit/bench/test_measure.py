import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from ncaudit.audit.bench.measure import Yardstick
from ncaudit.audit.bench.methods import Method
from ncaudit.audit.bench.settings import BenchConfig
from ncaudit.audit.bench.summary import COLUMNS, summarise_cases
from ncaudit.audit.noise.kinds import NoiseKind
from ncaudit.audit.noise.plant import Noisy
from ncaudit.config import ScoreConfig
from ncaudit.errors import ConfigError
from ncaudit.matching.pairs import Pairs

N = 200
RNG = np.random.default_rng(0)
TRUTH = RNG.random(N) < 0.3
P = np.clip(0.7 * RNG.random(N) + 0.3 * TRUTH, 0, 1)


def yardstick(truth: np.ndarray = TRUTH) -> Yardstick:
    empty = np.zeros((N, 1), np.float16)
    ids = np.arange(N, dtype=np.uint64)
    return Yardstick(Noisy(Pairs(empty, empty, ids // 2, ids), truth), seed=0)


def method(score: np.ndarray, *, is_probability: bool = True, **more: object) -> Method:
    return Method("m", "baseline", score, is_probability, 0.0, **more)


def test_a_row_has_every_column_of_a_probability() -> None:
    row = yardstick().row(method(P, estimated_rate=0.25))
    assert row["auroc"] == pytest.approx(roc_auc_score(TRUTH, P))
    assert row["auroc_low"] < row["auroc"] < row["auroc_high"]
    assert row["ap_low"] < row["ap"] < row["ap_high"]
    assert row["f1_at_half"] == pytest.approx(f1_score(TRUTH, P >= 0.5))
    assert row["estimated_rate"] == 0.25
    assert all(row[name] is not None for name in COLUMNS)


def test_a_score_that_is_no_probability_has_no_calibration() -> None:
    row = yardstick().row(method(10 * P, is_probability=False))
    assert row["auroc"] == pytest.approx(roc_auc_score(TRUTH, P))
    assert [row[name] for name in ("f1_at_half", "ece", "brier")] == [None] * 3


def test_a_method_that_saw_labels_is_measured_on_the_other_pairs() -> None:
    rest = np.arange(50, N)
    row = yardstick().row(method(P, rows=rest))
    assert row["n_pairs"] == 150
    assert row["auroc"] == pytest.approx(roc_auc_score(TRUTH[rest], P[rest]))


def test_without_mismatches_there_is_calibration_but_no_ranking() -> None:
    row = yardstick(np.zeros(N, bool)).row(method(np.full(N, 0.1)))
    assert row["auroc"] is None
    assert row["recall_at_95"] is None
    assert row["f1_at_half"] is None
    assert row["ece"] == pytest.approx(0.1)
    assert "recall" not in yardstick(np.zeros(N, bool)).plotted(method(P))


def test_what_is_plotted_has_curves_and_bins() -> None:
    plotted = yardstick().plotted(method(P))
    assert plotted["false_positive_rate"][0] == 0
    assert plotted["true_positive_rate"][-1] == 1
    assert sum(row[0] for row in plotted["reliability"]) == N


def entry(seed: int, auroc: float | None) -> dict[str, object]:
    row = dict.fromkeys(COLUMNS, 0.5) | {"method": "fusion", "kind": "fusion", "auroc": auroc}
    return {"case": "1:caption:0.4", "seed": seed, "n_pairs": 10, "true_rate": 0.4, "rows": [row]}


def test_a_summary_is_mean_lowest_and_highest_over_seeds() -> None:
    (case,) = summarise_cases([entry(0, 0.8), entry(1, 0.9), entry(2, 0.7)])
    assert case["seeds"] == [0, 1, 2]
    assert case["rows"][0]["auroc"] == pytest.approx({"mean": 0.8, "low": 0.7, "high": 0.9})
    assert case["rows"][0]["kind"] == "fusion"


def test_what_no_seed_has_is_empty_in_the_summary() -> None:
    (case,) = summarise_cases([entry(0, None)])
    assert case["rows"][0]["auroc"] is None


def config(**more: object) -> BenchConfig:
    return BenchConfig(score=ScoreConfig(shards=("x",)), **more)


def test_cases_are_every_kind_at_every_rate_once() -> None:
    kinds = (NoiseKind.CAPTION, NoiseKind.TOPIC)
    many = config(noise=kinds, rates=(0.2, 0.4, 0.2), captions_per_image=1)
    names = [case.name for case in many.cases]
    assert names == ["1:caption:0.2", "1:caption:0.4", "1:topic:0.2", "1:topic:0.4"]
    assert config().cases[0].name == "all:caption:0.4"


@pytest.mark.parametrize(
    "wrong", [{"rates": (1.5,)}, {"rates": (-0.1,)}, {"n_seeds": 0}, {"captions_per_image": 0}]
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        config(**wrong)
