"""Settings of a run: frozen, printable, and part of what identifies its outputs."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ncaudit.errors import ConfigError

# The signals that may decide, by the column that shows them.
DECIDING = (
    "neg_clip_loss",
    "mscn_similarity",
    "neighbour_discrepancy",
    "crcl_match_probability",
    "crcl_label",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadsConfig:
    """How the linear heads are started and trained.

    Attributes:
        folds: Number of cross-fitting folds, grouped by image; at least 2.
        dim: Width of the matching space.
        ridges: Candidate ridges of the CCA start, in units of the mean variance; the
            one that best separates held-out pairs from planted mismatches is taken.
        runs: Training runs on all pairs, each with mismatches of its own planted.
        run_ridge: Ridge of a run's start, in units of the one that was taken.
        temperature: tau of the in-batch softmax.
        epochs: Passes over the fit pairs.
        batch: Pairs in a training batch.
        learning_rate: Step of AdamW; small, because the start is already good.
        weight_decay: Decay of AdamW.
        momentum: beta of SCC, the weight of a pair's previous label.
        floor: eps of SCC; a label under it becomes 0.
        complement_weight: lambda of ACL.
        clip_norm: Largest gradient norm.
    """

    folds: int = 5
    dim: int = 128
    ridges: tuple[float, ...] = (0.3, 1.0, 3.0)
    runs: int = 3
    run_ridge: float = 1 / 3
    temperature: float = 0.05
    epochs: int = 4
    batch: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    momentum: float = 0.8
    floor: float = 0.1
    complement_weight: float = 5.0
    clip_norm: float = 2.0

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ConfigError(f"{self.folds} folds are too few", hint="Use 2 or more.")
        if self.runs < 2:  # a pair that is replaced in the only run would have no label
            raise ConfigError(f"{self.runs} runs are too few", hint="Use 2 or more.")


@dataclass(frozen=True, slots=True, kw_only=True)
class BankConfig:
    """The fixed reference banks that stand in for a random batch.

    Attributes:
        energy_batch: B of the SREM energies and entropies: a pair and B - 1 bank pairs.
        loss_batch: B of negCLIPLoss and the match probability.
        repeats: R banks, averaged.
    """

    energy_batch: int = 64
    loss_batch: int = 256
    repeats: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighbourConfig:
    """Where neighbours are looked for, and how many count.

    Attributes:
        reference: Pairs among which neighbours are looked for, at most.
        k: Neighbours that count in each modality.
    """

    reference: int = 10_000
    k: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaConfig:
    """How MSCN's correspondence network is taught.

    Attributes:
        mode: `plain` trains it on trusted and constructed pairs; `bilevel` also trains its
            features on the noisy pairs it keeps.
        share: Share of the pairs that are trusted where nobody vouched for any.
        most: At most so many.
        hard_share: Share of the constructed mismatches with a caption that is near.
        steps: Steps of training, about.
        learning_rate: Step of the optimiser.
    """

    mode: Literal["plain", "bilevel"] = "plain"
    share: float = 0.5
    most: int = 5_000
    hard_share: float = 0.5
    steps: int = 300
    learning_rate: float = 2e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """How the matching model and its calibration are fitted.

    Attributes:
        fit_pairs: Pairs to fit on at most; above that a seeded sample is drawn.
        min_pairs: Fewer scored pairs than this are not fitted on.
        planted_fraction: Share of the fit pairs replaced by known mismatches in each run.
        signals: Signals that decide, of those in `ncaudit.signals.deciding`.
        heads: Start and training of the heads.
        bank: Reference banks.
        neighbours: Neighbours of LEMoN's score.
        meta: MSCN.
    """

    fit_pairs: int = 500_000
    min_pairs: int = 200
    planted_fraction: float = 1 / 15
    signals: tuple[str, ...] = DECIDING
    heads: HeadsConfig = field(default_factory=HeadsConfig)
    bank: BankConfig = field(default_factory=BankConfig)
    neighbours: NeighbourConfig = field(default_factory=NeighbourConfig)
    meta: MetaConfig = field(default_factory=MetaConfig)

    def __post_init__(self) -> None:
        strange = [name for name in self.signals if name not in DECIDING]
        if strange or not self.signals:
            raise ConfigError(
                f"these signals cannot decide: {', '.join(strange) or 'none at all'}",
                hint=f"Choose from {', '.join(DECIDING)}.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreConfig:
    """Settings of `ncaudit score` that decide its numbers.

    Attributes:
        shards: What the user typed: folders, globs, brace ranges, lists, URLs.
        encoder: `bundled` or `MODEL/PRETRAINED` of open_clip.
        captions: Where captions are: `auto`, `txt` or `json:FIELD`.
        model: Folder of a fitted model to use instead of fitting, or None.
        seed: Root of every random draw.
        device: `auto`, `cpu` or `cuda`.
        batch_size: Images or captions in one forward pass.
        fit: How the model is fitted.
    """

    shards: tuple[str, ...]
    encoder: str = "bundled"
    captions: str = "auto"
    model: str | None = None
    seed: int = 0
    device: str = "auto"
    batch_size: int = 64
    fit: FitConfig = field(default_factory=FitConfig)


def as_plain(config: object) -> dict[str, Any]:
    """Return a config as nested dicts of plain values, for JSON."""
    plain: dict[str, Any] = asdict(config)  # type: ignore[call-overload]
    return plain
