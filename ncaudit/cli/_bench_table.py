"""The tables of `ncaudit bench` on the terminal."""

import io
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from ncaudit.cli._console import safe, say

# Column of bench.json to its heading, and whether lowest and highest are shown.
_COLUMNS = {
    "auroc": ("AUROC", True),
    "ap": ("AP", True),
    "precision_at_k": ("P@true", False),
    "recall_at_95": ("R@P95", False),
    "f1_at_half": ("F1@.5", False),
    "ece": ("ECE", False),
    "brier": ("Brier", False),
    "estimated_rate": ("rate", False),
}
_WIDTH = 160  # wider than any table here


def show_case(case: Mapping[str, Any]) -> None:
    """Print the table of one case: means over seeds, lowest and highest in brackets."""
    n_seeds = len(case["seeds"])
    pairs, rate = case["n_pairs"]["mean"], case["true_rate"]["mean"]
    seeds = "1 seed" if n_seeds == 1 else f"mean of {n_seeds} seeds (lowest, highest)"
    _print(
        f"{case['case']}: {pairs:,.0f} pairs, {rate:.1%} mismatched, {seeds}",
        _table(case["rows"], _COLUMNS, spread=n_seeds > 1),
    )
    if "downstream" in case:
        columns = {
            "n_kept": ("kept", False),
            "rsum": ("rSum", True),
            "recovery": ("recovery", True),
        }
        _print(
            "retrieval on held-out clean pairs after the same training",
            _table(case["downstream"], columns, spread=n_seeds > 1),
        )


def _table(
    rows: list[dict[str, Any]], columns: Mapping[str, tuple[str, bool]], *, spread: bool
) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("method", no_wrap=True)
    for heading, _ in columns.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        cells = [
            _cell(name, row[name], spread=spread and shows_spread)
            for name, (_, shows_spread) in columns.items()
        ]
        table.add_row(safe(row["method"]), *cells)
    return table


def _cell(name: str, value: Mapping[str, float] | None, *, spread: bool) -> str:
    if value is None:
        return ""
    mean, low, high = (_number(name, value[key]) for key in ("mean", "low", "high"))
    return f"{mean} ({low}, {high})" if spread else mean


def _number(name: str, value: float) -> str:
    if name == "n_kept":
        return f"{value:,.0f}"
    return f"{value:.1f}" if name == "rsum" else f"{value:.3f}"


def _print(title: str, table: Table) -> None:
    # Rendered apart: the console would cut columns at the width of the terminal.
    text = io.StringIO()
    Console(file=text, width=_WIDTH, color_system=None).print(table)
    say(title)
    say("\n".join(line.rstrip() for line in text.getvalue().splitlines()))
