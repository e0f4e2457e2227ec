"""Settings of a run: frozen, printable, and part of what identifies its outputs."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

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
class SremConfig:
    """What the objective `srem` adds; every choice the paper leaves open is a setting.

    Energies are relative: U + tau ln B, 0 for a pair that resembles nothing in its batch.

    Attributes:
        filtration: `mixture` (two Gaussians on U) or `margin` (U below `threshold`).
        threshold: Greatest relative U of a clean pair, for `margin`.
        top1: Whether a clean pair must also be its image's best match in the batch, in at
            least half of the batchings.
        repeats: R random batchings that U is averaged over.
        hinge: a, the margin of the triplet loss on clean pairs.
        margins: (m_c, m_n) of the energy loss, relative; None takes the mean U of either side
            of the filtration.
        energy_weight: lambda_E.
        complement_weight: lambda_C.
    """

    filtration: Literal["mixture", "margin"] = "mixture"
    threshold: float = -0.2
    top1: bool = False
    repeats: int = 4
    hinge: float = 0.2
    margins: tuple[float, float] | None = None
    energy_weight: float = 1.0
    complement_weight: float = 1.0

    def __post_init__(self) -> None:
        _check_choices(self)
        if self.margins and not self.margins[0] < self.margins[1]:
            raise ConfigError(
                f"energy margins {self.margins} are not in order",
                hint="The clean pairs' margin must be below the noisy pairs'.",
            )
        if self.repeats < 1:
            raise ConfigError(f"{self.repeats} batchings measure nothing", hint="Use 1 or more.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadsConfig:
    """How the linear heads are started and trained.

    Attributes:
        folds: Number of cross-fitting folds, grouped by image; at least 2.
        dim: Width of the matching space.
        ridges: Candidate ridges of the CCA start, in units of the mean variance; the
            one that best separates held-out pairs from planted mismatches is taken.
        runs: Training runs on all pairs, each with mismatches of its own planted.
        run_ridges: Candidate ridges of a run's start.
        run_tolerance: A run starts with the least ridge whose AUROC of telling its planted
            pairs from the others is within this of the best.
        temperature: tau of the in-batch softmax.
        pieces: Passes over the fit pairs in which labels are blended, for every piece; at
            each piece the heads start again and the labels are carried on.
        most_visits: Visits to pairs in one piece; where there are so many pairs that its
            passes would be more, it passes less often, but once at least. The heads of a
            fold then learn from so many pairs, drawn by the seed.
        warmup: Passes with frozen labels before those of every piece.
        labels_from: First labels: the `start`'s match probabilities, or `ones`.
        noise_guard: If the mean match probability after the first warm-up is below this, a
            mixture's posterior becomes the labels in its place.
        batch: Pairs in a training batch.
        learning_rate: Step of AdamW; small, because the start is already good.
        weight_decay: Decay of AdamW.
        momentum: beta of SCC, the weight of a pair's previous label.
        floor: eps of SCC; a label under it becomes 0.
        objective: What is minimised: `crcl` or `srem`.
        complement: Complementary term of `crcl`: ACL's own or biased learning, `cbcl`.
        complement_bias: Which wrong partners count more in `cbcl` and in `srem`.
        complement_weight: lambda of ACL.
        clip_norm: Largest gradient norm.
        srem: What `srem` adds.
    """

    folds: int = 5
    dim: int = 128
    ridges: tuple[float, ...] = (0.3, 1.0, 3.0)
    runs: int = 3
    run_ridges: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)
    run_tolerance: float = 0.01
    temperature: float = 0.05
    pieces: tuple[int, ...] = (4,)
    most_visits: int = 200_000
    warmup: int = 0
    labels_from: Literal["start", "ones"] = "start"
    noise_guard: float = 0.2
    batch: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    momentum: float = 0.8
    floor: float = 0.1
    objective: Literal["crcl", "srem"] = "crcl"
    complement: Literal["acl", "cbcl"] = "acl"
    complement_bias: Literal["uniform", "similar", "dissimilar"] = "uniform"
    complement_weight: float = 5.0
    clip_norm: float = 2.0
    srem: SremConfig = field(default_factory=SremConfig)

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ConfigError(f"{self.folds} folds are too few", hint="Use 2 or more.")
        if self.runs < 2:  # a pair that is replaced in the only run would have no label
            raise ConfigError(f"{self.runs} runs are too few", hint="Use 2 or more.")
        _check_choices(self)
        if not self.pieces or min(self.pieces) < 1 or self.warmup < 0:
            raise ConfigError(
                f"pieces {self.pieces} with {self.warmup} epochs of warm-up are no schedule",
                hint="Give every piece 1 epoch or more, and the warm-up 0 or more.",
            )

    def for_size(self, n_pairs: int) -> "HeadsConfig":
        """Return the settings to train on so many pairs with: `most_visits` applied."""
        most = max(1, self.most_visits // max(n_pairs, 1))
        return replace(self, pieces=tuple(min(piece, most) for piece in self.pieces))


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
    steps: int = 100
    learning_rate: float = 1e-3


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
        temperature: tau of the softmax among an image's and a caption's candidates.
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
    flat_limit: int = 50_000
    duplicate_cosine: float = 0.98
    search_dim: int = 256
    regularisation: float = 0.02
    temperature: float = 0.05
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
        embeddings: Folder of embeddings to import instead of encoding, or None; see
            `ncaudit.embeddings.imported`.
        captions: Where captions are: `auto`, `txt` or `json:FIELD`.
        model: Folder of a fitted model to use instead of fitting, or None.
        trusted: Shards of pairs known to be matched, for MSCN.
        verdicts: File of people's verdicts to calibrate on, or None.
        seed: Root of every random draw.
        device: `auto`, `cpu` or `cuda`.
        batch_size: Images or captions in one forward pass.
        torch_compile: Whether the encoder's forward passes are compiled.
        extra_signals: Signals of other packages that become columns of the parts.
        fit: How the model is fitted.
        rematch: How captions are proposed for flagged pairs.
    """

    shards: tuple[str, ...]
    encoder: str = "bundled"
    embeddings: str | None = None
    captions: str = "auto"
    model: str | None = None
    trusted: tuple[str, ...] = ()
    verdicts: str | None = None
    seed: int = 0
    device: str = "auto"
    batch_size: int = 64
    torch_compile: bool = False
    extra_signals: tuple[str, ...] = ()
    fit: FitConfig = field(default_factory=FitConfig)
    rematch: RematchConfig = field(default_factory=RematchConfig)


def as_plain(config: object) -> dict[str, Any]:
    """Return a config as nested dicts of plain values, for JSON."""
    plain: dict[str, Any] = asdict(config)  # type: ignore[call-overload]
    return plain


def _check_choices(config: object) -> None:
    for name, hint in get_type_hints(type(config)).items():
        value, choices = getattr(config, name), get_args(hint)
        if get_origin(hint) is Literal and value not in choices:
            raise ConfigError(f"{name} is {value!r}", hint=f"Use one of: {', '.join(choices)}.")
