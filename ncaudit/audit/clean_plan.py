"""What becomes of each pair and sample of one shard, from its rows alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ncaudit import __version__
from ncaudit.audit.decide import Human, Outcome, decide
from ncaudit.audit.verdicts import PairId
from ncaudit.errors import ShardsFailedError
from ncaudit.types import Bools, Floats, Ints, Status, Verdict

_NOTE_COLUMNS = ("caption_index", "status", "verdict", "p_mismatch", "reasons", "detail")
_REMATCH_COLUMNS = (
    "caption_index",
    "caption",
    "p_mismatch",
    "rematch_shard",
    "rematch_key",
    "rematch_caption",
    "rematch_confidence",
    "rematch_p_mismatch",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What decides about pairs, beside people's verdicts.

    Attributes:
        threshold: Pairs with `p_mismatch >= threshold` leave.
        min_confidence: Least `rematch_confidence` of the accepted proposals that are
            used; None if none is.
    """

    threshold: float
    min_confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShardPlan:
    """The rows of a shard and what becomes of them.

    Attributes:
        rows: The part's table, one row per pair.
        outcome: Values of `Outcome`, shape (n,).
        p_mismatch: Shape (n,); NaN where there is none.
        human: Values of `Human`, shape (n,).
        first: Row where each sample starts, and the row after the last one's.
        keys: The key of each sample.
        spans: (start, stop) of each sample in the uncompressed tar, shape (n_samples, 2).
        kept: Whether some caption of the sample stays, shape (n_samples,).
    """

    rows: Any
    outcome: Ints
    p_mismatch: Floats
    human: Ints
    first: Ints
    keys: list[str]
    spans: Ints
    kept: Bools

    @property
    def n_samples(self) -> int:
        """Number of samples that were scored or rejected."""
        return len(self.keys)

    @property
    def stays(self) -> Bools:
        """Whether the pair is kept, as it was or rematched, shape (n,)."""
        return _stays(self.outcome)

    def count(self, outcome: Outcome) -> Ints:
        """Return how many pairs of each sample have an outcome, shape (n_samples,)."""
        up_to = np.append(0, np.cumsum(self.outcome == outcome))
        counts: Ints = up_to[self.first[1:]] - up_to[self.first[:-1]]
        return counts

    def rows_of(self, sample: int) -> range:
        """Return the rows of a sample's pairs."""
        return range(self.first[sample], self.first[sample + 1])

    def labels(self) -> list[str]:
        """Return each sample's status in `_stats.json`: `success`, or why it left."""
        reject = self.rows["status"].take(self.first[:-1]).to_pylist()
        dropped = self.count(Outcome.DROPPED) > 0
        label = np.where(dropped, "dropped", np.array(reject, object))
        labels: list[str] = np.where(self.kept, "success", label).tolist()
        return labels

    def rejection_notes(self) -> dict[int, dict[str, Any]]:
        """Return what each rejected sample's json says under `ncaudit`, by sample.

        That of its first pair; with several, `pairs` has them all.
        """
        samples = np.flatnonzero(~self.kept)
        of_row = np.repeat(~self.kept, np.diff(self.first))
        rows = np.flatnonzero(of_row)
        values = self.rows.select(_NOTE_COLUMNS).take(rows).to_pylist()
        pairs = iter([self._pair_note(*pair) for pair in zip(rows.tolist(), values, strict=True)])
        notes = {}
        for sample in samples.tolist():
            first, *others = [next(pairs) for _ in self.rows_of(sample)]
            notes[sample] = first | {"pairs": [first, *others]} if others else first
        return notes

    def replacements(self) -> dict[int, tuple[dict[int, str], dict[str, Any]]]:
        """Return the new captions by caption index, and the note that says so, by sample."""
        rows = np.flatnonzero(self.outcome == Outcome.REMATCHED)
        samples = np.searchsorted(self.first, rows, side="right") - 1
        values = self.rows.select(_REMATCH_COLUMNS).take(rows).to_pylist()
        found: dict[int, tuple[dict[int, str], dict[str, Any]]] = {}
        for sample, row, value in zip(samples.tolist(), rows, values, strict=True):
            captions, note = found.setdefault(sample, ({}, rematch_note()))
            captions[value["caption_index"]] = value.pop("rematch_caption")
            value["original_caption"] = value.pop("caption")
            value["decided_by"] = "person" if self.human[row] else "threshold"
            note["rematched"].append(value)
        return found

    def _pair_note(self, row: int, value: Mapping[str, Any]) -> dict[str, Any]:
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


def rematch_note() -> dict[str, Any]:
    """Return what a kept sample's json says under `ncaudit` where nothing was replaced."""
    return {"version": __version__, "rematched": []}


def plan_shard(
    shard: str, table: Any, rules: Rules, verdicts: Mapping[PairId, Human]
) -> ShardPlan:
    """Decide the pairs of a shard and find the rows of each sample.

    Args:
        shard: Name for messages.
        table: The part, one row per pair. Rows of no sample (a defect of the shard) have
            no `sample_index` and come last.
        rules: What decides where people are silent.
        verdicts: What people said.

    Raises:
        ShardsFailedError: If the rows do not number the samples from 0 without a gap, or
            do not say where they are in the tar.
    """
    p_mismatch = _numbers(table, "p_mismatch")
    human = _humans(table, verdicts)
    scored = _equals(table, "status", Status.SCORED)
    repairable = None if rules.min_confidence is None else _repairable(table, rules, human)
    outcome = decide(scored, p_mismatch, rules.threshold, human, repairable)
    first = _first_rows(shard, _numbers(table, "sample_index"))
    starts = first[:-1]
    up_to = np.append(0, np.cumsum(_stays(outcome)))
    return ShardPlan(
        rows=table,
        outcome=outcome,
        p_mismatch=p_mismatch,
        human=human,
        first=first,
        keys=table["key"].take(starts).to_pylist(),
        spans=_spans(shard, table, starts),
        kept=up_to[first[1:]] > up_to[starts],
    )


def _repairable(table: Any, rules: Rules, human: Ints) -> Bools:
    """Tell which pairs have a proposal that the audit, or a person, accepted."""
    import pyarrow.compute as pc

    has_caption = pc.greater(pc.utf8_length(table["rematch_caption"]), 0)
    proposed: Bools = pc.fill_null(has_caption, fill_value=False).to_numpy()
    accepted = _equals(table, "verdict", Verdict.REMATCH)
    accepted &= _numbers(table, "rematch_confidence") >= (rules.min_confidence or 0.0)
    # A repaired pair has to pass the threshold as any other has.
    accepted &= ~(_numbers(table, "rematch_p_mismatch") >= rules.threshold)
    repairable: Bools = proposed & ((human == Human.REMATCH) | accepted)
    return repairable


def _stays(outcome: Ints) -> Bools:
    return np.isin(outcome, (Outcome.KEPT, Outcome.REMATCHED))


def _humans(table: Any, verdicts: Mapping[PairId, Human]) -> Ints:
    if not verdicts:
        return np.zeros(table.num_rows, np.int8)
    pairs = zip(table["key"].to_pylist(), table["caption_index"].to_pylist(), strict=True)
    return np.array([verdicts.get(pair, Human.SILENT) for pair in pairs], np.int8)


def _first_rows(shard: str, sample_index: Floats) -> Ints:
    n_rows = int(np.isfinite(sample_index).sum())
    steps = np.diff(sample_index[:n_rows], prepend=-1.0)
    in_order = np.isin(steps, (0.0, 1.0)).all() and (n_rows == 0 or steps[0] == 1.0)
    if not in_order:
        raise ShardsFailedError(
            f"the scores of {shard} do not number its samples in order",
            hint="Score the shards again into a new folder, then clean that run.",
        )
    return np.append(np.flatnonzero(steps == 1.0), n_rows)


def _spans(shard: str, table: Any, starts: Ints) -> Ints:
    columns = [_numbers(table, name)[starts] for name in ("sample_start", "sample_stop")]
    spans = np.stack(columns, 1)
    if not np.isfinite(spans).all():
        raise ShardsFailedError(
            f"the scores of {shard} do not say where its samples are",
            hint="Score the shards again into a new folder, then clean that run.",
        )
    return spans.astype(np.int64)


def _numbers(table: Any, name: str) -> Floats:
    """Return a column as float64, NaN where it is empty; offsets up to 2**53 are exact."""
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    numbers: Floats = table[name].cast("float64").to_numpy()
    return numbers


def _equals(table: Any, name: str, value: str) -> Bools:
    import pyarrow.compute as pc

    equal: Bools = pc.fill_null(pc.equal(table[name], str(value)), fill_value=False).to_numpy()
    return equal.copy()
