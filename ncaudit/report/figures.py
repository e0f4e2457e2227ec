"""What a run looks like as a whole: the counts behind every plot, in one pass over the parts.

Memory does not grow with the number of pairs: distributions are counted in fixed steps of
`p_mismatch`, and what needs single values uses a seeded sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ncaudit.report.columns import SIGNAL_COLUMNS
from ncaudit.report.groups import COLUMNS, GROUPINGS, Grouping
from ncaudit.report.parts import read_part
from ncaudit.types import Bools, Floats, Ints

N_STEPS = 100
MAX_SAMPLE = 20_000  # pairs that rank correlations are computed from
_EDGES = np.arange(N_STEPS + 1) / N_STEPS
_MAX_ROWS_SHOWN = 12
_MIN_AGREEMENT = 30  # fewer pairs say nothing about correlation
_MAX_LABELS = 20_000  # held while counting; above it the rarest are given up


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Pairs of one kind.

    Attributes:
        name: Label.
        counts: Pairs per step of `p_mismatch`, shape (N_STEPS + 1,): entry k counts
            [k / N_STEPS, (k + 1) / N_STEPS), the last one p = 1.
    """

    name: str
    counts: Ints


@dataclass(frozen=True, slots=True, eq=False)
class GroupTable:
    """One way to divide the pairs, as it is shown.

    Attributes:
        title: Heading.
        groups: Those shown; the last may hold all others together.
    """

    title: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """How far signals rank the pairs alike.

    Attributes:
        names: `p_mismatch`, then the signals that have values and vary, s of them.
        correlation: Spearman's, turned so that 1 means "suspect the same pairs",
            shape (s, s).
        n_pairs: Pairs it was computed from.
    """

    names: tuple[str, ...]
    correlation: Floats
    n_pairs: int


@dataclass(frozen=True, slots=True, eq=False)
class RunFigures:
    """The counts behind the plots.

    Attributes:
        counts: Pairs per step of `p_mismatch`, shape (N_STEPS + 1,); see `Group.counts`.
        sums: Sum of `p_mismatch` per step, shape (N_STEPS + 1,).
        tables: Who is where on that scale.
        agreement: Between signals, or None with fewer than thirty pairs.
    """

    counts: Ints
    sums: Floats
    tables: tuple[GroupTable, ...]
    agreement: Agreement | None


def steps_of(p_mismatch: Floats) -> Ints:
    """Return the step of each p: `p >= k / N_STEPS` exactly where the step is k or more."""
    steps: Ints = np.searchsorted(_EDGES, p_mismatch, side="right") - 1
    return steps


def count_figures(parts: Sequence[Path], *, n_pairs: int, seed: int = 0) -> RunFigures:
    """Count all that the plots show, one part in memory at a time.

    Args:
        parts: The parts of the run.
        n_pairs: Rows in them, for the size of the sample.
        seed: Of the sample.
    """
    counts, sums = np.zeros(N_STEPS + 1, np.int64), np.zeros(N_STEPS + 1)
    tallies = [_Tally(grouping) for grouping in GROUPINGS]
    sample = _Sample(min(1.0, MAX_SAMPLE / max(n_pairs, 1)), seed)
    for part in parts:
        table = read_part(part, ["p_mismatch", *COLUMNS, *(c.name for c in SIGNAL_COLUMNS)])
        table = table.filter(table["p_mismatch"].is_valid())
        p = table["p_mismatch"].to_numpy()
        steps = steps_of(p)
        counts += np.bincount(steps, minlength=N_STEPS + 1)
        sums += np.bincount(steps, weights=p, minlength=N_STEPS + 1)
        for tally in tallies:
            tally.add(table, steps)
        sample.add(table)
    tables = [tally.table() for tally in tallies]
    return RunFigures(
        counts, sums, tuple(table for table in tables if table.groups), sample.agreement()
    )


class _Tally:
    """Counts pairs by label and step."""

    def __init__(self, grouping: Grouping) -> None:
        self._grouping = grouping
        self._counts: dict[str, Ints] = {}

    def add(self, table: Any, steps: Ints) -> None:
        import pyarrow as pa

        labels = self._grouping.labels(table)
        if isinstance(labels, pa.ChunkedArray):
            labels = labels.combine_chunks()
        encoded = labels.dictionary_encode()
        known = encoded.is_valid().to_numpy(zero_copy_only=False)
        codes = encoded.indices.drop_null().to_numpy()
        names = encoded.dictionary.to_pylist()
        width = N_STEPS + 1
        found = np.bincount(codes * width + steps[known], minlength=len(names) * width)
        for name, row in zip(names, found.reshape(len(names), width), strict=True):
            self._counts[name] = self._counts.get(name, 0) + row
        if len(self._counts) > _MAX_LABELS:
            keep = sorted(self._counts, key=lambda name: -self._counts[name].sum())
            self._counts = {name: self._counts[name] for name in keep[: _MAX_LABELS // 2]}

    def table(self) -> GroupTable:
        order = self._grouping.order
        names = [name for name in order if name in self._counts] or sorted(
            self._counts, key=lambda name: (-self._counts[name].sum(), name)
        )
        shown = names if len(names) <= _MAX_ROWS_SHOWN else names[: _MAX_ROWS_SHOWN - 1]
        groups = [Group(name, self._counts[name]) for name in shown]
        if rest := names[len(shown) :]:
            others = np.sum([self._counts[name] for name in rest], axis=0)
            groups.append(Group(f"{len(rest):,} others", others))
        return GroupTable(self._grouping.title, tuple(groups))


class _Sample:
    """Signals of a seeded sample of the pairs."""

    def __init__(self, share: float, seed: int) -> None:
        self._share = share
        self._rng = np.random.default_rng([seed, 21])
        self._rows: list[Floats] = []

    def add(self, table: Any) -> None:
        chosen = self._rng.random(len(table)) < self._share
        names = ("p_mismatch", *(column.name for column in SIGNAL_COLUMNS))
        columns = [table[name].to_numpy()[chosen].astype(np.float64) for name in names]
        self._rows.append(np.stack(columns, axis=1))

    def agreement(self) -> Agreement | None:
        rows = np.concatenate(self._rows) if self._rows else np.zeros((0, 1 + len(SIGNAL_COLUMNS)))
        return signal_agreement(rows)


def signal_agreement(rows: Floats) -> Agreement | None:
    """Return Spearman's correlation between the columns that have values and vary.

    Args:
        rows: `p_mismatch` and every signal in the table's order, shape (n, 1 + signals);
            NaN is an empty cell, and pairs with one in a column that counts are left out.
    """
    from scipy.stats import rankdata

    names = ("p_mismatch", *(column.name for column in SIGNAL_COLUMNS))
    turned = rows * np.array([1.0, *(-1.0 if c.bad == "low" else 1.0 for c in SIGNAL_COLUMNS)])
    filled = ~np.isnan(turned).all(axis=0)
    whole: Bools = ~np.isnan(turned[:, filled]).any(axis=1)
    values = turned[whole]
    if len(values) < _MIN_AGREEMENT:
        return None
    varies = filled & (np.nanmax(np.where(filled, values, 0.0), axis=0) > values.min(axis=0))
    if not varies.any():
        return None
    ranks = rankdata(values[:, varies], axis=0)
    correlation = np.atleast_2d(np.corrcoef(ranks, rowvar=False))
    chosen = tuple(name for name, keep in zip(names, varies, strict=True) if keep)
    return Agreement(chosen, correlation, len(values))
