"""The training objectives beside each other: one caption, 40 % exchanged, everything else the same.

    ncaudit score SHARDS -o RUN --captions json:captions
    python examples/bench/objectives.py RUN --json objectives.json

Every variant changes the settings of the fit that its name says. The file is written after
every fit; what it holds is not done again.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from verdicts import load_pool, no_new_captions

from ncaudit.audit.bench.machine import machine
from ncaudit.audit.bench.pool import first_captions
from ncaudit.audit.fit_model import calibrate, train
from ncaudit.audit.noise.kinds import NoiseKind
from ncaudit.audit.noise.plant import plant_noise
from ncaudit.calibration.metrics import expected_calibration_error
from ncaudit.config import FitConfig, SremConfig

DEFAULT = FitConfig()
HEADS = DEFAULT.heads
VARIANTS = {
    "crcl": DEFAULT,
    "crcl, two pieces after two epochs of warm-up from ones": replace(
        DEFAULT, heads=replace(HEADS, pieces=(4, 4), warmup=2, labels_from="ones")
    ),
    "crcl with cbcl, uniform": replace(DEFAULT, heads=replace(HEADS, complement="cbcl")),
    "crcl with cbcl, similar": replace(
        DEFAULT, heads=replace(HEADS, complement="cbcl", complement_bias="similar")
    ),
    "crcl with cbcl, dissimilar": replace(
        DEFAULT, heads=replace(HEADS, complement="cbcl", complement_bias="dissimilar")
    ),
    "srem, mixture": replace(DEFAULT, heads=replace(HEADS, objective="srem", warmup=1)),
    "srem, margin": replace(
        DEFAULT,
        heads=replace(HEADS, objective="srem", warmup=1, srem=SremConfig(filtration="margin")),
    ),
    "mscn, bilevel": replace(DEFAULT, meta=replace(DEFAULT.meta, mode="bilevel")),
}
TURNED = ("neg_clip_loss", "crcl_match_probability", "crcl_label", "mscn_similarity")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--noise", default="caption")
    parser.add_argument("--rate", type=float, default=0.4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    known = json.loads(given.json.read_text())["results"] if given.json.exists() else []
    done = {(each["variant"], each["noise"], each["seed"]) for each in known}
    pool, card = load_pool(given.run)
    pool = first_captions(pool, 1)
    for seed in range(given.seeds):
        noise = NoiseKind(given.noise)
        noisy = plant_noise(pool, noise, given.rate, seed=seed, encode=no_new_captions)
        for name, config in VARIANTS.items():
            if (name, given.noise, seed) in done:
                continue
            started = time.perf_counter()
            trained = train(noisy.pairs, config, card, seed=seed)
            scores = calibrate(trained, config, card, seed=seed).score(noisy.pairs)
            result = {
                "fusion": float(roc_auc_score(noisy.is_mismatch, scores.p_mismatch)),
                "ece": float(expected_calibration_error(scores.p_mismatch, noisy.is_mismatch)),
                **{
                    signal: float(roc_auc_score(noisy.is_mismatch, -scores.signals[signal]))
                    for signal in TURNED
                },
            }
            about = {"variant": name, "noise": given.noise, "rate": given.rate, "seed": seed}
            seconds = round(time.perf_counter() - started, 1)
            known.append(about | result | {"seconds": seconds} | machine("cpu"))
            content = {"command": "examples/bench/objectives.py", "results": known}
            given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            print(name, seed, {key: round(value, 4) for key, value in result.items()}, flush=True)
    for name in VARIANTS:
        values = [each["fusion"] for each in known if each["variant"] == name]
        print(f"{name:60} {np.mean(values):.4f}")


if __name__ == "__main__":
    main()
