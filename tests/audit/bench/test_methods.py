"""The fusion without each of its signals, where a fit lets one choose them."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ncaudit.audit.bench import methods
from ncaudit.audit.bench.methods import Method, Task, fusion_methods, other_methods
from ncaudit.audit.bench.settings import Baselines
from ncaudit.audit.noise.plant import Noisy
from ncaudit.config import FitConfig
from ncaudit.matching.heads import unit_rows
from ncaudit.matching.pairs import Pairs
from tests.support.toy_encoder import ToyEncoder

N = 120


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


TRAINED: Any = SimpleNamespace()
DECIDING = ("neg_clip_loss", "crcl_label")


def others(asked: Task) -> Iterator[Method]:
    return other_methods(asked, TRAINED, DECIDING)


def names(asked: Task) -> list[str]:
    return [method.name for method in others(asked)]


def test_the_fusion_is_calibrated_with_other_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    used: dict[str, tuple[str, ...]] = {}

    def calibrate(*_args: object, names: tuple[str, ...], seed: int) -> object:
        scores = SimpleNamespace(p_mismatch=np.full(N, len(names) / 10))
        summary = {"estimated_noise_rate": 0.5, "names": names, "seed": seed}
        used[str(len(used))] = names
        return SimpleNamespace(score=lambda _: scores, summary=summary)

    monkeypatch.setattr(methods, "calibrate", calibrate)
    config = FitConfig(signals=(*DECIDING, "mscn_similarity"))
    found = names(task(Baselines.ALL, config))
    assert [name for name in found if name.startswith("fusion")] == [
        "fusion_without_neg_clip_loss",
        "fusion_without_crcl_label",
        "fusion_with_mscn_similarity",
    ]
    assert list(used.values()) == [
        ("crcl_label",),
        ("neg_clip_loss",),
        ("neg_clip_loss", "crcl_label", "mscn_similarity"),
    ]


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
    for method in others(asked):
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
