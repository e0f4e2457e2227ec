"""Draw precision against recall of the proposals that rematch.py measured.

python examples/bench/rematch_plot.py docs/benchmarks/rematch.json docs/images/rematch.png
"""

import argparse
import json
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from tables import REMATCH_SETS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("json", type=Path)
    parser.add_argument("png", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    results = [
        each
        for each in json.loads(given.json.read_text())["results"]
        if "curve" in each and each["seed"] == given.seed
    ]
    figure, axes = plt.subplots(1, len(results), figsize=(5 * len(results), 4), squeeze=False)
    for axis, result in zip(axes[0], results, strict=True):
        others = result["others"]
        axis.plot(*zip(*result["curve"], strict=True), label="proposals by confidence")
        curve = zip(*others["mutual_curve"], strict=True)
        axis.plot(*curve, label="mutual nearest, by margin")
        for name, mark in (("top1", "o"), ("mutual", "s"), ("assignment", "^")):
            if name in others:
                point = others[name]
                axis.plot(point["recall"], point["precision"], mark, label=name)
        axis.set(
            title=REMATCH_SETS[result["case"]], xlabel="recall", ylabel="precision", ylim=(0, 1.02)
        )
        axis.legend(fontsize=8)
    save(figure, given.png)


def save(figure: Figure, png: Path) -> None:
    figure.tight_layout()
    png.parent.mkdir(parents=True, exist_ok=True)
    # Without the version of matplotlib in it, the same figure is the same file.
    figure.savefig(png, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
