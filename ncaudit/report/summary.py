"""summary.json: what an audit found, counted from its parts.

Counted from the parts and not from the stages' own tallies, so that the two can be compared.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ncaudit.files import read_json, write_json
from ncaudit.report.parts import read_part
from ncaudit.types import Floats, Status

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """What dropping pairs with `p_mismatch >= threshold` is expected to do.

    Attributes:
        threshold: The threshold.
        dropped: Pairs at or above it.
        share_dropped: The same as a share of the pairs with a probability.
        expected_mismatches_removed: Sum of `p_mismatch` over those pairs.
        expected_good_pairs_lost: Sum of 1 - `p_mismatch` over them.
        share_of_mismatches_removed: As a share of all expected mismatches, or None.
        share_of_good_lost: As a share of all expected good pairs, or None.
    """

    threshold: float
    dropped: int
    share_dropped: float | None
    expected_mismatches_removed: float
    expected_good_pairs_lost: float
    share_of_mismatches_removed: float | None
    share_of_good_lost: float | None


@dataclass(frozen=True, slots=True)
class PairCounts:
    """Counts over all rows of an audit.

    Attributes:
        pairs: Rows of the table.
        scored: Rows with status `scored`.
        rejects: Reject reason to count; sums to `pairs - scored`.
        with_probability: Scored rows that have a `p_mismatch`.
        at_or_above_half: Rows with `p_mismatch >= 0.5`.
        verdicts: Verdict to count.
        thresholds: The threshold table.
    """

    pairs: int
    scored: int
    rejects: dict[str, int]
    with_probability: int
    at_or_above_half: int
    verdicts: dict[str, int]
    thresholds: tuple[ThresholdRow, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """What people and programs want to know of an audit first.

    Attributes:
        counts: Counts of pairs and the threshold table.
        estimated_noise_rate: Share of mismatches among the scored pairs, or None.
        noise_rate_low: Low end of its interval.
        noise_rate_high: High end of its interval.
        self_check: How the model did on held-out planted mismatches.
        separable: Whether the noise could be told apart; None without a model.
        banner: A warning to be shown before anything else, or "".
        n_fit: Pairs the model was fitted on.
        verdicts: How people's verdicts were used and what they say of the probabilities; None
            without any.
        defects: Shard to why it could not be read, or only in part.
        fit_problem: Why no model could be fitted, or "".
        files: Name to path under the run's folder.
    """

    counts: PairCounts
    estimated_noise_rate: float | None
    noise_rate_low: float | None
    noise_rate_high: float | None
    self_check: dict[str, Any]
    separable: bool | None
    banner: str
    n_fit: int
    defects: dict[str, str] = field(default_factory=dict)
    fit_problem: str = ""
    verdicts: dict[str, Any] | None = None
    files: dict[str, str] = field(default_factory=dict)


def count_pairs(parts: Iterable[Path]) -> PairCounts:
    """Count the rows of all parts, one part in memory at a time."""
    statuses: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    # Per threshold: pairs, sum of p, both over the pairs at or above it; the first is of all.
    n_above = np.zeros(len(THRESHOLDS) + 1, np.int64)
    p_above = np.zeros(len(THRESHOLDS) + 1)
    for part in parts:
        table = read_part(part, ["status", "verdict", "p_mismatch"])
        statuses.update(table["status"].to_pylist())
        verdicts.update(verdict for verdict in table["verdict"].to_pylist() if verdict)
        p = table["p_mismatch"].drop_null().to_numpy()
        for at, threshold in enumerate((-1.0, *THRESHOLDS)):
            above = p[p >= threshold]
            n_above[at] += len(above)
            p_above[at] += above.sum()
    n_scored = statuses.pop(str(Status.SCORED), 0)
    return PairCounts(
        pairs=n_scored + statuses.total(),
        scored=n_scored,
        rejects=dict(sorted(statuses.items())),
        with_probability=int(n_above[0]),
        at_or_above_half=int(n_above[1 + THRESHOLDS.index(0.5)]),
        verdicts=dict(sorted(verdicts.items())),
        thresholds=_threshold_rows(n_above, p_above),
    )


def write_summary(path: Path, summary: Summary) -> None:
    """Write a summary as JSON."""
    write_json(path, asdict(summary))


def read_summary(path: Path) -> Summary:
    """Read what `write_summary` wrote."""
    content = read_json(path)
    counts = content.pop("counts")
    rows = tuple(ThresholdRow(**row) for row in counts.pop("thresholds"))
    return Summary(counts=PairCounts(**counts, thresholds=rows), **content)


def _threshold_rows(n_above: Any, p_above: Floats) -> tuple[ThresholdRow, ...]:
    n_all, p_all = int(n_above[0]), float(p_above[0])
    if not n_all:
        return ()
    return tuple(
        ThresholdRow(
            threshold=threshold,
            dropped=int(n),
            share_dropped=_share(n, n_all),
            expected_mismatches_removed=float(p),
            expected_good_pairs_lost=float(n - p),
            share_of_mismatches_removed=_share(p, p_all),
            share_of_good_lost=_share(n - p, n_all - p_all),
        )
        for threshold, n, p in zip(THRESHOLDS, n_above[1:], p_above[1:], strict=True)
    )


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0 else None
