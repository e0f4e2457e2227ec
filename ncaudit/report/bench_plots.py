"""Plots of a benchmark, from what it wrote: ROC and precision-recall, and reliability.

Needs matplotlib, which is an extra.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ncaudit.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curves = Mapping[str, Mapping[str, Any]]

# What each method is called in a legend, drawn in this order and always in its colour.
_DRAWN = {
    "fusion": ("ncaudit", "#0b5fa5"),
    "lemon_tuned": ("LEMoN, tuned on labels", "#c2452d"),
    "lemon_fixed": ("LEMoN", "#e8946a"),
    "gmm_on_loss": ("two Gaussians on the loss", "#3d8b5f"),
    "start_neg_clip_loss": ("negCLIPLoss of the start", "#8a6bb8"),
    "start_cosine": ("cosine of the start", "#888888"),
    "centred_cosine": ("centred cosine", "#b59a3d"),
    "cosine": ("cosine", "#5d4a2f"),
}


def plots_available() -> bool:
    """Tell whether matplotlib is installed."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def plot_case(title: str, seeds: Sequence[Curves], folder: Path) -> list[Path]:
    """Draw one case and return the files that were written.

    Args:
        title: What the case is, in words.
        seeds: For each seed, method to its curves and reliability table, as the benchmark
            keeps them.
        folder: Where `roc-pr.png` and `reliability.png` go. Without mismatches there are
            no curves, and no `roc-pr.png`.
    """
    drawn = {"reliability.png": _reliability(title, seeds)}
    if all("recall" in seed["fusion"] for seed in seeds):
        drawn["roc-pr.png"] = _roc_pr(title, seeds)
    for name, figure in drawn.items():
        write_atomic(folder / name, partial(_save, figure))
    return [folder / name for name in sorted(drawn)]


def _save(figure: "Figure", path: Path) -> None:
    # Without the version of matplotlib in it, the same figure is the same file.
    figure.savefig(path, format="png", dpi=120, metadata={"Software": None})


def _figure(title: str, n_axes: int) -> tuple["Figure", list["Axes"]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * n_axes, 4.9), layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = [figure.add_subplot(1, n_axes, at + 1) for at in range(n_axes)]
    for each in axes:
        each.grid(color="#e4e4e4", linewidth=0.7)
        each.set_axisbelow(True)
        each.set(xlim=(0, 1), ylim=(0, 1.005))
    return figure, axes


def _roc_pr(title: str, seeds: Sequence[Curves]) -> "Figure":
    figure, (roc, precision) = _figure(title, 2)
    for name, (label, colour) in _DRAWN.items():
        if name not in seeds[0]:
            continue
        width = 2.2 if name == "fusion" else 1.3
        # The mixture ranks like the loss it splits: dashed, both can be seen.
        dashes = "--" if name == "gmm_on_loss" else "-"
        for axes, x, y in (
            (roc, "false_positive_rate", "true_positive_rate"),
            (precision, "recall", "precision"),
        ):
            values = np.mean([seed[name][y] for seed in seeds], axis=0)
            axes.plot(
                seeds[0][name][x],
                values,
                color=colour,
                linewidth=width,
                linestyle=dashes,
                label=label,
                zorder=3 if name == "fusion" else 2,
            )
    roc.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1, linestyle=":", label="random")
    roc.set(xlabel="good pairs flagged", ylabel="mismatches found", title="ROC")
    precision.set(xlabel="mismatches found", ylabel="share of flagged pairs that are mismatches")
    precision.set_title("precision and recall")
    roc.legend(loc="lower right", fontsize=8)
    return figure


def _reliability(title: str, seeds: Sequence[Curves]) -> "Figure":
    figure, (axes,) = _figure(title, 1)
    axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1, linestyle=":", label="calibrated")
    for name in ("fusion", "gmm_on_loss"):
        if any("reliability" not in seed.get(name, {}) for seed in seeds):
            continue
        label, colour = _DRAWN[name]
        bins = np.array([row for seed in seeds for row in seed[name]["reliability"]])
        area = 12 + 260 * bins[:, 0] / bins[:, 0].sum()
        axes.scatter(
            bins[:, 1], bins[:, 2], s=area, color=colour, alpha=0.6, label=label, clip_on=False
        )
    axes.set(xlabel="probability given", ylabel="share that are mismatches")
    axes.set_title("reliability; area: share of the pairs", fontsize=10)
    axes.legend(loc="upper left", fontsize=8, markerscale=0.6)
    return figure
