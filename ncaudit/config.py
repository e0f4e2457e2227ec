"""Settings of a run: frozen, printable, and part of what identifies its outputs."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ncaudit.errors import ConfigError


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
        folds: Number of cross-fitting folds, grouped by image; at least 3.
        dim: Width of the matching space.
        ridges: Candidate ridges of the CCA start, in units of the mean variance; the
            one that best separates held-out pairs from planted mismatches is taken.
        temperature: tau of the in-batch softmax.
        pieces: Passes over the fit pairs in which labels are blended, for every piece; at
            each piece the heads start again and the labels are carried on.
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
    ridges: tuple[float, ...] = (1.0, 3.0)
    temperature: float = 0.05
    pieces: tuple[int, ...] = (4,)
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
        _check_choices(self)
        if self.folds < 3:  # with two, a planted pair could take part in no run as observed
            raise ConfigError(f"{self.folds} folds are too few", hint="Use 3 or more.")
        if not self.pieces or min(self.pieces) < 1 or self.warmup < 0:
            raise ConfigError(
                f"pieces {self.pieces} with {self.warmup} epochs of warm-up are no schedule",
                hint="Give every piece 1 epoch or more, and the warm-up 0 or more.",
            )

    @property
    def n_epochs(self) -> int:
        """Number of epochs over all pieces, warm-up included."""
        return sum(self.pieces) + self.warmup * len(self.pieces)


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


def _check_choices(config: object) -> None:
    for name, hint in get_type_hints(type(config)).items():
        value, choices = getattr(config, name), get_args(hint)
        if get_origin(hint) is Literal and value not in choices:
            raise ConfigError(f"{name} is {value!r}", hint=f"Use one of: {', '.join(choices)}.")
