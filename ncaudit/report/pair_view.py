"""One pair as pages show it: the same fields, names and limits in report and review."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ncaudit.report.parts import read_part
from ncaudit.report.safe_text import escape_controls

MAX_CAPTION_CHARS = 1500
_COLUMNS = (
    "shard",
    "key",
    "caption_index",
    "status",
    "verdict",
    "p_mismatch",
    "p_low",
    "p_high",
    "reasons",
    "caption",
    "rematch_shard",
    "rematch_key",
    "rematch_caption",
    "rematch_confidence",
    "rematch_p_mismatch",
    "rematch_mutual",
    "sample_index",
    "image_width",
    "image_height",
)
# Not every part has them: they are beside the table that other programs rely on.
_OFFSETS = ("sample_start", "sample_stop")


def read_rows(part: Path, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Read some rows of one part: column to value, raw text, offsets where there are any."""
    import pyarrow.parquet as pq

    there = set(pq.read_schema(part).names)
    columns = [*_COLUMNS, *(name for name in _OFFSETS if name in there)]
    found: list[dict[str, Any]] = read_part(part, columns).take(list(rows)).to_pylist()
    return found


def view_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a page is told of a pair: JSON-ready, text without control characters."""
    return {
        "shard": escape_controls(row["shard"]),
        "key": escape_controls(row["key"] or ""),
        "index": row["caption_index"],
        "caption": shown_caption(row["caption"]),
        "p": row["p_mismatch"],
        "low": row["p_low"],
        "high": row["p_high"],
        "verdict": row["verdict"],
        "reasons": reasons_of(row),
        "width": row["image_width"],
        "height": row["image_height"],
        "proposal": _proposal(row),
    }


def shown_caption(caption: str | None) -> str:
    """Return a caption for showing: control characters visible, cut where it is very long."""
    text = caption or ""
    cut = text if len(text) <= MAX_CAPTION_CHARS else f"{text[:MAX_CAPTION_CHARS]} …"
    return escape_controls(cut)


def reasons_of(row: Mapping[str, Any]) -> list[str]:
    """Return the codes of the signals that decided, the loudest first."""
    return [escape_controls(code) for code in (row["reasons"] or "").split(";") if code]


def by_part(places: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    """Group (part, row) by part, in order, each once."""
    grouped: dict[int, list[int]] = {}
    for part, row in sorted(set(places)):
        grouped.setdefault(part, []).append(row)
    return grouped


def _proposal(row: Mapping[str, Any]) -> dict[str, Any] | None:
    if not row["rematch_key"]:
        return None
    return {
        "caption": shown_caption(row["rematch_caption"]),
        "shard": escape_controls(row["rematch_shard"] or ""),
        "key": escape_controls(row["rematch_key"]),
        "confidence": row["rematch_confidence"],
        "p": row["rematch_p_mismatch"],
        "mutual": row["rematch_mutual"],
    }
