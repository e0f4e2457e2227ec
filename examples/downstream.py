"""What is cleaning worth? The same retrieval head, trained on noisy and on cleaned shards.

    python examples/downstream.py WORK

Draws demo shards of which two captions in five are wrong, audits and cleans them, cleans them once more by the truth, and trains one linear head
on each with the same number of updates. All heads are tested on clean pictures that none
has seen. Recovery is the share of the loss that cleaning wins back: 0 is training on the
noisy shards, 1 is knowing every mismatch.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

import ncaudit
from ncaudit.audit.downstream import HeadTraining, train_retrieval_head
from ncaudit.audit.embed import embed_shards, open_embedder
from ncaudit.audit.fit_sample import draw_sample, gather_pairs
from ncaudit.audit.stages import Stages
from ncaudit.config import ScoreConfig
from ncaudit.engine import open_engine
from ncaudit.engine.ledger import Ledger
from ncaudit.matching.pairs import Pairs
from ncaudit.matching.retrieval import Retrieval, retrieval
from ncaudit.shards.discover import discover_shards

TRAINING = HeadTraining(updates=300, batch=128)


def write_verdicts(truth: Path, verdicts: Path) -> None:
    """Turn the demo's truth into verdicts, as a person who looked at every pair would give."""
    with truth.open(newline="") as source, verdicts.open("w", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(["shard", "key", "caption_index", "verdict"])
        for row in csv.DictReader(source):
            wrong = row["is_mismatched"] == "1"
            writer.writerow([row["shard"], row["key"], 0, "mismatch" if wrong else "match"])


def embedded(shards: Path, cache: Path) -> Pairs:
    """Return the pairs of a folder of shards as frozen embeddings."""
    found = [shard for shard in discover_shards([str(shards)]) if "rejected" not in shard.name]
    embedder = open_embedder(ScoreConfig(shards=(str(shards),)), cache)
    with open_engine(ncaudit.EngineOptions(), embedder.device) as engine:
        cached = embed_shards(found, embedder, engine, Ledger(cache), Stages())
    sample = draw_sample([shard.tally for shard in cached], 1_000_000, seed=0)
    return gather_pairs(sample, cached, cache)


def tested(training: Pairs, held_out: Pairs) -> Retrieval:
    heads = train_retrieval_head(training, TRAINING, aligned=False, seed=0)
    _, first, image = np.unique(held_out.image_id, return_index=True, return_inverse=True)
    images = heads.project_images(held_out.image[first])
    return retrieval(images, heads.project_captions(held_out.caption), image)


def main(work: Path, n_pairs: int) -> None:
    noisy, audit = work / "noisy", work / "audit"
    ncaudit.demo(noisy, pairs=n_pairs, noise_rate=0.4)
    ncaudit.demo(work / "held-out", pairs=400, noise_rate=0, seed=1)
    ncaudit.score(noisy, output=audit)
    ncaudit.clean(audit, output=work / "cleaned", threshold=0.5)
    write_verdicts(noisy / "truth.csv", work / "verdicts.csv")
    ncaudit.clean(audit, output=work / "oracle", verdicts=work / "verdicts.csv")
    held_out = embedded(work / "held-out", work / "cache/held-out")
    rsum = {}
    for name in ("noisy", "cleaned", "oracle"):
        pairs = embedded(work / name, work / "cache" / name)
        found = tested(pairs, held_out)
        rsum[name] = found.rsum
        print(f"{name:8} {len(pairs):6,} pairs  rSum {found.rsum:6.1f}", flush=True)
    recovery = (rsum["cleaned"] - rsum["noisy"]) / (rsum["oracle"] - rsum["noisy"])
    print(f"recovery {recovery:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="new folder for shards, audits and embeddings")
    parser.add_argument("--pairs", type=int, default=1200)
    given = parser.parse_args()
    main(given.work, given.pairs)
