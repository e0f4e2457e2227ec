"""The fusion without each of its signals, where a fit lets one choose them."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from ncaudit.audit.bench import methods
from ncaudit.audit.bench.methods import Task, fusion_methods, other_methods
from ncaudit.audit.bench.settings import Baselines
from ncaudit.audit.noise.plant import Noisy
from ncaudit.config import FitConfig
from ncaudit.matching.heads import unit_rows
from ncaudit.matching.pairs import Pairs
from tests.support.toy_encoder import ToyEncoder

N = 120


@dataclass(frozen=True, kw_only=True)
class ChoosyFitConfig(FitConfig):
    signals: tuple[str, ...] = ("neg_clip_loss", "crcl_label", "crcl_label")


def task(baselines: Baselines, config: FitConfig | None = None, *, aligned: bool = True) -> Task:
    rng = np.random.default_rng(0)
    image = unit_rows(rng.normal(size=(N, 30)).astype(np.float32) + 3)
    caption = unit_rows(image + 0.1 * rng.normal(size=(N, 30)).astype(np.float32) - 0.3)
    truth = np.arange(N) < 40
    caption[:40] = np.roll(caption[:40], 1, axis=0)
    ids = np.arange(N, dtype=np.uint64)
    return Task(
        noisy=Noisy(Pairs(image, caption, ids, ids), truth),
        config=config or FitConfig(),
        card=ToyEncoder(aligned=aligned).card,
        seed=0,
        baselines=baselines,
    )


def names(asked: Task) -> list[str]:
    return [method.name for method in other_methods(asked)]


def test_the_fusion_is_fitted_without_each_of_its_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[tuple[str, ...]] = []

    def fit(_pairs: Pairs, config: ChoosyFitConfig, *_args: object, **_more: object) -> object:
        used.append(config.signals)
        scores = SimpleNamespace(p_mismatch=np.full(N, 0.5))
        summary = {"estimated_noise_rate": 0.5}
        return SimpleNamespace(score=lambda _: scores, summary=summary)

    monkeypatch.setattr(methods, "fit_model", fit)
    found = names(task(Baselines.ALL, ChoosyFitConfig()))
    assert [name for name in found if name.startswith("fusion_without")] == [
        "fusion_without_neg_clip_loss",
        "fusion_without_crcl_label",
    ]
    assert used == [("crcl_label",), ("neg_clip_loss",)]


def test_fewer_baselines_leave_out_the_slow_ones_and_then_all() -> None:
    assert names(task(Baselines.NONE)) == ["oracle"]
    fast = names(task(Baselines.FAST))
    assert fast[:3] == ["random", "cosine", "centred_cosine"]
    assert not [name for name in fast if "lemon" in name or "without" in name]


def test_towers_without_a_common_space_have_no_cosine() -> None:
    assert "cosine" not in names(task(Baselines.FAST, aligned=False))


def test_every_baseline_is_high_for_a_mismatch() -> None:
    asked = task(Baselines.FAST)
    truth = asked.noisy.is_mismatch
    for method in other_methods(asked):
        if method.name not in ("random", "start_neg_clip_loss", "gmm_on_loss"):
            assert method.score[truth].mean() > method.score[~truth].mean(), method.name


def test_signals_are_turned_so_that_high_is_bad_and_empty_ones_have_no_row() -> None:
    columns = {"similarity": np.array([0.1, 0.9]), "srem_uncertainty": np.array([0.1, 0.9])}
    columns |= {"mscn_similarity": np.full(2, np.nan), "not_a_column": np.zeros(2)}
    model = SimpleNamespace(summary={"estimated_noise_rate": 0.3})
    scores = SimpleNamespace(p_mismatch=np.array([0.2, 0.8]), signals=columns)
    found = {each.name: each for each in fusion_methods(model, scores, 1.0)}  # type: ignore[arg-type]
    assert list(found) == ["fusion", "similarity", "srem_uncertainty"]
    assert found["fusion"].estimated_rate == 0.3
    assert found["similarity"].score.tolist() == [-0.1, -0.9]
    assert found["srem_uncertainty"].score.tolist() == [0.1, 0.9]
