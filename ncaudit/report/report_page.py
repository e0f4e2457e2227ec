"""The words and numbers of report.html, from counts to what a person reads."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ncaudit.report.columns import SIGNAL_COLUMNS
from ncaudit.report.figures import Agreement, RunFigures
from ncaudit.report.html import percent
from ncaudit.report.safe_text import escape_controls
from ncaudit.report.summary import Summary

_CUT = 50  # step of the threshold that is shown first


def report_context(summary: Summary, figures: RunFigures) -> dict[str, Any]:
    """Return what the template says of the run as a whole, but for its name and people."""
    counts = summary.counts
    return {
        "headline": _headline(summary),
        "lede": _lede(summary),
        "numbers": _numbers(summary),
        "banner": escape_controls(summary.banner),
        "n_judged": counts.with_probability,
        "thresholds": counts.thresholds,
        "histogram_text": _histogram_text(figures),
        "tables": _tables(figures),
        "check": _check(summary.self_check),
        "reliability": _reliability(summary.self_check.get("reliability") or ()),
        "agreement": _agreement(figures.agreement),
        "rejects": counts.rejects,
        "defects": {
            escape_controls(name): escape_controls(why) for name, why in summary.defects.items()
        },
    }


def report_data(figures: RunFigures) -> dict[str, Any]:
    """Return what the script needs of the run as a whole, JSON-ready."""
    return {
        "counts": figures.counts.tolist(),
        "sums": [round(float(value), 6) for value in figures.sums],
        "groups": [[group.counts.tolist() for group in table.groups] for table in figures.tables],
        "meanings": {column.name: column.meaning for column in SIGNAL_COLUMNS},
    }


def _headline(summary: Summary) -> str:
    rate, counts = summary.estimated_noise_rate, summary.counts
    if not counts.pairs:
        return "There is no pair in this run"
    if summary.separable is False and summary.banner:
        return "Mismatches cannot be told apart here"
    if rate is None:
        return f"{counts.pairs:,} pairs, and no estimate of the noise"
    return f"About {percent(rate)} of the pairs do not belong together"


def _lede(summary: Summary) -> str:
    counts = summary.counts
    sentences = [f"{counts.pairs:,} pairs were read and {counts.scored:,} could be scored."]
    low, high = summary.noise_rate_low, summary.noise_rate_high
    if low is not None and high is not None:
        sentences.append(
            f"The share of mismatches is estimated between {percent(low)} and {percent(high)}, "
            "if they look like captions drawn at random from these shards."
        )
    return " ".join(sentences)


def _numbers(summary: Summary) -> list[dict[str, str]]:
    counts, check = summary.counts, summary.self_check
    low, high = summary.noise_rate_low, summary.noise_rate_high
    interval = f"{percent(low)} to {percent(high)}" if low is not None else ""
    half = counts.at_or_above_half
    share = percent(half / counts.with_probability) if counts.with_probability else ""
    n_rejects = counts.pairs - counts.scored
    return [
        _figure("Pairs", f"{counts.pairs:,}", f"{n_rejects:,} rejected"),
        _figure("Estimated noise", percent(summary.estimated_noise_rate), interval),
        _figure("p_mismatch ≥ 0.5", f"{half:,}", share),
        _figure("Self-check AUROC", _three(check.get("auroc")), "1 finds every planted one"),
        _figure("Planted ones found", percent(check.get("recall_at_half")), "at 0.5"),
    ]


def _figure(name: str, value: str, note: str) -> dict[str, str]:
    return {"name": name, "value": value, "note": note}


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _histogram_text(figures: RunFigures) -> str:
    total = int(figures.counts.sum())
    low, high = int(figures.counts[:20].sum()), int(figures.counts[80:].sum())
    return f"{low:,} of {total:,} pairs are below 0.2 and {high:,} at 0.8 or above."


def _tables(figures: RunFigures) -> list[dict[str, Any]]:
    return [
        {
            "title": table.title,
            "at": at,
            "groups": [
                {
                    "name": escape_controls(group.name),
                    "n": int(group.counts.sum()),
                    "share": float(group.counts[_CUT:].sum() / max(1, group.counts.sum())),
                }
                for group in table.groups
            ],
        }
        for at, table in enumerate(figures.tables)
    ]


def _check(check: Mapping[str, Any]) -> dict[str, Any] | None:
    if check.get("auroc") is None:
        return None
    lines = []
    if check.get("recall_at_half") is not None:
        found = percent(check["recall_at_half"])
        lines.append(f"At the threshold 0.5 it finds {found} of them.")
    if check.get("precision_at_half") is not None:
        right = percent(check["precision_at_half"])
        lines.append(f"Of the pairs it would drop there, {right} are expected to be mismatches.")
    return {
        "sentence": f"{check.get('n_planted', 0):,} mismatches that ncaudit made itself and kept "
        "from the calibration: a random one of them ranks above a random good pair with chance "
        f"{check['auroc']:.3f}.",
        "lines": lines,
    }


def _reliability(bins: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return dots in a square of 200 units; bins as `ReliabilityBin` has them."""
    filled = [row for row in bins if row.get("n_pairs") and row.get("mismatch_rate") is not None]
    if not filled:
        return None
    most = max(row["n_pairs"] for row in filled)
    dots = [
        {
            "x": f"{200 * row['mean_p']:.1f}",
            "y": f"{200 - 200 * row['mismatch_rate']:.1f}",
            "r": f"{3 + 5 * np.sqrt(row['n_pairs'] / most):.1f}",
            "text": f"{row['n_pairs']:,} pairs near {row['mean_p']:.2f}: "
            f"{percent(row['mismatch_rate'])} mismatches",
        }
        for row in filled
    ]
    return {
        "dots": dots,
        "line": " ".join(f"{dot['x']},{dot['y']}" for dot in dots),
        "text": "; ".join(dot["text"] for dot in dots),
    }


def _agreement(agreement: Agreement | None) -> dict[str, Any] | None:
    if agreement is None:
        return None
    return {
        "n": agreement.n_pairs,
        "names": agreement.names,
        "rows": [
            {"name": name, "cells": [_cell(value) for value in row]}
            for name, row in zip(agreement.names, agreement.correlation.tolist(), strict=True)
        ],
    }


def _cell(value: float) -> dict[str, str]:
    level = 4 if value >= 0.999 else 3 if value >= 0.75 else 2 if value >= 0.5 else 1
    kind = "minus" if value < 0 else f"plus-{level}" if value >= 0.2 else ""
    return {"text": f"{value:.2f}", "kind": kind}
