"""MSCN on frozen embeddings: a small network that judges pairs, taught by trusted pairs.

Separate from the linear heads: it sees more than a cosine, and it learns from pairs that are
known to be matched and from known mismatches.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ncaudit.matching.beta_mixture import fit_beta_mixture, reference_mixture
from ncaudit.matching.soft_margin import (
    Parameters,
    bilevel_step,
    mean_negative_hinge,
    soft_margin_loss,
)
from ncaudit.types import Floats


class RelationFeatures(nn.Module):
    """phi(v, t) = W [(v - t)^2 ; v * t] as unit rows, from embeddings of width `dim`."""

    def __init__(self, dim: int, width: int = 256) -> None:
        super().__init__()
        self.mix = nn.Linear(2 * dim, width, bias=False)

    def forward(self, images: Tensor, captions: Tensor) -> Tensor:
        """Return phi, shape (..., width), of embeddings of shape (..., d)."""
        relation = torch.cat([(images - captions).square(), images * captions], dim=-1)
        features: Tensor = self.mix(relation)
        return nn.functional.normalize(features, dim=-1)


class CorrespondenceNetwork(nn.Module):
    """V: one hidden layer from relation features to a logit; its sigmoid is the similarity."""

    def __init__(self, width: int = 256, hidden: int = 64) -> None:
        super().__init__()
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits, shape (...), of features of shape (..., width)."""
        logits: Tensor = self.outer(torch.relu(self.inner(features)))
        return logits.squeeze(-1)


class MetaMatcher(nn.Module):
    """Relation features and the network that judges them; the generator draws the weights.

    Source:
        Han et al., CVPR 2023, arXiv:2304.06275 (MSCN). Checked by reading
        hhc1997/MSCN@ec94685 (MIT), models.py.

    Differs from the source:
        Relation features of two global embeddings, with a product term, in place of SGR or
        SAF similarity vectors of regions and words.
    """

    def __init__(
        self, dim: int, *, generator: torch.Generator, width: int = 256, hidden: int = 64
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # default weights draw from the global state
            self.features = RelationFeatures(dim, width)
            self.network = CorrespondenceNetwork(width, hidden)
        for layer in (self.features.mix, self.network.inner, self.network.outer):
            bound = 1 / math.sqrt(layer.in_features)
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=generator)

    @classmethod
    def restore(cls, arrays: Mapping[str, Floats]) -> Self:
        """Return the matcher whose `state_dict` held these arrays.

        Raises:
            RuntimeError: If arrays are missing or their shapes do not fit together.
            KeyError: If an array that tells the sizes is missing.
        """
        width, both = arrays["features.mix.weight"].shape
        hidden = len(arrays["network.inner.weight"])
        matcher = cls(both // 2, generator=torch.Generator(), width=width, hidden=hidden)
        matcher.load_state_dict(
            {name: torch.from_numpy(values) for name, values in arrays.items()}
        )
        return matcher.eval()

    def forward(self, images: Tensor, captions: Tensor) -> Tensor:
        """Return logits, shape (...), of embeddings of shape (..., d)."""
        logits: Tensor = self.network(self.features(images, captions))
        return logits


class EmbeddedPairs(NamedTuple):
    """Embeddings of n pairs: unit rows, shape (n, d) each."""

    images: Tensor
    captions: Tensor

    def take(self, index: Tensor) -> "EmbeddedPairs":
        """Return some of the pairs."""
        return EmbeddedPairs(*(half[index.to(half.device)] for half in self))

    def draw(self, n_pairs: int, generator: torch.Generator) -> "EmbeddedPairs":
        """Return random pairs, with replacement."""
        return self.take(torch.randint(len(self.images), (n_pairs,), generator=generator))


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaTraining:
    """How a `MetaMatcher` is trained.

    Attributes:
        width: Width of the relation features.
        hidden: Width of the hidden layer.
        epochs: Passes over the pairs.
        batch: Pairs in a batch; B^2 pairs are judged in a bilevel step.
        learning_rate: Step of AdamW, or of Adam for the relation features.
        weight_decay: Decay of AdamW; only in the plain mode.
        warmup: Epochs of mean negatives before the bilevel steps.
        margin: Margin of a surely matched pair.
        virtual_rate: Step of the virtual SGD step; 2e-4 in the paper.
        meta_rate: Step of Adam for the network; 1.7e-5 in the paper.
        clip_norm: Largest gradient norm.
    """

    width: int = 256
    hidden: int = 64
    epochs: int = 40
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warmup: int = 5
    margin: float = 0.2
    virtual_rate: float = 1e-3
    meta_rate: float = 1e-4
    clip_norm: float = 2.0


PLAIN = MetaTraining(batch=256)
BILEVEL = MetaTraining()


def train_meta_network(
    trusted: EmbeddedPairs,
    mismatched: EmbeddedPairs,
    *,
    generator: torch.Generator,
    training: MetaTraining = PLAIN,
) -> MetaMatcher:
    """Train a matcher to tell trusted pairs from mismatches, by AdamW on their logits.

    With frozen embeddings this is what MSCN's meta objective comes to.

    Args:
        trusted: Pairs taken as matched, (n, d).
        mismatched: Pairs known to be mismatched, (m, d); m near n, or scores are shifted.
        generator: Draws weights and batches; a CPU generator. Same state, same matcher.
        training: Settings.

    Returns:
        The matcher, in evaluation mode, with the device and dtype of the pairs.

    Raises:
        ValueError: If either kind of pairs is missing.

    Differs from the source (see `MetaMatcher`):
        No bilevel step, see `train_bilevel`.
    """
    matcher = _new_matcher(trusted, mismatched, training, generator)
    rate, decay = training.learning_rate, training.weight_decay
    optimiser = torch.optim.AdamW(matcher.parameters(), lr=rate, weight_decay=decay)
    n_batches = math.ceil((len(trusted.images) + len(mismatched.images)) / training.batch)
    for _ in range(training.epochs):
        orders = [_batches(pairs, n_batches, generator) for pairs in (trusted, mismatched)]
        for positive, negative in zip(*orders, strict=True):
            loss = _meta_loss(matcher, positive, negative, {})
            _step(optimiser, loss, matcher, training.clip_norm)
    return matcher.eval()


def train_bilevel(
    trusted: EmbeddedPairs,
    mismatched: EmbeddedPairs,
    noisy: EmbeddedPairs,
    *,
    generator: torch.Generator,
    training: MetaTraining = BILEVEL,
) -> MetaMatcher:
    """Train a matcher on noisy pairs, its network taught by trusted ones (MSCN's bilevel).

    After the warm-up, every epoch keeps the noisy pairs that a Beta mixture calls clean;
    every batch first corrects the network theta by the hyper-gradient, then trains the
    relation features w by the soft-margin loss that theta gives.

    Args and returns are those of `train_meta_network`, and the noisy pairs, (l, d).

    Raises:
        ValueError: If either kind of known pairs is missing, or fewer than 2 are noisy.

    Source:
        As `MetaMatcher`.

    Differs from the source:
        One matcher instead of two that teach each other. Embeddings are frozen: w is the
        relation features only. The virtual step and the network's rate are larger.
    """
    if len(noisy.images) < 2:
        raise ValueError("a batch needs 2 noisy pairs at least")
    matcher = _new_matcher(trusted, mismatched, training, generator)
    everything = torch.optim.Adam(matcher.parameters(), lr=training.learning_rate)
    n_batches = math.ceil(len(noisy.images) / training.batch)
    for _ in range(training.warmup):
        for batch in _batches(noisy, n_batches, generator):
            losses = mean_negative_hinge(_similarity_matrix(matcher, batch, {}), training.margin)
            _step(everything, losses[0].sum() + losses[1].sum(), matcher, training.clip_norm)
    features = torch.optim.Adam(matcher.features.parameters(), lr=training.learning_rate)
    network = torch.optim.Adam(matcher.network.parameters(), lr=training.meta_rate)
    for _ in range(training.epochs):
        kept = noisy.take(_purify(matcher, trusted, mismatched, noisy))
        for batch in _batches(kept, math.ceil(len(kept.images) / training.batch), generator):
            meta = [pairs.draw(len(batch.images), generator) for pairs in (trusted, mismatched)]
            _correct_network(matcher, network, batch, meta, training)
            loss = soft_margin_loss(_similarity_matrix(matcher, batch, {}), margin=training.margin)
            _step(features, loss, matcher.features, training.clip_norm)
    return matcher.eval()


def _correct_network(
    matcher: MetaMatcher,
    optimiser: torch.optim.Optimizer,
    batch: EmbeddedPairs,
    meta: list[EmbeddedPairs],
    training: MetaTraining,
) -> None:
    inner = {f"features.{name}": value for name, value in matcher.features.named_parameters()}
    outer = dict(matcher.network.named_parameters())
    step = bilevel_step(
        lambda w: soft_margin_loss(_similarity_matrix(matcher, batch, w), margin=training.margin),
        lambda w: _meta_loss(matcher, meta[0], meta[1], w),
        inner=inner,
        outer=outer,
        rate=training.virtual_rate,
    )
    for parameter, gradient in zip(outer.values(), step.hyper_gradient, strict=True):
        parameter.grad = gradient
    optimiser.step()


def _meta_loss(
    matcher: MetaMatcher, trusted: EmbeddedPairs, mismatched: EmbeddedPairs, inner: Parameters
) -> Tensor:
    """Return the mean cross entropy of trusted (1) and mismatched (0) pairs, a scalar."""
    halves = tuple(torch.cat(half) for half in zip(trusted, mismatched, strict=True))
    logits: Tensor = functional_call(matcher, dict(inner), halves)
    labels = torch.zeros_like(logits)
    labels[: len(trusted.images)] = 1.0
    return nn.functional.binary_cross_entropy_with_logits(logits, labels)


def _similarity_matrix(matcher: MetaMatcher, pairs: EmbeddedPairs, inner: Parameters) -> Tensor:
    """Return S_ij = V(phi(image i, caption j)), shape (b, b)."""
    grid = (len(pairs.images), len(pairs.captions), -1)
    halves = (pairs.images[:, None].expand(grid), pairs.captions[None].expand(grid))
    logits: Tensor = functional_call(matcher, dict(inner), halves)
    return torch.sigmoid(logits)


def _purify(
    matcher: MetaMatcher, trusted: EmbeddedPairs, mismatched: EmbeddedPairs, noisy: EmbeddedPairs
) -> Tensor:
    """Return the indices of the noisy pairs that look clean; all if too few do."""
    with torch.no_grad():
        positive, negative, scores = (
            torch.sigmoid(matcher(*pairs)).double().cpu().numpy()
            for pairs in (trusted, mismatched, noisy)
        )
    mixture = fit_beta_mixture(scores, initial=reference_mixture(negative, positive))
    kept = torch.from_numpy(mixture.posterior(scores) > 0.5).nonzero().squeeze(1)
    return kept if len(kept) > 1 else torch.arange(len(scores))


def _new_matcher(
    trusted: EmbeddedPairs,
    mismatched: EmbeddedPairs,
    training: MetaTraining,
    generator: torch.Generator,
) -> MetaMatcher:
    if not len(trusted.images) or not len(mismatched.images):
        raise ValueError("trusted and mismatched pairs are both needed")
    dim, width, hidden = trusted.images.shape[1], training.width, training.hidden
    return MetaMatcher(dim, generator=generator, width=width, hidden=hidden).to(trusted.images)


def _batches(
    pairs: EmbeddedPairs, n_batches: int, generator: torch.Generator
) -> Iterator[EmbeddedPairs]:
    """Yield the pairs in a random order, in batches of nearly equal size."""
    order = torch.randperm(len(pairs.images), generator=generator)
    return map(pairs.take, order.tensor_split(n_batches))


def _step(
    optimiser: torch.optim.Optimizer, loss: Tensor, module: nn.Module, clip_norm: float
) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(module.parameters(), clip_norm)
    optimiser.step()
