"""What people's verdicts say of a run, beside what the model says of itself."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ncaudit.audit.review_verdicts import FILE_NAME, VerdictRow, pair_name, read_verdict_rows
from ncaudit.audit.scored_run import ScoredRun
from ncaudit.calibration.review_queue import WeightedShare, weighted_share
from ncaudit.report.html import percent
from ncaudit.report.parts import read_part
from ncaudit.report.safe_text import safe_cell


@dataclass(frozen=True, slots=True)
class ReviewEstimates:
    """What weighted verdicts say of all pairs.

    Attributes:
        n_decided: Verdicts, `unsure` included.
        n_unsure: Verdicts without an opinion; they count in no share.
        noise: Share of mismatches among all pairs, or None.
        precision: Share of mismatches among pairs at or above the threshold, or None.
        expected_precision: The same share as `p_mismatch` has it, or None.
    """

    n_decided: int
    n_unsure: int
    noise: WeightedShare | None
    precision: WeightedShare | None
    expected_precision: float | None


def estimate(verdicts: Sequence[tuple[VerdictRow, float]], threshold: float) -> ReviewEstimates:
    """Estimate from verdicts with weights.

    Args:
        verdicts: Rows and the `p_mismatch` of their pairs; rows without a weight were not
            drawn by chance and are left out.
        threshold: Pairs at or above it would be dropped.
    """
    drawn = [(row, p) for row, p in verdicts if row.weight is not None]
    sure = [(row, p) for row, p in drawn if row.verdict != "unsure"]
    wrong = np.array([row.verdict != "match" for row, _ in sure], bool)
    weight = np.array([row.weight for row, _ in sure], np.float64)
    p = np.array([p for _, p in sure], np.float64)
    above = p >= threshold
    expected = float(np.average(p[above], weights=weight[above])) if above.any() else None
    return ReviewEstimates(
        n_decided=len(drawn),
        n_unsure=len(drawn) - len(sure),
        noise=weighted_share(wrong, weight),
        precision=weighted_share(wrong[above], weight[above]),
        expected_precision=expected,
    )


def what_people_saw(folder: Path, run: ScoredRun, threshold: float) -> dict[str, object] | None:
    """Return the report's words about verdicts.csv of the run, or None without verdicts."""
    rows = read_verdict_rows(folder / FILE_NAME)
    if not rows:
        return None
    found = estimate(_with_p(rows.values(), run), threshold)
    lines = []
    if found.noise:
        lines.append(f"Estimated noise: {_share(found.noise)}.")
    if found.precision:
        expected = f"; p_mismatch expects {percent(found.expected_precision)}"
        lines.append(
            f"Mismatches among pairs at {threshold:.2f} or above: "
            f"{_share(found.precision)}{expected}."
        )
    if not lines:
        lines.append("None of them was drawn from the review queue, so they estimate nothing.")
    verb = "pair has" if len(rows) == 1 else "pairs have"
    return {"sentence": f"{len(rows):,} {verb} been judged by people.", "lines": lines}


def _share(share: WeightedShare) -> str:
    return f"{percent(share.estimate)} ({percent(share.low)} to {percent(share.high)})"


def _with_p(rows: Iterable[VerdictRow], run: ScoredRun) -> list[tuple[VerdictRow, float]]:
    by_shard: dict[str, dict[tuple[str, int], VerdictRow]] = defaultdict(dict)
    for row in rows:
        by_shard[row.pair[0]][row.pair[1:]] = row
    found = []
    for shard in run.shards:
        wanted = by_shard.get(safe_cell(shard.name))
        if not wanted:
            continue
        table = read_part(shard.part, ["key", "caption_index", "p_mismatch"]).to_pydict()
        for key, index, p in zip(*table.values(), strict=True):
            judged = wanted.get(pair_name("", key or "", index)[1:])
            if judged is not None and p is not None:
                found.append((judged, p))
    return found
