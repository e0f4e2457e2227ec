"""What cleaning is worth: the same retrieval head trained on noisy and on cleaned pairs."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from ncaudit.audit.noise.plant import Noisy
from ncaudit.matching.heads import Heads, image_features
from ncaudit.matching.pairs import Pairs
from ncaudit.matching.retrieval import CUTOFFS, Retrieval, retrieval
from ncaudit.types import Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadTraining:
    """How the retrieval head is trained: as an ordinary user would, blind to noise.

    Attributes:
        updates: Steps of the optimiser, the same for every set of pairs.
        batch: Pairs in a batch, at most.
        dim: Width of the common space.
        temperature: tau of InfoNCE.
        learning_rate: Step of AdamW; it falls to 0 along a cosine.
        weight_decay: Decay of AdamW.
    """

    updates: int = 500
    batch: int = 256
    dim: int = 128
    temperature: float = 0.05
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Pairs to train on and to test on.

    Attributes:
        noisy: Pairs of which some are wrong, n of them, with the truth.
        clean: The pairs as they were before noise.
        held_out: Clean pairs of other images.
        aligned: Whether the towers share a space.
        seed: Of the head's start and the batches.
        training: How the head is trained.
    """

    noisy: Noisy
    clean: Pairs
    held_out: Pairs
    aligned: bool
    seed: int
    training: HeadTraining

    def rows(
        self,
        flagged: Floats,
        scores: Mapping[str, Floats],
        on_row: Callable[[int], None] | None = None,
    ) -> dict[str, Any]:
        """Train on every set of pairs and compare.

        Args:
            flagged: `p_mismatch` of the fusion; pairs at 0.5 or above are dropped, shape (n,).
            scores: Baseline to scores, high for a mismatch, each of shape (n,). Each keeps
                as many pairs as the fusion, those of the lowest scores.
            on_row: Called with 1 after each training.

        Returns:
            Settings and one row per set of pairs, JSON-ready. `oracle` is the noisy pairs
            without their mismatches, which is what recovery is measured by; `clean` is all
            pairs before noise, which no cleaning by dropping can reach.
        """
        sets = self._sets(flagged, scores)
        found = {}
        for name, each in sets.items():
            found[name] = self._tested(each)
            if on_row:
                on_row(1)
        lost = found["oracle"].rsum - found["noisy"].rsum
        return {
            "training": asdict(self.training),
            "held_out_images": found["noisy"].n_images,
            "held_out_captions": found["noisy"].n_captions,
            "rows": [
                {
                    "method": name,
                    "n_kept": len(sets[name]),
                    **recalls(result),
                    "recovery": (result.rsum - found["noisy"].rsum) / lost if lost > 0 else None,
                }
                for name, result in found.items()
            ],
        }

    def _sets(self, flagged: Floats, scores: Mapping[str, Floats]) -> dict[str, Pairs]:
        pairs = self.noisy.pairs
        kept = np.flatnonzero(flagged < 0.5)
        lowest = {
            name: np.sort(np.argsort(score, kind="stable")[: len(kept)])
            for name, score in scores.items()
        }
        return {
            "noisy": pairs,
            "fusion": pairs.take(kept),
            **{name: pairs.take(rows) for name, rows in lowest.items()},
            "oracle": pairs.take(np.flatnonzero(~self.noisy.is_mismatch)),
            "clean": self.clean,
        }

    def _tested(self, pairs: Pairs) -> Retrieval:
        heads = train_retrieval_head(pairs, self.training, aligned=self.aligned, seed=self.seed)
        _, first, image = np.unique(self.held_out.image_id, return_index=True, return_inverse=True)
        return retrieval(
            heads.project_images(self.held_out.image[first]),
            heads.project_captions(self.held_out.caption),
            image,
        )


def recalls(result: Retrieval) -> dict[str, float]:
    """Return the six recalls and their sum by name, rounded, in percent."""
    named = {
        f"{direction}_r{k}": round(value, 3)
        for direction in ("image_to_caption", "caption_to_image")
        for k, value in zip(CUTOFFS, getattr(result, direction), strict=True)
    }
    return named | {"rsum": round(result.rsum, 3)}


def train_retrieval_head(
    pairs: Pairs, training: HeadTraining, *, aligned: bool, seed: int
) -> Heads:
    """Train two linear maps from a random start with symmetric InfoNCE.

    Args:
        pairs: Pairs to learn from; all count alike.
        training: Updates and rates.
        aligned: Whether the towers share a space.
        seed: Of the start and the batches.

    Source:
        The loss of CLIP, Radford et al., ICML 2021, at a fixed temperature.
    """
    image = image_features(pairs.image, aligned=aligned)
    caption = pairs.caption.astype(np.float32)
    means = image.mean(0), caption.mean(0)
    sides = [
        torch.from_numpy(side - mean) for side, mean in zip((image, caption), means, strict=True)
    ]
    maps = _trained_maps(sides, training, seed)
    return Heads(aligned, means[0], maps[0], means[1], maps[1])


def _trained_maps(sides: list[Tensor], training: HeadTraining, seed: int) -> list[Floats]:
    rng = np.random.default_rng([seed, 1005])
    maps = [_random_map(side.shape[1], training.dim, rng) for side in sides]
    optimiser = torch.optim.AdamW(
        maps, lr=training.learning_rate, weight_decay=training.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, training.updates)
    for rows in _batches(len(sides[0]), training, rng):
        at = torch.from_numpy(rows)
        image, caption = (
            normalize(side[at] @ each, dim=1) for side, each in zip(sides, maps, strict=True)
        )
        logits = image @ caption.T / training.temperature
        own = torch.arange(len(rows))
        loss = (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return [each.detach().numpy() for each in maps]


def _random_map(width: int, dim: int, rng: np.random.Generator) -> Tensor:
    start = rng.normal(size=(width, dim)) / np.sqrt(width)
    return torch.from_numpy(start.astype(np.float32)).requires_grad_()


def _batches(n: int, training: HeadTraining, rng: np.random.Generator) -> list[Ints]:
    """Return the rows of each update: passes in random order, cut off after the last."""
    size = min(training.batch, n)
    per_pass = n // size
    n_passes = -(-training.updates // per_pass)
    rows = [rng.permutation(n)[: per_pass * size].reshape(per_pass, size) for _ in range(n_passes)]
    return list(np.concatenate(rows)[: training.updates])
