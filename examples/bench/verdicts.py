"""What a few hundred verdicts change where the noise is not random.

    ncaudit score SHARDS -o RUN --captions json:captions
    python examples/bench/verdicts.py RUN --noise topic --rate 0.4 --json verdicts.json

Mismatches are planted in memory among the first captions of a finished run on clean shards.
The model is fitted without labels, the review queue is drawn from its probabilities, each
queued pair gets a verdict from somebody who knows the truth, and the same signals are
calibrated on these.
"""

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from ncaudit.audit.bench.pool import first_captions
from ncaudit.audit.fit_model import calibrate, train
from ncaudit.audit.judged import Judged
from ncaudit.audit.noise.kinds import NoiseKind
from ncaudit.audit.noise.plant import Noisy, Pool, plant_noise
from ncaudit.calibration.metrics import expected_calibration_error
from ncaudit.calibration.review_queue import QueueDraw
from ncaudit.config import FitConfig
from ncaudit.embeddings.cache import read_embeddings
from ncaudit.matching.pairs import Pairs, concatenate
from ncaudit.types import EncoderCard, Floats


def load_pool(run: Path) -> tuple[Pool, EncoderCard]:
    record = json.loads((run / "run.json").read_text())
    parts = [read_embeddings(run / "embeddings" / each["name"]) for each in record["shards"]]
    pairs = concatenate(
        [Pairs(part.image, part.caption, part.image_id, part.caption_id) for part in parts]
    )
    return Pool(pairs, ("",) * len(pairs)), EncoderCard(**record["encoder"])


def no_new_captions(_: Sequence[str]) -> Floats:
    raise AssertionError("exchanged captions are all known")


def quality(p: np.ndarray, noisy: Noisy) -> dict[str, float]:
    return {
        "auroc": float(roc_auc_score(noisy.is_mismatch, p)),
        "ece": float(expected_calibration_error(p, noisy.is_mismatch)),
        "mean_p": float(p.mean()),
    }


def judge(noisy: Noisy, p: np.ndarray, n_verdicts: int, seed: int) -> Judged:
    draw = QueueDraw(n_verdicts, seed)
    draw.add(0, np.arange(len(p)), p)
    queue = draw.queue()
    rows = np.array([pair.row for pair in queue])
    weight = np.array([pair.weight for pair in queue])
    pairs = noisy.pairs
    return Judged(pairs.image_id[rows], pairs.caption_id[rows], noisy.is_mismatch[rows], weight)


def measure(pool: Pool, card: EncoderCard, given: argparse.Namespace, seed: int) -> dict:
    kind = NoiseKind(given.noise)
    noisy = plant_noise(pool, kind, given.rate, seed=seed, encode=no_new_captions)
    config = FitConfig()
    trained = train(noisy.pairs, config, card, seed=seed)
    free = calibrate(trained, config, card, seed=seed)
    p = free.score(noisy.pairs).p_mismatch
    judged = judge(noisy, p, given.verdicts, seed)
    people = calibrate(trained, config, card, seed=seed, judged=judged)
    return {
        "seed": seed,
        "n_pairs": len(p),
        "true_rate": float(noisy.is_mismatch.mean()),
        "n_verdicts": len(judged.weight),
        "method": people.summary["verdicts"]["method"],
        "separable": free.summary["separable"],
        "separability": free.summary["separability"],
        "before": quality(p, noisy),
        "after": quality(people.score(noisy.pairs).p_mismatch, noisy),
    }


def commit() -> str:
    git = ["git", "rev-parse", "--short", "HEAD"]
    found = subprocess.run(git, capture_output=True, text=True, check=False)  # noqa: S603
    return found.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--noise", choices=["caption", "image", "topic"], default="topic")
    parser.add_argument("--rate", type=float, default=0.4)
    parser.add_argument("--verdicts", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    pool, card = load_pool(given.run)
    pool = first_captions(pool, 1)
    command = " ".join(["examples/bench/verdicts.py", "RUN", *sys.argv[2:]])
    record = {"command": command, "commit": commit(), "machine": platform.processor()}
    results = []
    for seed in range(given.seeds):
        results.append(measure(pool, card, given, seed))
        print(json.dumps(results[-1]), flush=True)
        given.json.write_text(json.dumps(record | {"results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
