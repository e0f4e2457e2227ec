"""Settings of a benchmark and the cases they stand for."""

from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from ncaudit.audit.noise.kinds import NoiseKind
from ncaudit.config import ScoreConfig
from ncaudit.errors import ConfigError


class Baselines(StrEnum):
    """Which methods stand beside the fusion and its signals."""

    ALL = "all"
    FAST = "fast"  # no neighbour search, and no further fits
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchCase:
    """One kind of noise at one rate.

    Attributes:
        noise: What is exchanged.
        rate: Share, in [0, 1].
        captions_per_image: Captions of each image that take part, or None for all.
    """

    noise: NoiseKind
    rate: float
    captions_per_image: int | None

    @property
    def name(self) -> str:
        """Captions, kind and rate: `1:caption:0.4`, `all:image:0.2`."""
        return f"{self.captions_per_image or 'all'}:{self.noise}:{self.rate:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchConfig:
    """Settings of `ncaudit bench`.

    Attributes:
        score: Shards, encoder, captions, device and how models are fitted.
        noise: Kinds of noise.
        rates: Rates of each kind.
        n_seeds: Seeds 0, 1, ... of each case.
        captions_per_image: Captions of each image that take part, or None for all.
        baselines: Which methods stand beside the fusion.
        downstream: Whether retrieval heads are trained on noisy and cleaned pairs.
    """

    score: ScoreConfig
    noise: tuple[NoiseKind, ...] = (NoiseKind.CAPTION,)
    rates: tuple[float, ...] = (0.4,)
    n_seeds: int = 3
    captions_per_image: int | None = None
    baselines: Baselines = Baselines.ALL
    downstream: bool = False

    def __post_init__(self) -> None:
        for rate in self.rates:
            if not 0 <= rate <= 1:
                raise ConfigError(
                    f"--rate {rate:g} is no share of the pairs", hint="Give a rate from 0 to 1."
                )
        if self.n_seeds < 1:
            raise ConfigError(
                f"--seeds {self.n_seeds} is no number of seeds", hint="Use 1 or more."
            )
        if self.captions_per_image is not None and self.captions_per_image < 1:
            raise ConfigError(
                f"--captions-per-image {self.captions_per_image} leaves no pairs",
                hint="Use 1 or more, or `all`.",
            )

    @property
    def cases(self) -> tuple[BenchCase, ...]:
        """Every kind at every rate, each once, in the order given."""
        wanted = dict.fromkeys(product(self.noise, self.rates))
        return tuple(
            BenchCase(noise=noise, rate=rate, captions_per_image=self.captions_per_image)
            for noise, rate in wanted
        )
