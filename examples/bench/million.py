"""Score many cached pairs: fit, score and write, from ten thousand to a million.

The embedding cache is written directly: 512-d vectors of a model with known truth, where
one pair in five has another's caption. Then `score_shards` runs on it as on any run; the
shards themselves are empty files that nobody opens. Every size runs in a process of its
own, whose peak memory is its alone.

python examples/bench/million.py [--pairs 10000 100000 1000000] [--json PATH] [--keep DIR]

With --json, sizes that the file has already are not measured again. Two sizes with
different --shard-pairs show what the number of shards changes.
"""

import argparse
import json
import math
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from sklearn.metrics import roc_auc_score

from ncaudit.audit.embed import open_embedder
from ncaudit.audit.run_directory import identity
from ncaudit.audit.score import score_shards
from ncaudit.config import FitConfig, ScoreConfig
from ncaudit.devices import describe_device, wait_quietly
from ncaudit.embeddings.cache import IDS_COLUMNS, CachedShard, tally_ids, write_embeddings
from ncaudit.embeddings.embed_shard import embedding_key
from ncaudit.encoders import ENCODERS
from ncaudit.engine.base import EngineOptions
from ncaudit.engine.ledger import Ledger
from ncaudit.files import digest_file
from ncaudit.shards.discover import discover_shards
from ncaudit.types import EncoderCard, Fit, Floats, Preprocess

DIM, LATENT = 512, 24
WRONG = 0.2


@dataclass(frozen=True)
class CachedOnly:
    """The card of embeddings that are all there already; encodes nothing."""

    card: EncoderCard

    @property
    def preprocess(self) -> Preprocess:
        """What no image goes through."""
        return Preprocess(224, Fit.CROP)

    def encode_images(self, _pixels: object) -> Floats:
        """Refuse: everything is cached."""
        raise NotImplementedError

    def encode_captions(self, _captions: object) -> Floats:
        """Refuse: everything is cached."""
        raise NotImplementedError


def load_cached(_device: str) -> CachedOnly:
    card = EncoderCard("cached", True, DIM, DIM, "none", {"none": "0" * 64}, "float32")  # noqa: FBT003
    return CachedOnly(card)


def main() -> None:
    options = parse_options()
    ENCODERS.builtin["cached"] = f"{__name__}:load_cached"
    if options.run:
        print(json.dumps(run(options.run, options.pairs[0], options.workers)))
        return
    wait_quietly()  # in the processes that are started from here
    done = known(options.json)
    for n_pairs in options.pairs:
        for shard_pairs in options.shard_pairs:
            name = f"{n_pairs}/{shard_pairs}"
            if name not in done:
                done[name] = measure(options, n_pairs, shard_pairs)
                print(name, json.dumps(done[name]), flush=True)
                keep(options.json, done)
    for name, slope in slopes(done).items():
        print(f"log-log slope of the seconds, {name}: {slope:.3f}")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--shard-pairs", type=int, nargs="+", default=[10_000])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="folder for the pairs; else a temporary one")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(options: argparse.Namespace, n_pairs: int, shard_pairs: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.keep or Path(temporary)) / f"{n_pairs}-{shard_pairs}"
        write_pairs(folder, n_pairs, shard_pairs)
        words = ["--run", folder, "--pairs", n_pairs, "--workers", options.workers]
        command = [sys.executable, __file__, *map(str, words)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
        result = json.loads(done.stdout.splitlines()[-1])
        return {"n_pairs": n_pairs, "n_shards": math.ceil(n_pairs / shard_pairs)} | result


def write_pairs(folder: Path, n_pairs: int, shard_pairs: int) -> None:
    """Write empty shards and, under their names, the embeddings of pairs."""
    (folder / "shards").mkdir(parents=True)
    n_shards = math.ceil(n_pairs / shard_pairs)
    for number in range(n_shards):
        # One empty tar each: 10 KiB of zeros.
        (folder / f"shards/{number:05d}.tar").write_bytes(bytes(10_240))
    key = embedding_key(load_cached("cpu").card, "auto")
    for number, shard in enumerate(discover_shards([str(folder / "shards")])):
        n = min(shard_pairs, n_pairs - number * shard_pairs)
        image, caption, wrong = vectors(n, seed=number)
        columns = ids(shard.name, n, wrong)
        about = CachedShard(
            key=key,
            path=shard.path,
            n_bytes=shard.n_bytes,
            modified=shard.modified,
            sha256=digest_file(shard.path),
            n_samples=n,
            tally=tally_ids(shard.name, columns, ""),
        )
        write_embeddings(folder / "embeddings" / shard.name, columns, image, caption, about)


def vectors(n: int, *, seed: int) -> tuple[Floats, Floats, np.ndarray]:
    """Draw unit embeddings of n pairs, and which of them have another's caption."""
    rng = np.random.default_rng([1, seed])
    basis = np.random.default_rng(0).normal(size=(LATENT, DIM)).astype(np.float32)
    latent = rng.normal(size=(n, LATENT)).astype(np.float32)
    wrong = rng.random(n) < WRONG
    told = latent.copy()
    told[wrong] = rng.normal(size=(int(wrong.sum()), LATENT))
    sides = [
        side @ basis + 6 * rng.standard_normal((n, DIM), np.float32) for side in (latent, told)
    ]
    image, caption = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
    return image, caption, wrong


def ids(shard: str, n: int, wrong: np.ndarray) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = {name: [""] * n for name in IDS_COLUMNS}
    for name in ("caption_index", "sample_index", "image_width", "image_height"):
        columns[name] = [0] * n
    rows = list(range(n))
    columns |= {"sample_index": rows, "embedding_row": rows, "status": ["scored"] * n}
    columns |= {"sample_start": rows, "sample_stop": rows}
    columns["key"] = [f"{shard}{row:06d}{'w' * int(wrong[row])}" for row in rows]
    columns["caption"] = [f"what {key} shows, said in some words" for key in columns["key"]]
    columns["image_digest"] = [f"{int(shard):06x}{row:010x}" for row in rows]
    return columns


def run(folder: Path, n_pairs: int, workers: int) -> dict[str, object]:
    """Score the pairs of a folder, and say what it took."""
    before = peak_mib()
    config = ScoreConfig(shards=(str(folder / "shards"),), encoder="cached", fit=FitConfig())
    begin(config, folder / "audit", folder / "embeddings")
    at = time.perf_counter()
    summary = score_shards(config, folder / "audit", engine=EngineOptions(workers=workers))
    seconds = time.perf_counter() - at
    assert summary.counts.scored == n_pairs
    record = json.loads((folder / "audit/run.json").read_text(encoding="utf-8"))
    return {
        "seconds": round(seconds, 1),
        "stages": record["seconds"],
        "peak_mib": peak_mib(),
        "peak_mib_of_imports": before,
        "estimated_noise_rate": summary.estimated_noise_rate,
        "auroc": round(auroc(folder / "audit/scores"), 4),
    }


def begin(config: ScoreConfig, out: Path, embeddings: Path) -> None:
    """Begin a run and give it its embeddings, as if it had been stopped after embedding."""
    embedder = open_embedder(config, out / "embeddings")
    ledger = Ledger(out)
    with ledger.claim():
        ledger.begin(identity("score", config, embedder, discover_shards(config.shards)))
    embeddings.rename(out / "embeddings")


def auroc(scores: Path) -> float:
    """Return how well p_mismatch tells the pairs that are wrong."""
    wrong, p = [], []
    for part in sorted(scores.glob("*.parquet")):
        table = pq.read_table(part, columns=["key", "p_mismatch"])
        wrong += [key.endswith("w") for key in table["key"].to_pylist()]
        p.append(table["p_mismatch"].to_numpy())
    return float(roc_auc_score(wrong, np.concatenate(p)))


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def slopes(done: dict[str, dict[str, object]]) -> dict[str, float]:
    """Return the slope of log seconds over log pairs between neighbouring sizes."""
    by_pairs = {row["n_pairs"]: row["seconds"] for row in done.values()}
    return {
        f"{few:,} to {many:,} pairs": math.log(by_pairs[many] / by_pairs[few])
        / math.log(many / few)
        for few, many in pairwise(sorted(by_pairs))
    }


def known(path: Path | None) -> dict[str, dict[str, object]]:
    if path is None or not path.exists():
        return {}
    return json.loads(path.read_text(encoding="utf-8"))["sizes"]


def keep(path: Path | None, done: dict[str, dict[str, object]]) -> None:
    if path is None:
        return
    content = {
        "sizes": done,
        "slopes": slopes(done),
        "dim": DIM,
        "share_wrong": WRONG,
        "machine": describe_device(),
        "commit": commit(),
        "command": shlex.join(["python", *sys.argv]),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip()


if __name__ == "__main__":
    main()
