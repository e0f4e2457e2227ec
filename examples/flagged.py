"""Draw the most suspicious pairs of a run as one picture.

python examples/flagged.py audit flagged.png --n 8
"""

import argparse
import io
import json
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

import ncaudit
from ncaudit.files import open_read
from ncaudit.shards.read import image_of, read_samples
from ncaudit.shards.samples import Sample

COLUMNS = ["shard", "key", "caption", "p_mismatch", "sample_index"]


def most_suspicious(run: Path, n: int) -> list[dict[str, object]]:
    rows = ncaudit.open_run(run).table(COLUMNS).to_pylist()
    scored = [row for row in rows if row["p_mismatch"] is not None]
    return sorted(scored, key=lambda row: -row["p_mismatch"])[:n]


def picture_of(row: dict[str, object], paths: dict[str, str]) -> Image.Image:
    with open_read(paths[row["shard"]]) as file:
        for sample in read_samples(file):
            if isinstance(sample, Sample) and sample.index == row["sample_index"]:
                return Image.open(io.BytesIO(image_of(sample)[1])).convert("RGB")
    raise LookupError(f"{row['shard']}/{row['key']} is gone")


def draw(run: Path, out: Path, n: int) -> None:
    record = json.loads((run / "run.json").read_text())
    paths = {shard["name"]: shard["path"] for shard in record["shards"]}
    rows = most_suspicious(run, n)
    figure, axes = plt.subplots(2, n // 2, figsize=(2.5 * (n // 2), 6.6), squeeze=False)
    for row, axis in zip(rows, axes.ravel(), strict=False):
        axis.imshow(picture_of(row, paths))
        axis.set_title(f"{row['shard']}/{row['key']}   p = {row['p_mismatch']:.2f}", fontsize=8)
        axis.text(
            0.5,
            -0.04,
            textwrap.fill(row["caption"], 32),
            transform=axis.transAxes,
            fontsize=9,
            ha="center",
            va="top",
        )
        axis.axis("off")
    figure.suptitle("Captions that do not belong to their pictures", fontsize=13)
    figure.tight_layout(rect=(0, 0.02, 1, 0.98), h_pad=3.5)
    figure.savefig(out, dpi=100)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--n", type=int, default=8)
    given = parser.parse_args()
    draw(given.run, given.out, given.n)
