"""The settings of each command, as the command line, config files and Python calls fill them.

A field is a key of the command's section in a config file and, under the same name, an
argument in Python; its text under `Attributes` is what `--print-config` says of it.
"""

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, TypeVar

from ncaudit.audit.bench.settings import Baselines, BenchConfig
from ncaudit.audit.clean_config import CleanConfig
from ncaudit.audit.noise.kinds import NoiseKind
from ncaudit.config import FitConfig, RematchConfig, ScoreConfig
from ncaudit.engine.base import EngineOptions
from ncaudit.errors import ConfigError

T = TypeVar("T")
_ANY = math.inf
# Least and greatest value of numbers, by key; what only a model can judge is left to it.
_RANGES: dict[str, tuple[float, float]] = {
    "batch_size": (1, _ANY),
    "seed": (0, _ANY),
    "fit.fit_pairs": (1, _ANY),
    "fit.min_pairs": (1, _ANY),
    "fit.planted_fraction": (0, 0.5),
    "fit.bank.energy_batch": (2, _ANY),
    "fit.bank.loss_batch": (2, _ANY),
    "fit.bank.repeats": (1, _ANY),
    "fit.neighbours.reference": (1, _ANY),
    "fit.neighbours.k": (1, _ANY),
    "fit.meta.share": (0, 1),
    "fit.meta.most": (1, _ANY),
    "fit.meta.hard_share": (0, 1),
    "fit.meta.steps": (1, _ANY),
    "rematch.max_pairs": (1, _ANY),
    "rematch.flagged_p": (0, 1),
    "rematch.neighbours": (1, _ANY),
    "rematch.flat_limit": (0, _ANY),
    "rematch.duplicate_cosine": (-1, 1),
    "rematch.search_dim": (1, _ANY),
    "rematch.accept_confidence": (0, 1),
    "rematch.accept_mass": (0, 1),
    "rematch.accept_p": (0, 1),
    "engine.workers": (0, _ANY),
    "engine.gpus_per_worker": (0, _ANY),
}


def _all_that_suit() -> EngineOptions:
    return EngineOptions(workers=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedSettings:
    """What every command that embeds shards takes.

    Attributes:
        shards: Folders, globs, brace ranges, @lists or URLs of shards.
        encoder: `bundled`, MODEL/PRETRAINED of open_clip, or the name of a plugin.
        captions: Where captions are: `auto`, `txt` or `json:FIELD`.
        device: `auto`, `cpu` or `cuda`.
        batch_size: Images or captions in one forward pass.
        torch_compile: Compile the encoder's forward passes; models of open_clip only.
    """

    shards: tuple[str, ...] = ()
    encoder: str = "bundled"
    captions: str = "auto"
    device: str = "auto"
    batch_size: int = 64
    torch_compile: bool = False

    def __post_init__(self) -> None:
        for key, (low, high) in _RANGES.items():
            value: object = self
            for name in key.split("."):
                value = getattr(value, name, None)
            if isinstance(value, int | float):
                _check_range(key, value, low, high)

    @property
    def config(self) -> ScoreConfig:
        """The settings as the use cases take them; what this command has not is left out.

        Raises:
            ConfigError: If no shards are named.
        """
        _named(self.shards)
        return _filled(ScoreConfig, self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSettings(EmbedSettings):
    """Settings of `ncaudit score`.

    Attributes:
        out: Folder of the run.
        embeddings: Folder of embeddings to import instead of encoding.
        model: Folder of a fitted model to use instead of fitting.
        trusted: Shards of pairs known to be matched, for MSCN.
        verdicts: CSV of people's verdicts to calibrate on: 50 or more.
        seed: Root of every random draw.
        extra_signals: Signals of other packages that become columns of `scores/*.parquet`.
        overwrite: Replace another run in the folder; embeddings that fit are kept.
        fit: How the model is fitted.
        rematch: How captions are proposed for flagged pairs.
        engine: Where the work is done; decides no number.
    """

    out: Path = Path("audit")
    embeddings: str | None = None
    model: str | None = None
    trusted: tuple[str, ...] = ()
    verdicts: str | None = None
    seed: int = 0
    extra_signals: tuple[str, ...] = ()
    overwrite: bool = False
    fit: FitConfig = field(default_factory=FitConfig)
    rematch: RematchConfig = field(default_factory=RematchConfig)
    engine: EngineOptions = field(default_factory=_all_that_suit)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings(EmbedSettings):
    """Settings of `ncaudit train`.

    Attributes:
        out: Folder of the model.
        cache: Folder of embeddings to use and fill; OUT/embeddings if not set.
        trusted: Shards of pairs known to be matched, for MSCN.
        verdicts: CSV of people's verdicts to calibrate on: 50 or more.
        seed: Root of every random draw.
        fit: How the model is fitted.
        engine: Where the work is done; decides no number.
    """

    out: Path = Path("model")
    cache: Path | None = None
    trusted: tuple[str, ...] = ()
    verdicts: str | None = None
    seed: int = 0
    fit: FitConfig = field(default_factory=FitConfig)
    engine: EngineOptions = field(default_factory=_all_that_suit)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSettings(EmbedSettings):
    """Settings of `ncaudit evaluate`.

    Attributes:
        model: Folder of the fitted model.
        out: Folder to write.
        cache: Folder of embeddings to use and fill; OUT/embeddings if not set.
    """

    model: str | None = None
    out: Path = Path("evaluation")
    cache: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSettings(EmbedSettings):
    """Settings of `ncaudit bench`.

    Attributes:
        noise: Kinds of noise: what is exchanged.
        rate: Shares to exchange, 0 to 1.
        seeds: Seeds of each case: 0, 1, ...
        captions_per_image: Captions of each image that take part: a number, or `all`.
        out: Folder to write.
        cache: Folder of embeddings to use and fill; OUT/embeddings if not set.
        baselines: Methods beside the fusion and its signals: `all`, `fast` or `none`.
        downstream: Train retrieval heads on noisy and cleaned pairs.
        fit: How models are fitted.
    """

    noise: tuple[NoiseKind, ...] = (NoiseKind.CAPTION,)
    rate: tuple[float, ...] = (0.4,)
    seeds: int = 3
    captions_per_image: int | Literal["all"] = "all"
    out: Path = Path("bench")
    cache: Path | None = None
    baselines: Baselines = Baselines.ALL
    downstream: bool = False
    fit: FitConfig = field(default_factory=FitConfig)

    @property
    def bench(self) -> BenchConfig:
        """The settings as the benchmark takes them.

        Raises:
            ConfigError: If no shards are named, or a number is out of range.
        """
        n_captions = self.captions_per_image
        return BenchConfig(
            score=self.config,
            noise=self.noise,
            rates=self.rate,
            n_seeds=self.seeds,
            captions_per_image=None if n_captions == "all" else n_captions,
            baselines=self.baselines,
            downstream=self.downstream,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanSettings(CleanConfig):
    """Settings of `ncaudit clean`."""

    run: Path = Path("audit")
    out: Path = Path("cleaned")


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidateSettings:
    """Settings of `ncaudit validate`.

    Attributes:
        shards: Folders, globs, brace ranges, @lists or URLs of shards.
        captions: Where captions are: `auto`, `txt` or `json:FIELD`.
        decode: Decode images too; without, only tars and captions are checked.
    """

    shards: tuple[str, ...] = ()
    captions: str = "auto"
    decode: bool = True

    @property
    def patterns(self) -> tuple[str, ...]:
        """The shards.

        Raises:
            ConfigError: If none are named.
        """
        return _named(self.shards)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSettings:
    """Settings of `ncaudit report`.

    Attributes:
        run: Folder of a finished run.
        out: Page to write; RUN/report.html if not set.
        png: Folder to write the plots to, as PNG; none if not set.
        pairs: Most pairs of each kind in the gallery, 0 to 500.
    """

    run: Path = Path("audit")
    out: Path | None = None
    png: Path | None = None
    pairs: int = 120

    def __post_init__(self) -> None:
        _check_range("pairs", self.pairs, 0, 500)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSettings:
    """Settings of `ncaudit review`.

    Attributes:
        run: Folder of a finished run.
        port: Port on 127.0.0.1; 0 is any free one.
        open_page: Open the page in the browser.
        pairs: Pairs to look at.
        threshold: Precision is estimated for dropping at this p.
        seed: Root of every random draw.
    """

    run: Path = Path("audit")
    port: int = 0
    open_page: bool = True
    pairs: int = 300
    threshold: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        _check_range("port", self.port, 0, 65_535)
        _check_range("pairs", self.pairs, 1, 100_000)
        _check_range("threshold", self.threshold, 0, 1)
        _check_range("seed", self.seed, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """Settings of `ncaudit demo`.

    Attributes:
        out: Folder to write.
        pairs: Number of readable pairs, at least 20.
        noise_rate: Share of pairs with another picture's caption, 0 to 1.
        seed: Root of every random draw.
    """

    out: Path = Path("demo")
    pairs: int = 1200
    noise_rate: float = 0.2
    seed: int = 0


def _named(shards: tuple[str, ...]) -> tuple[str, ...]:
    if not shards:
        raise ConfigError(
            "no shards are named",
            hint="Name folders, globs or .tar files, or set `shards` in the config file.",
        )
    return shards


def _check_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    if not low <= value <= high:
        to = "on" if high == math.inf else f"to {high:g}"
        raise ConfigError(f"{name} is {value}", hint=f"Give a number from {low:g} {to}.")


def _filled(kind: type[T], settings: object) -> T:
    """Return a config of `kind` from the settings that have the names of its fields."""
    names = [each.name for each in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: getattr(settings, name) for name in names if hasattr(settings, name)})
