"""MSCN across folds: who is trusted, what is constructed against them, and what V then says."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch

from ncaudit.config import MetaConfig
from ncaudit.devices import one_thread
from ncaudit.matching.beta_mixture import BetaMixture, fit_beta_mixture, reference_mixture
from ncaudit.matching.fit_set import FitSet
from ncaudit.matching.heads import Heads
from ncaudit.matching.mscn import (
    BILEVEL,
    PLAIN,
    EmbeddedPairs,
    MetaMatcher,
    MetaTraining,
    train_bilevel,
    train_meta_network,
)
from ncaudit.matching.pairs import Pairs
from ncaudit.types import Floats, Ints

_HARD_RANKS = (5, 50)
_CHUNK_ROWS = 2048
_MOST_NOISY = 20_000  # pairs that the bilevel mode trains on


@dataclass(frozen=True, slots=True, eq=False)
class Matcher:
    """A correspondence network and the heads in whose space it works.

    Attributes:
        fold: Fold of the heads.
        network: V.
    """

    fold: int
    network: MetaMatcher


@dataclass(frozen=True, slots=True, eq=False)
class MetaFit:
    """Networks and what they say of pairs that neither they nor their heads have seen.

    Attributes:
        matchers: Two per fold, or one where people vouched for the trusted pairs.
        similarity: V of the observed, then of the planted pairs, shape (n + m,), in [0, 1].
        mixture: Beta mixture over the observed pairs' similarities.
        trusted: `given` if people vouched for the trusted pairs, else `self`.
        n_trusted: Number of trusted pairs that a network learned from, at most.
    """

    matchers: tuple[Matcher, ...]
    similarity: Floats
    mixture: BetaMixture
    trusted: str
    n_trusted: int


def fit_meta(
    fit_set: FitSet,
    heads: tuple[Heads, ...],
    match_probability: Floats,
    config: MetaConfig,
    *,
    given: Pairs | None,
    seed: int,
) -> MetaFit:
    """Train correspondence networks and score what they have not seen.

    Heads make the pairs they were trained on look alike, so a network must learn from pairs
    that its heads have not seen. Without `given` ones these are the likeliest pairs of one
    half of a fold, and the other half is judged; then the network says little that the heads
    do not say, and is marked as such.

    Args:
        fit_set: Observed and planted pairs.
        heads: Held-out heads, one per fold; the networks work in their space.
        match_probability: Held-out, of the observed pairs, shape (n,).
        config: Mode and sizes.
        given: Pairs known to be matched, or None.
        seed: Decides weights and batches.
    """
    n, block = len(fit_set.pairs), fit_set.block_of_everything
    similarity = np.empty(len(block), np.float32)
    matchers: list[Matcher] = []
    n_trusted = 0
    halves = [(0, 1)] if given is not None else [(0,), (1,)]
    for fold, judged in product(range(fit_set.n_folds), halves):
        learned = np.flatnonzero((fit_set.fold == fold) & ~np.isin(fit_set.half, judged))
        trusted = given
        if trusted is None:
            trusted = fit_set.pairs.take(_most_matching(match_probability, learned, config))
        generator = torch.Generator().manual_seed(seed * 1000 + len(matchers))
        noisy = fit_set.pairs.take(learned)
        with one_thread():
            network = _train(heads[fold], trusted, noisy, config, generator=generator)
        matchers.append(Matcher(fold, network))
        n_trusted = max(n_trusted, len(trusted))
        blocks = [fit_set.n_folds * half + fold for half in judged]
        rows = np.flatnonzero(np.isin(block, blocks))
        for at, chunk in fit_set.everything.take(rows).chunks(_CHUNK_ROWS):
            similarity[rows[at]] = judge(network, heads[fold].project(chunk))
    mixture = _mixture(similarity[:n], similarity[n:], match_probability, config)
    kind = "self" if given is None else "given"
    return MetaFit(tuple(matchers), similarity, mixture, kind, n_trusted)


def judge(matcher: MetaMatcher, own: tuple[Floats, Floats]) -> Floats:
    """Return V of pairs in the space of its heads, in [0, 1], shape (n,), float32.

    Args:
        matcher: V.
        own: Images and captions, unit rows, shape (n, k) each; a few thousand at a time.
    """
    with torch.no_grad():
        similarity: Floats = torch.sigmoid(matcher(*map(torch.from_numpy, own))).numpy()
    return similarity


def _most_matching(match_probability: Floats, rows: Ints, config: MetaConfig) -> Ints:
    n_wanted = max(2, min(round(config.share * len(rows)), config.most))
    order = np.argsort(-match_probability[rows], kind="stable")
    chosen: Ints = rows[order[:n_wanted]]
    return chosen


def _train(
    heads: Heads,
    trusted: Pairs,
    noisy: Pairs,
    config: MetaConfig,
    *,
    generator: torch.Generator,
) -> MetaMatcher:
    positive = _embedded(heads, trusted)
    negative = _constructed(positive, trusted, config.hard_share, generator)
    if not len(negative.images):
        # All of one image, or of one caption: an untrained network judges as well as any.
        return MetaMatcher(positive.images.shape[1], generator=generator).eval()
    if config.mode == "plain" or len(noisy) < 2:
        plain = _for_steps(PLAIN, len(positive.images) + len(negative.images), config)
        return train_meta_network(positive, negative, generator=generator, training=plain)
    few = noisy.take(np.arange(min(len(noisy), _MOST_NOISY)))
    bilevel = _for_steps(BILEVEL, len(few), config)
    return train_bilevel(
        positive, negative, _embedded(heads, few), generator=generator, training=bilevel
    )


def _for_steps(training: MetaTraining, n_pairs: int, config: MetaConfig) -> MetaTraining:
    """Return the settings with as many passes over the pairs as make about so many steps."""
    epochs = max(1, round(config.steps * training.batch / max(n_pairs, training.batch)))
    return replace(training, epochs=epochs, learning_rate=config.learning_rate)


def _embedded(heads: Heads, pairs: Pairs) -> EmbeddedPairs:
    image, caption = heads.project(pairs)
    return EmbeddedPairs(torch.from_numpy(image), torch.from_numpy(caption))


def _constructed(
    positive: EmbeddedPairs, trusted: Pairs, hard_share: float, generator: torch.Generator
) -> EmbeddedPairs:
    """Return one mismatch per trusted image: some with a caption that is near, some random.

    Near is a rank from 5 to 50 among the trusted captions, so that the caption is rarely
    another true one.
    """
    n = len(trusted)
    seed = int(torch.randint(2**31, (1,), generator=generator))
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    wrong = np.empty(n, np.int64)
    wrong[order] = np.roll(order, 1)  # a derangement
    hard = rng.permutation(n)[: round(hard_share * n)]
    low, high = min(_HARD_RANKS[0], n - 1), min(_HARD_RANKS[1], n)
    for at in np.array_split(hard, max(1, len(hard) // 1024)):
        near = torch.topk(positive.images[at] @ positive.captions.T, high, dim=1).indices.numpy()
        wrong[at] = near[np.arange(len(at)), rng.integers(low, high, len(at))]
    apart = trusted.image_id != trusted.image_id[wrong]
    apart &= trusted.caption_id != trusted.caption_id[wrong]
    keep = np.flatnonzero(apart)
    return EmbeddedPairs(positive.images[keep], positive.captions[wrong[keep]])


def _mixture(
    observed: Floats, planted: Floats, match_probability: Floats, config: MetaConfig
) -> BetaMixture:
    """Fit the mixture of MSCN's purification, started at known and at likely pairs."""
    rows = _most_matching(match_probability, np.arange(len(observed)), config)
    start = reference_mixture(planted, observed[rows])
    return fit_beta_mixture(observed.astype(np.float64), initial=start)
