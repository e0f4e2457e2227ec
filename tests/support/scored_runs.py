"""Finished runs with all that is there to look at: signals, offsets, proposals, a summary."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ncaudit.report.columns import SIGNAL_NAMES
from ncaudit.report.parts import read_part, write_part
from ncaudit.report.summary import Summary, count_pairs, write_summary
from ncaudit.shards.read import read_samples
from ncaudit.shards.samples import Sample
from tests.support.runs import P, write_run
from tests.support.shards import Samples, pair

EMPTY = ("mscn_similarity", "mscn_clean_posterior", "neighbour_discrepancy")
CHECK = {"n_planted": 40, "auroc": 0.95, "recall_at_half": 0.8, "precision_at_half": 0.9}
COLOURS = ("red", "green", "blue", "yellow")


def write_scored_run(
    folder: Path,
    shards: Mapping[str, Samples],
    p: P,
    *,
    repairs: Mapping[str, str] | None = None,
    said: Mapping[str, Any] | None = None,
) -> Path:
    """Write shards and a run as `ncaudit score` leaves it, but for model and embeddings.

    Args:
        folder: Where; the run is `folder/audit`.
        shards: Shard name to samples.
        p: (key, caption_index) to p_mismatch.
        repairs: Key to proposed caption.
        said: Fields of the summary that differ.
    """
    run = write_run(folder, shards, p)
    for part in sorted((run / "scores").rglob("*.parquet")):
        name = part.relative_to(run / "scores").with_suffix("")
        table = read_part(part).to_pydict()
        _complete(table, folder / "shards" / f"{name}.tar", repairs or {})
        write_part(part, table)
    write_run_summary(run, **(said or {}))
    return run


def write_run_summary(run: Path, **said: Any) -> None:
    """Write summary.json over the parts that are there."""
    values = {
        "estimated_noise_rate": 0.25,
        "noise_rate_low": 0.2,
        "noise_rate_high": 0.3,
        "self_check": CHECK,
        "separable": True,
        "banner": "",
        "n_fit": 10,
    }
    counts = count_pairs(sorted((run / "scores").rglob("*.parquet")))
    write_summary(run / "summary.json", Summary(counts=counts, **(values | said)))


def many_pairs(n: int, *, seed: int = 0) -> tuple[dict[str, Samples], P]:
    """Return two shards of n pairs in all, and a spread of probabilities."""
    rng = np.random.default_rng(seed)
    keys = [f"{at:05d}" for at in range(n)]
    samples = [(key, pair(COLOURS[at % 4], f"a thing number {at}")) for at, key in enumerate(keys)]
    p = {(key, 0): float(value) for key, value in zip(keys, rng.beta(0.4, 0.6, n), strict=True)}
    half = n // 2
    return {"00000": samples[:half], "00001": samples[half:]}, p


def _complete(table: dict[str, Any], tar: Path, repairs: Mapping[str, str]) -> None:
    with tar.open("rb") as file:
        samples = {x.index: x for x in read_samples(file) if isinstance(x, Sample)}
    p = np.array([np.nan if value is None else value for value in table["p_mismatch"]])
    for at, name in enumerate(SIGNAL_NAMES):
        if name not in EMPTY:
            table[name] = (p if at % 2 else -p) + 0.01 * at
    table["p_low"], table["p_high"] = p * 0.8, np.minimum(1, p * 1.1)
    table["image_width"] = [32] * len(p)
    table["image_height"] = [32] * len(p)
    table["sample_start"] = [samples[at].start for at in table["sample_index"]]
    table["sample_stop"] = [samples[at].stop for at in table["sample_index"]]
    proposed = [repairs.get(key) for key in table["key"]]
    there = [caption is not None for caption in proposed]
    table["rematch_caption"] = proposed
    for name, value in (
        ("rematch_shard", "00000"),
        ("rematch_key", "donor"),
        ("rematch_similarity", 0.7),
        ("rematch_confidence", 0.9),
        ("rematch_p_mismatch", 0.05),
        ("rematch_mutual", True),
    ):
        table[name] = [value if yes else None for yes in there]
