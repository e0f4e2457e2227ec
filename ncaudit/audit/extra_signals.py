"""Signals of other packages as further columns of a shard's part."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ncaudit.audit.model import Scores
from ncaudit.audit.tables import spread
from ncaudit.errors import ConfigError
from ncaudit.matching.pairs import Pairs
from ncaudit.report.columns import AUDIT_COLUMNS, PART_COLUMNS
from ncaudit.signals import SIGNALS
from ncaudit.signals.base import ScoredPairs, Signal
from ncaudit.types import Floats, Status

_TAKEN = frozenset(column.name for column in AUDIT_COLUMNS + PART_COLUMNS)


def load_signals(names: Sequence[str]) -> dict[str, Signal]:
    """Return the signals by the names of their columns.

    Raises:
        ConfigError: If a name is unknown, or is that of a column of the table, or the package
            that brings it cannot be imported.
    """
    for name in names:
        if name in _TAKEN:
            raise ConfigError(
                f"the signal {name!r} would replace a column of the table",
                hint="Only signals of other packages are named; its own columns are always there.",
            )
    return {name: SIGNALS.load(name)() for name in names}


def versions_of(names: Sequence[str]) -> list[str]:
    """Return each signal with the package and version that brings it: they decide its numbers."""
    return [f"{name} of {SIGNALS.origin(name)}" for name in names]


def extra_columns(
    signals: Mapping[str, Signal],
    table: Mapping[str, Any],
    pairs: Pairs | None,
    scores: Scores | None,
    *,
    aligned: bool,
) -> dict[str, Floats]:
    """Return the columns of the signals for all rows of a shard; rejected rows are empty.

    Args:
        signals: Column to signal.
        table: The shard's rows: `caption` and `status` are read.
        pairs: Its scored pairs, None if there are none.
        scores: What the model says of them, or None.
        aligned: Whether the embeddings are of one space.

    Raises:
        ConfigError: If a signal fails, or does not give one finite number or NaN per pair.
    """
    scored = np.array([status == Status.SCORED for status in table["status"]], bool)
    if pairs is None:
        return {name: np.full(len(scored), np.nan) for name in signals}
    text = [
        caption for caption, is_scored in zip(table["caption"], scored, strict=True) if is_scored
    ]
    columns = scores.signals | {"p_mismatch": scores.p_mismatch} if scores is not None else {}
    seen = ScoredPairs(pairs.image, pairs.caption, text, aligned, columns)
    return {name: spread(_measured(name, each, seen), scored) for name, each in signals.items()}


def _measured(name: str, signal: Signal, pairs: ScoredPairs) -> Floats:
    try:
        values = np.asarray(signal.measure(pairs), np.float64)
    except Exception as error:
        raise _broken(name, f"failed: {error!r}") from error
    if values.shape != (len(pairs),) or np.isinf(values).any():
        raise _broken(
            name, f"did not give one finite number or NaN for each of {len(pairs)} pairs"
        )
    return values


def _broken(name: str, what: str) -> ConfigError:
    return ConfigError(
        f"the signal {name!r} {what}",
        hint=f"It comes from {SIGNALS.origin(name)}: tell its authors, or score without it.",
    )
