"""Draw what scoring cached pairs costs, as million.py measured it, over the number of pairs.

python examples/bench/million_plot.py docs/benchmarks/million.json docs/images/cost.png
"""

import argparse
import json
from pathlib import Path

from matplotlib import pyplot as plt
from rematch_plot import save

STAGES = ("fit", "score", "rematch", "merge")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("json", type=Path)
    parser.add_argument("png", type=Path)
    given = parser.parse_args()
    by_pairs = {
        each["n_pairs"]: each for each in json.loads(given.json.read_text())["sizes"].values()
    }
    sizes = sorted(by_pairs)
    figure, axis = plt.subplots(figsize=(6, 4))
    whole = [by_pairs[n]["seconds"] for n in sizes]
    axis.plot(sizes, whole, "ko-", label="all")
    for stage in STAGES:
        axis.plot(sizes, [by_pairs[n]["stages"][stage] for n in sizes], ".--", label=stage)
    linear = [whole[-1] * n / sizes[-1] for n in sizes]
    axis.plot(sizes, linear, ":", color="grey", label="in proportion to the pairs")
    axis.set(xscale="log", yscale="log", xlabel="cached pairs", ylabel="seconds")
    axis.legend(fontsize=8)
    save(figure, given.png)


if __name__ == "__main__":
    main()
