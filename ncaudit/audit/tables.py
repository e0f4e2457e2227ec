"""One shard's rows of the audit table, from its cached ids and the model's scores."""

from pathlib import Path
from typing import Any

import numpy as np

from ncaudit.audit.model import Scores
from ncaudit.embeddings.cache import read_ids
from ncaudit.types import Bools, Floats, Status, Verdict

# A pair is said to be dropped only where the whole interval says mismatch, or p is extreme.
DROP_P_LOW = 0.5
DROP_P = 0.9
REVIEW_P_HIGH = 0.5
REVIEW_P = 0.2


def shard_table(shard: str, folder: Path, scores: Scores | None) -> dict[str, Any]:
    """Return the columns of a shard's part: one row per pair, rejects with empty numbers.

    Args:
        shard: The `shard` column.
        folder: The shard's embedding cache.
        scores: What the model says of the scored pairs, or None where there is no model.

    Raises:
        ValueError: If the scores are not those of the shard's scored pairs.
    """
    table: dict[str, Any] = read_ids(folder).to_pydict()
    scored = np.array([status == Status.SCORED for status in table["status"]], bool)
    where = np.array(table.pop("embedding_row"), np.int64)
    if not np.array_equal(where[scored], np.arange(scored.sum())):
        raise ValueError(f"{shard}: the scored pairs and their embeddings are not in step")
    table["shard"] = [shard] * len(scored)
    if scores is None:
        return table
    p = {"p_mismatch": scores.p_mismatch, "p_low": scores.p_low, "p_high": scores.p_high}
    columns = p | scores.signals | {"reasons": scores.reasons, "in_fit": scores.in_fit}
    columns["verdict"] = verdicts(**p)
    columns["crcl_label_history"] = _lists(scores.history)
    return table | {name: spread(values, scored) for name, values in columns.items()}


def verdicts(p_mismatch: Floats, p_low: Floats, p_high: Floats) -> list[str | None]:
    """Return what to do about each pair; None where there is no probability.

    `drop` implies p >= 0.5 and `keep` implies p < 0.5.
    """
    drop = (p_mismatch >= DROP_P) | ((p_low >= DROP_P_LOW) & (p_mismatch >= DROP_P_LOW))
    review = (p_mismatch >= REVIEW_P) | (p_high >= REVIEW_P_HIGH)
    chosen = np.where(drop, Verdict.DROP, np.where(review, Verdict.REVIEW, Verdict.KEEP))
    return [
        None if np.isnan(p) else str(verdict)
        for p, verdict in zip(p_mismatch, chosen, strict=True)
    ]


def _lists(history: Floats) -> list[list[float] | None]:
    """Return the labels of each pair as a list; None where it was not trained on."""
    return [None if np.isnan(row).any() else row.tolist() for row in history]


def spread(values: Any, scored: Bools) -> Any:
    """Put the scored pairs' values at their rows; the other rows are empty.

    Args:
        values: One value per scored pair: an array or a list.
        scored: Which rows are scored, shape (rows,).

    Raises:
        ValueError: If there are more or fewer values than scored rows.
    """
    if len(values) != scored.sum():
        raise ValueError(f"{len(values)} values for {scored.sum()} scored pairs")
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind == "f":
        numbers = np.full(len(scored), np.nan)
        numbers[scored] = values
        return numbers
    rows = iter(values.tolist() if isinstance(values, np.ndarray) else values)
    return [next(rows) if is_scored else None for is_scored in scored]
