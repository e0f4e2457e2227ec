"""Every method of a benchmark as scores of the same noisy pairs; high speaks for a mismatch."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ncaudit.audit.bench.lemon import MAX_K, LemonTask, lemon_fixed, lemon_tuned
from ncaudit.audit.bench.loss_mixture import noisy_posterior
from ncaudit.audit.bench.neighbours import both_neighbours
from ncaudit.audit.bench.settings import Baselines
from ncaudit.audit.bench.start_scores import start_scores
from ncaudit.audit.evidence import Trained
from ncaudit.audit.fit_model import calibrate
from ncaudit.audit.model import AuditModel, Scores
from ncaudit.audit.noise.plant import Noisy
from ncaudit.config import FitConfig
from ncaudit.matching.heads import unit_rows
from ncaudit.matching.pairs import Pairs
from ncaudit.report.columns import SIGNAL_COLUMNS
from ncaudit.types import EncoderCard, Floats, Ints

Kind = Literal["baseline", "signal", "fusion", "ablation", "oracle"]
FUSION = "fusion"


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """One method's scores.

    Attributes:
        name: Row of the table.
        kind: What it is to the fusion.
        score: High for a mismatch, shape (n,).
        is_probability: Whether the scores are probabilities.
        seconds: What it took, beside what it shares with others.
        estimated_rate: Its estimate of the noise rate, or None.
        rows: Rows to report on; None for all.
    """

    name: str
    kind: Kind
    score: Floats
    is_probability: bool
    seconds: float
    estimated_rate: float | None = None
    rows: Ints | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Noisy pairs and how they are audited.

    Attributes:
        noisy: Pairs and the truth.
        config: How models are fitted.
        card: Encoder of the embeddings.
        seed: Root of every draw.
        baselines: Which methods stand beside the fusion.
    """

    noisy: Noisy
    config: FitConfig
    card: EncoderCard
    seed: int
    baselines: Baselines

    @property
    def pairs(self) -> Pairs:
        """The noisy pairs."""
        return self.noisy.pairs


def fusion_methods(model: AuditModel, scores: Scores, seconds: float) -> Iterator[Method]:
    """Yield the fusion, then each of its signals."""
    rate = model.summary["estimated_noise_rate"]
    p = scores.p_mismatch
    yield Method(FUSION, "fusion", p, is_probability=True, seconds=seconds, estimated_rate=rate)
    for column in SIGNAL_COLUMNS:
        values = scores.signals.get(column.name)
        if values is not None and np.isfinite(values).all():
            turned = values if column.bad == "high" else -values
            yield Method(column.name, "signal", turned, is_probability=False, seconds=0.0)


def other_methods(task: Task, trained: Trained, deciding: Sequence[str]) -> Iterator[Method]:
    """Yield the baselines, the fusion with other signals, and the oracle.

    Args:
        task: Noisy pairs and settings.
        trained: What the fusion was calibrated on.
        deciding: Its signals.
    """
    if task.baselines is not Baselines.NONE:
        yield from _plain(task)
        yield from _by_start(task)
    if task.baselines is Baselines.ALL:
        yield from _ablations(task, trained, deciding)
    truth = task.noisy.is_mismatch
    yield Method(
        "oracle",
        "oracle",
        truth.astype(np.float64),
        is_probability=True,
        seconds=0.0,
        estimated_rate=float(truth.mean()),
    )


def _plain(task: Task) -> Iterator[Method]:
    """Yield what needs no fitting."""
    pairs = task.pairs
    chance = np.random.default_rng([task.seed, 1004]).random(len(pairs))
    yield Method("random", "baseline", chance, is_probability=False, seconds=0.0)
    if task.card.aligned:
        image, caption = pairs.image.astype(np.float32), pairs.caption.astype(np.float32)
        yield _cosine("cosine", image, caption)
        centred = unit_rows(image - image.mean(0)), unit_rows(caption - caption.mean(0))
        yield _cosine("centred_cosine", *centred)


def _cosine(name: str, image: Floats, caption: Floats) -> Method:
    started = time.perf_counter()
    score = -np.einsum("nk,nk->n", image, caption)
    seconds = time.perf_counter() - started
    return Method(name, "baseline", score, is_probability=False, seconds=seconds)


def _by_start(task: Task) -> Iterator[Method]:
    """Yield what needs the closed-form start alone."""
    started = time.perf_counter()
    start = start_scores(task.pairs, task.config, aligned=task.card.aligned, seed=task.seed)
    seconds = time.perf_counter() - started
    yield Method(
        "start_cosine", "baseline", -start.similarity, is_probability=False, seconds=seconds
    )
    loss = -start.neg_clip_loss
    yield Method("start_neg_clip_loss", "baseline", loss, is_probability=False, seconds=seconds)
    # ln P_ii = (S_ii + energy) / tau, so negCLIPLoss is the InfoNCE loss but for its unit.
    started = time.perf_counter()
    posterior = noisy_posterior(loss / task.config.heads.temperature, seed=task.seed)
    yield Method(
        "gmm_on_loss",
        "baseline",
        posterior,
        is_probability=True,
        seconds=time.perf_counter() - started,
        estimated_rate=float(posterior.mean()),
    )
    if task.baselines is Baselines.ALL:
        yield from _lemon(task, 1 - start.similarity)


def _lemon(task: Task, pair_distance: Floats) -> Iterator[Method]:
    started = time.perf_counter()
    near = both_neighbours(task.pairs, pair_distance, k=MAX_K)
    lemon = LemonTask(pair_distance, *near)
    score = lemon_fixed(lemon)
    seconds = time.perf_counter() - started
    yield Method("lemon_fixed", "baseline", score, is_probability=False, seconds=seconds)
    started = time.perf_counter()
    score, rest = lemon_tuned(lemon, task.noisy.is_mismatch, seed=task.seed)
    seconds = time.perf_counter() - started
    yield Method(
        "lemon_tuned", "baseline", score, is_probability=False, seconds=seconds, rows=rest
    )


def _ablations(task: Task, trained: Trained, deciding: Sequence[str]) -> Iterator[Method]:
    """Yield the fusion without each of its signals, and with each that does not decide."""
    chosen = {
        f"fusion_without_{name}": tuple(other for other in deciding if other != name)
        for name in deciding
    }
    chosen |= {
        f"fusion_with_{name}": (*deciding, name)
        for name in task.config.signals
        if name not in deciding
    }
    for row, names in chosen.items():
        if not names:
            continue
        started = time.perf_counter()
        model = calibrate(trained, task.config, task.card, seed=task.seed, names=names)
        yield Method(
            row,
            "ablation",
            model.score(task.pairs).p_mismatch,
            is_probability=True,
            seconds=time.perf_counter() - started,
            estimated_rate=model.summary["estimated_noise_rate"],
        )
