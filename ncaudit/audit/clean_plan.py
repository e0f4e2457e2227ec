"""What becomes of each pair and sample of one shard, from its rows alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ncaudit.audit.decide import Human, Outcome, decide
from ncaudit.audit.verdicts import PairId
from ncaudit.errors import ShardsFailedError
from ncaudit.types import Bools, Floats, Ints, Status

PLAN_COLUMNS = (
    "sample_index",
    "key",
    "caption_index",
    "status",
    "verdict",
    "p_mismatch",
    "reasons",
    "detail",
)


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """The rows of a shard and what becomes of them.

    Attributes:
        rows: `PLAN_COLUMNS`, each a list with one value per pair.
        outcome: Values of `Outcome`, shape (n,).
        p_mismatch: Shape (n,); NaN where there is none.
        human: Values of `Human`, shape (n,).
        first: Row where each sample starts, and the row after the last one's.
    """

    rows: dict[str, list[Any]]
    outcome: Ints
    p_mismatch: Floats
    human: Ints
    first: Ints

    @property
    def n_samples(self) -> int:
        """Number of samples that were scored or rejected."""
        return len(self.first) - 1

    def key_of(self, sample: int) -> str:
        """Return the key of a sample."""
        return str(self.rows["key"][self.first[sample]])

    def stays(self, sample: int) -> Bools:
        """Return which of a sample's captions stay."""
        stays: Bools = self._outcome_of(sample) == Outcome.KEPT
        return stays

    def leaving(self, sample: int) -> set[int]:
        """Return the caption indexes that leave a sample."""
        leave = self.first[sample] + np.flatnonzero(~self.stays(sample))
        return {self.rows["caption_index"][row] for row in leave}

    def label(self, sample: int) -> str:
        """Return a sample's status in `_stats.json`: `success`, or why it left."""
        outcome = self._outcome_of(sample)
        if Outcome.KEPT in outcome:
            return "success"
        reject = str(self.rows["status"][self.first[sample]])
        return "dropped" if Outcome.DROPPED in outcome else reject

    def note(self, sample: int) -> dict[str, Any]:
        """Return what a rejected sample's json says under `ncaudit`.

        That of its first pair; with several, `pairs` has them all.
        """
        rows = range(self.first[sample], self.first[sample + 1])
        first, *others = [self._pair_note(row) for row in rows]
        return first | {"pairs": [first, *others]} if others else first

    def _outcome_of(self, sample: int) -> Ints:
        return self.outcome[self.first[sample] : self.first[sample + 1]]

    def _pair_note(self, row: int) -> dict[str, Any]:
        value = {name: values[row] for name, values in self.rows.items()}
        by = "threshold" if value["status"] == Status.SCORED else "status"
        return {
            "caption_index": value["caption_index"],
            "status": value["status"],
            "verdict": value["verdict"],
            "p_mismatch": value["p_mismatch"],
            "reasons": [code for code in (value["reasons"] or "").split(";") if code],
            "detail": value["detail"] or "",
            "outcome": Outcome(self.outcome[row]).name.lower(),
            "decided_by": "person" if by == "threshold" and self.human[row] else by,
        }


def plan_shard(
    shard: str, table: Any, threshold: float, verdicts: Mapping[PairId, Human]
) -> ShardPlan:
    """Decide the pairs of a shard and find the rows of each sample.

    Args:
        shard: Name for messages.
        table: `PLAN_COLUMNS` of the part, one row per pair. Rows of no sample (a defect
            of the shard) have no `sample_index` and come last.
        threshold: Pairs with `p_mismatch >= threshold` leave.
        verdicts: What people said.

    Raises:
        ShardsFailedError: If the rows do not number the samples from 0 without a gap.
    """
    rows: dict[str, list[Any]] = table.to_pydict()
    scored = np.array([status == Status.SCORED for status in rows["status"]], bool)
    p_mismatch = np.array([np.nan if p is None else p for p in rows["p_mismatch"]], np.float64)
    pairs = zip(rows["key"], rows["caption_index"], strict=True)
    human = np.array([verdicts.get(pair, Human.SILENT) for pair in pairs], np.int8)
    return ShardPlan(
        rows=rows,
        outcome=decide(scored, p_mismatch, threshold, human),
        p_mismatch=p_mismatch,
        human=human,
        first=_first_rows(shard, rows["sample_index"]),
    )


def _first_rows(shard: str, sample_index: list[int | None]) -> Ints:
    samples = np.array([-1 if index is None else index for index in sample_index], np.int64)
    n_rows = int((samples >= 0).sum())
    samples = samples[:n_rows]
    numbers, first = np.unique(samples, return_index=True)
    in_order = (np.diff(samples) >= 0).all() and not (samples < 0).any()
    if not in_order or not np.array_equal(numbers, np.arange(len(numbers))):
        raise ShardsFailedError(f"the scores of {shard} do not number its samples in order")
    return np.append(first, n_rows)
