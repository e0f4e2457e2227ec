"""Which pairs are worth looking at: the worst, the borderline, the repairs, and some of all.

Separate from reading their captions and pictures, so that a million pairs are looked
through with four columns and only the chosen ones are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ncaudit.report.parts import read_part
from ncaudit.types import Floats, Ints

WORST, BORDERLINE, REPAIRS, SAMPLE = "worst", "borderline", "repairs", "sample"
SETS = (WORST, BORDERLINE, REPAIRS, SAMPLE)
_COLUMNS = ("status", "p_mismatch", "rematch_key", "rematch_confidence")


@dataclass(frozen=True, slots=True)
class ChosenPair:
    """One pair to show.

    Attributes:
        part: Position of its part.
        row: Row in that part.
        sets: Which of SETS it belongs to.
    """

    part: int
    row: int
    sets: tuple[str, ...]


class TopRows:
    """The rows of highest score over many parts; memory holds only these.

    Args:
        n: How many. Of equal scores the first ones are kept.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._score: Floats = np.zeros(0)
        self._part: Ints = np.zeros(0, np.int64)
        self._row: Ints = np.zeros(0, np.int64)

    def add(self, part: int, rows: Ints, score: Floats) -> None:
        """Consider rows of one part; call it in the order of the parts."""
        score = np.append(self._score, score)
        order = np.argsort(-score, kind="stable")[: self._n]
        self._score = score[order]
        self._part = np.append(self._part, np.full(len(rows), part))[order]
        self._row = np.append(self._row, rows)[order]

    def found(self) -> list[tuple[int, int]]:
        """Return (part, row), the highest score first."""
        return list(zip(self._part.tolist(), self._row.tolist(), strict=True))


def choose_pairs(parts: Sequence[Path], *, n_each: int, threshold: float) -> list[ChosenPair]:
    """Choose up to `n_each` pairs for each of SETS; a pair may be in several.

    Args:
        parts: The parts of the run.
        n_each: Most pairs of one set.
        threshold: What borderline pairs are near to.

    Returns:
        The worst first, then what the other sets add to them.
    """
    best = {name: TopRows(n_each) for name in SETS}
    rng = np.random.default_rng([0, 22])
    for at, part in enumerate(parts):
        table = read_part(part, _COLUMNS)
        for name, (rows, score) in _scores(table, threshold, rng).items():
            best[name].add(at, rows, score)
    sets: dict[tuple[int, int], list[str]] = {}
    for name in SETS:
        for place in best[name].found():
            sets.setdefault(place, []).append(name)
    return [ChosenPair(part, row, tuple(names)) for (part, row), names in sets.items()]


def _scores(
    table: Any, threshold: float, rng: np.random.Generator
) -> dict[str, tuple[Ints, Floats]]:
    import pyarrow.compute as pc

    p = table["p_mismatch"].to_numpy()
    confidence = table["rematch_confidence"].to_numpy()
    judged = np.flatnonzero(~np.isnan(p))
    scored = np.flatnonzero(pc.equal(table["status"], "scored").to_numpy())
    repaired = np.flatnonzero(pc.is_valid(table["rematch_key"]).to_numpy())
    return {
        WORST: (judged, p[judged]),
        BORDERLINE: (judged, -np.abs(p[judged] - threshold)),
        REPAIRS: (repaired, np.nan_to_num(confidence[repaired])),
        SAMPLE: (scored, rng.random(len(scored))),
    }
