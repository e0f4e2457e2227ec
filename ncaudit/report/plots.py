"""The plots of the report as PNG files, for papers and for terminals that show pictures."""

from pathlib import Path
from typing import Any

import numpy as np

from ncaudit.errors import ConfigError
from ncaudit.files import atomic_path
from ncaudit.report.figures import N_STEPS, Agreement, RunFigures
from ncaudit.report.summary import Summary
from ncaudit.types import Ints

_BAD, _GOOD, _INK = "#b4420b", "#0d6382", "#1c1b19"
_DPI = 200


def write_plots(folder: Path, summary: Summary, figures: RunFigures) -> tuple[Path, ...]:
    """Write the plots there is data for: histogram, costs, signals, reliability.

    Raises:
        ConfigError: If matplotlib is missing.
    """
    plots: dict[str, Any] = {}
    if figures.counts.sum():
        plots["histogram"] = _histogram(figures)
        plots["costs"] = _costs(figures)
    if figures.agreement is not None:
        plots["signals"] = _signals(figures.agreement)
    bins = [row for row in summary.self_check.get("reliability") or () if row.get("n_pairs")]
    if bins:
        plots["reliability"] = _reliability(bins)
    written = []
    for name, figure in plots.items():
        path = folder / f"{name}.png"
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=_DPI, format="png")
        written.append(path)
    return tuple(written)


def _axes(width: float, height: float, x: str, y: str) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            "plots need matplotlib, which is not installed",
            hint="Install it: pip install 'ncaudit[plots]'",
        ) from error
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _histogram(figures: RunFigures) -> Any:
    figure, axes = _axes(5, 3, "p_mismatch", "pairs")
    heights = _in_steps(figures.counts)
    colours = [_BAD if at >= N_STEPS // 2 else _GOOD for at in range(N_STEPS)]
    axes.bar(np.arange(N_STEPS) / N_STEPS, heights, 0.85 / N_STEPS, align="edge", color=colours)
    if heights.max() > 8 * max(1, np.sort(heights)[-2]):
        axes.set_yscale("symlog")
    axes.set_xlim(0, 1)
    return figure


def _costs(figures: RunFigures) -> Any:
    figure, axes = _axes(5, 3, "threshold", "share, expected")
    counts, sums = figures.counts[::-1].cumsum()[::-1], figures.sums[::-1].cumsum()[::-1]
    threshold = np.arange(N_STEPS + 1) / N_STEPS
    removed = sums / max(sums[0], 1e-12)
    lost = (counts - sums) / max(counts[0] - sums[0], 1e-12)
    axes.plot(threshold, removed, color=_BAD, label="of mismatches removed")
    axes.plot(threshold, lost, color=_GOOD, linestyle="--", label="of good pairs lost")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False)
    return figure


def _signals(agreement: Agreement) -> Any:
    side = 2.2 + 0.42 * len(agreement.names)
    figure, axes = _axes(side, side, "", "")
    axes.imshow(agreement.correlation, vmin=-1, vmax=1, cmap="RdBu")
    places = range(len(agreement.names))
    axes.set_xticks(places, agreement.names, rotation=90)
    axes.set_yticks(places, agreement.names)
    for (row, column), value in np.ndenumerate(agreement.correlation):
        ink = "white" if abs(value) > 0.6 else _INK
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=ink)
    return figure


def _reliability(bins: list[dict[str, Any]]) -> Any:
    figure, axes = _axes(3.4, 3.4, "p_mismatch", "share of mismatches")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    x, y = ([row[name] for row in bins] for name in ("mean_p", "mismatch_rate"))
    axes.plot(x, y, color=_BAD, marker="o")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    return figure


def _in_steps(counts: Ints) -> Ints:
    """Count p = 1 in the last step."""
    steps: Ints = counts[:N_STEPS].copy()
    steps[-1] += counts[N_STEPS]
    return steps
