"""A benchmark in short: each case over its seeds."""

from collections.abc import Iterable, Mapping
from typing import Any

COLUMNS = (
    "auroc",
    "ap",
    "precision_at_k",
    "recall_at_95",
    "f1_at_half",
    "ece",
    "brier",
    "estimated_rate",
)
DOWNSTREAM_COLUMNS = ("rsum", "recovery")


def summarise_cases(results: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return for each case the rows of its table: mean, lowest and highest over seeds.

    Args:
        results: Entries of bench.json.
    """
    by_case: dict[str, list[Mapping[str, Any]]] = {}
    for entry in results:
        by_case.setdefault(str(entry["case"]), []).append(entry)
    return [_case(name, entries) for name, entries in by_case.items()]


def _case(name: str, entries: list[Mapping[str, Any]]) -> dict[str, Any]:
    found = {
        "case": name,
        "seeds": [entry["seed"] for entry in entries],
        "n_pairs": _over_seeds(entry["n_pairs"] for entry in entries),
        "true_rate": _over_seeds(entry["true_rate"] for entry in entries),
        "rows": _rows([entry["rows"] for entry in entries], ("kind",), COLUMNS),
    }
    if all("downstream" in entry for entry in entries):
        tables = [entry["downstream"]["rows"] for entry in entries]
        found["downstream"] = _rows(tables, (), ("n_kept", *DOWNSTREAM_COLUMNS))
    return found


def _rows(
    tables: list[list[dict[str, Any]]], kept: tuple[str, ...], columns: tuple[str, ...]
) -> list[dict[str, Any]]:
    by_method: dict[str, list[dict[str, Any]]] = {}
    for table in tables:
        for row in table:
            by_method.setdefault(row["method"], []).append(row)
    return [
        {
            "method": method,
            **{name: rows[0][name] for name in kept},
            **{name: _over_seeds(row[name] for row in rows) for name in columns},
        }
        for method, rows in by_method.items()
    ]


def _over_seeds(values: Iterable[float | None]) -> dict[str, float] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return {"mean": sum(known) / len(known), "low": min(known), "high": max(known)}
