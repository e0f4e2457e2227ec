"""The settings of a cleaning, checked."""

import math
from dataclasses import dataclass
from pathlib import Path

from ncaudit.errors import ConfigError

DEFAULT_THRESHOLD = 0.5
DEFAULT_MIN_CONFIDENCE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanConfig:
    """Settings of `ncaudit clean`; at most one of the three ways to choose the threshold.

    Attributes:
        run: Folder of a finished run.
        out: Folder for the cleaned shards.
        threshold: Pairs with `p_mismatch >= threshold` leave; 0.5 if nothing is chosen.
        keep_fraction: Share of the scored pairs to keep, those of lowest `p_mismatch`.
        max_good_loss: Share of the expected good pairs that may be lost.
        verdicts: File of people's verdicts on single pairs, which outrank the threshold.
        apply_rematch: Keep pairs that would leave with their accepted proposal instead.
        min_confidence: Least `rematch_confidence` of a proposal that is used, 0 to 1;
            0.5 if nothing is chosen. Only with `apply_rematch`.
        reshard: Samples per cleaned tar; None keeps the shards as they were.
        card: Write `README.md`, a data set card as the Hugging Face hub reads it.
        clip_retrieval: Write the embeddings of the kept pairs as clip-retrieval has them.
    """

    run: Path
    out: Path
    threshold: float | None = None
    keep_fraction: float | None = None
    max_good_loss: float | None = None
    verdicts: Path | None = None
    apply_rematch: bool = False
    min_confidence: float | None = None
    reshard: int | None = None
    card: bool = False
    clip_retrieval: bool = False

    def __post_init__(self) -> None:
        given = {name: value for name, value in self._choices().items() if value is not None}
        if len(given) > 1:
            raise ConfigError(
                f"{' and '.join(given)} are both given", hint="Choose the threshold in one way."
            )
        if self.min_confidence is not None:
            if not self.apply_rematch:
                raise ConfigError(
                    "min_confidence is given, but no proposals are applied",
                    hint="Add --apply-rematch.",
                )
            given["min_confidence"] = self.min_confidence
        for name, value in given.items():
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise ConfigError(f"{name} is {value}", hint="Give a number from 0 to 1.")
        if self.reshard is not None and self.reshard < 1:
            raise ConfigError(f"reshard is {self.reshard}", hint="Give samples per tar, over 0.")
        if self.out.resolve() == self.run.resolve():
            raise ConfigError(f"{self.out} is the run itself", hint="Choose another --out.")

    @property
    def chosen_by(self) -> tuple[str, float]:
        """Name and value of the setting that decides the threshold."""
        given = ((name, value) for name, value in self._choices().items() if value is not None)
        return next(given, ("threshold", DEFAULT_THRESHOLD))

    @property
    def confidence(self) -> float | None:
        """Least confidence of a proposal that is used; None if none is."""
        if not self.apply_rematch:
            return None
        return DEFAULT_MIN_CONFIDENCE if self.min_confidence is None else self.min_confidence

    def _choices(self) -> dict[str, float | None]:
        return {
            "threshold": self.threshold,
            "keep_fraction": self.keep_fraction,
            "max_good_loss": self.max_good_loss,
        }
