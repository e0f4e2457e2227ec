"""Settings of a run: frozen, printable, and part of what identifies its outputs."""

from dataclasses import asdict, dataclass, field
from typing import Any

from ncaudit.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadsConfig:
    """How the linear heads are started and trained.

    Attributes:
        folds: Number of cross-fitting folds, grouped by image; at least 3.
        dim: Width of the matching space.
        ridges: Candidate ridges of the CCA start, in units of the mean variance; the
            one that best separates held-out pairs from planted mismatches is taken.
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
    ridges: tuple[float, ...] = (1.0, 3.0)
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
        if self.folds < 3:  # with two, a planted pair could take part in no run as observed
            raise ConfigError(f"{self.folds} folds are too few", hint="Use 3 or more.")


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
class FitConfig:
    """How the matching model and its calibration are fitted.

    Attributes:
        fit_pairs: Pairs to fit on at most; above that a seeded sample is drawn.
        min_pairs: Fewer scored pairs than this are not fitted on.
        planted_fraction: Share of the fit pairs replaced by known mismatches in each run.
        heads: Start and training of the heads.
        bank: Reference banks.
    """

    fit_pairs: int = 500_000
    min_pairs: int = 200
    planted_fraction: float = 0.05
    heads: HeadsConfig = field(default_factory=HeadsConfig)
    bank: BankConfig = field(default_factory=BankConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class RematchConfig:
    """How captions are proposed for flagged pairs.

    Attributes:
        enabled: False leaves the proposal columns empty.
        pool: `flagged`: captions of flagged pairs alone; `all`: of kept pairs too.
        within: Which shards may exchange captions: `all`, `shard`, `folder`, a number of
            leading folders, or globs separated by commas.
        max_pairs: Flagged pairs that take part at most, and kept ones; a seeded draw above.
        flagged_p: A pair with a p_mismatch at or above is flagged.
        neighbours: Candidates k of every image and of every caption.
        flat_limit: Up to this many rows all are compared; above, an inverted file is used.
        duplicate_cosine: Captions whose frozen embeddings are more alike are one.
        search_dim: Leading directions of the matching space that the index sees.
        regularisation: Weight of the transport's entropy.
        accept_confidence: Least `rematch_confidence` of an accepted proposal.
        accept_mass: Least transported share of an accepted proposal.
        accept_p: An accepted proposal's p_mismatch is below this.
    """

    enabled: bool = True
    pool: str = "flagged"
    within: str = "all"
    max_pairs: int = 1_000_000
    flagged_p: float = 0.5
    neighbours: int = 32
    flat_limit: int = 1_000_000
    duplicate_cosine: float = 0.98
    search_dim: int = 256
    regularisation: float = 0.02
    accept_confidence: float = 0.5
    accept_mass: float = 0.5
    accept_p: float = 0.2

    def __post_init__(self) -> None:
        if self.pool not in ("flagged", "all"):
            raise ConfigError(f"unknown rematch pool {self.pool!r}", hint="Known: flagged, all.")
        if not self.within.strip():
            raise ConfigError(
                "no shards may exchange captions",
                hint="Use --no-rematch, or --rematch-within all, shard, folder, a number or globs.",
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
        rematch: How captions are proposed for flagged pairs.
    """

    shards: tuple[str, ...]
    encoder: str = "bundled"
    captions: str = "auto"
    model: str | None = None
    seed: int = 0
    device: str = "auto"
    batch_size: int = 64
    fit: FitConfig = field(default_factory=FitConfig)
    rematch: RematchConfig = field(default_factory=RematchConfig)


def as_plain(config: object) -> dict[str, Any]:
    """Return a config as nested dicts of plain values, for JSON."""
    plain: dict[str, Any] = asdict(config)  # type: ignore[call-overload]
    return plain
