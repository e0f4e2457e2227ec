"""How well planted mismatches are found, on the cached embeddings of clean shards.

    ncaudit score SHARDS -o RUN --captions json:captions
    python examples/bench/quality.py RUN --case 1:caption:0.4 --case 5:caption:0.4 --json OUT

A case is CAPTIONS:KIND:RATE: how many captions of each image take part, what is exchanged
(`caption`: single captions; `image`: all captions of an image together; `topic`: captions
inside k-means clusters of about 40), and the share that is exchanged. Captions are
exchanged by re-pairing embeddings, so images are encoded once for all seeds and cases.
The file is written after every fit; a case and seed that it holds is not done again.
"""

import argparse
import json
import os
import platform
import subprocess
import time
from pathlib import Path

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import average_precision_score, roc_auc_score

from ncaudit.audit.fit_model import fit_model
from ncaudit.calibration.metrics import brier_score, expected_calibration_error
from ncaudit.config import FitConfig
from ncaudit.embeddings.cache import read_embeddings
from ncaudit.matching.pairs import Pairs, concatenate
from ncaudit.types import EncoderCard

LOW_IS_BAD = {
    "similarity",
    "neg_clip_loss",
    "crcl_label",
    "crcl_match_probability",
    "mscn_similarity",
    "mscn_clean_posterior",
}
PAIRS_PER_TOPIC = 40


def load_run(run: Path) -> tuple[Pairs, EncoderCard]:
    record = json.loads((run / "run.json").read_text())
    parts = [read_embeddings(run / "embeddings" / each["name"]) for each in record["shards"]]
    pairs = concatenate(
        [Pairs(part.image, part.caption, part.image_id, part.caption_id) for part in parts]
    )
    return pairs, EncoderCard(**record["encoder"])


def derange(chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    order = rng.permutation(len(chosen))
    out = np.empty_like(chosen)
    out[order] = chosen[np.roll(order, 1)]
    return out


def caption_rows(clean: Pairs, kind: str, rate: float, seed: int) -> np.ndarray:
    """Return for each pair the row its caption now comes from."""
    rng = np.random.default_rng([seed, 1000])
    rows = np.arange(len(clean))
    if kind == "image":
        _, image = np.unique(clean.image_id, return_inverse=True)
        by_image = np.argsort(image, kind="stable").reshape(image.max() + 1, -1)
        chosen = rng.permutation(len(by_image))[: round(rate * len(by_image))]
        rows[by_image[chosen]] = by_image[derange(chosen, rng)]
        return rows
    groups = np.zeros(len(clean), np.int64)
    if kind == "topic":
        n_topics = len(clean) // PAIRS_PER_TOPIC
        kmeans = MiniBatchKMeans(n_topics, random_state=0, n_init=1, batch_size=4096)
        groups = kmeans.fit_predict(clean.caption.astype(np.float32))
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        chosen = rng.permutation(members)[: round(rate * len(members))]
        if len(chosen) > 1:
            rows[chosen] = derange(chosen, rng)
    return rows


def measure(pairs: Pairs, card: EncoderCard, case: str, seed: int) -> dict[str, object]:
    n_captions, kind, rate = case.split(":")
    _, first = np.unique(pairs.image_id, return_index=True)
    clean = pairs if n_captions != "1" else pairs.take(np.sort(first))
    source = caption_rows(clean, kind, float(rate), seed)
    truth = clean.image_id != clean.image_id[source]
    noisy = clean.recombine(np.arange(len(clean)), source)
    started = time.perf_counter()
    model = fit_model(noisy, FitConfig(), card, seed=seed)
    fitted = time.perf_counter()
    scores = model.score(noisy)
    p = scores.p_mismatch
    result: dict[str, object] = {
        "case": case,
        "seed": seed,
        "n_pairs": len(noisy),
        "true_rate": float(truth.mean()),
        "estimated_rate": model.summary["estimated_noise_rate"],
        "rate_low": model.summary["noise_rate_low"],
        "rate_high": model.summary["noise_rate_high"],
        "ece": float(expected_calibration_error(p, truth)),
        "brier": float(brier_score(p, truth)),
        "share_at_half": float(np.mean(p >= 0.5)),
        "self_check": model.summary["self_check"],
        "heads": model.summary["heads"],
        "seconds_fit": fitted - started,
        "seconds_score": time.perf_counter() - fitted,
    }
    if truth.any():
        result["auroc"] = float(roc_auc_score(truth, p))
        result["ap"] = float(average_precision_score(truth, p))
        result["auroc_start"] = start_auroc(noisy, card, truth, seed)
        result["auroc_of"] = {
            name: float(roc_auc_score(truth, -values if name in LOW_IS_BAD else values))
            for name, values in scores.signals.items()
            if np.isfinite(values).all()
        }
    return result


def start_auroc(noisy: Pairs, card: EncoderCard, truth: np.ndarray, seed: int) -> float:
    """Return the AUROC of the cosine in the cross-fitted start alone, k = 128, ridge 1."""
    from ncaudit.matching.folds import assign_folds, group_rows
    from ncaudit.matching.moments import moments_of
    from ncaudit.matching.start import ridge_cca, shared_rotation

    fold = assign_folds(group_rows(noisy.image_id), n_folds=5, seed=seed)
    cosine = np.empty(len(noisy))
    for number in range(5):
        moments = moments_of(noisy.take(np.flatnonzero(fold != number)), aligned=card.aligned)
        heads = (
            shared_rotation(moments, dim=card.image_dim)
            if card.aligned
            else ridge_cca(moments, dim=128, ridge=1.0)
        )
        rows = np.flatnonzero(fold == number)
        image, caption = heads.project(noisy.take(rows))
        cosine[rows] = (image * caption).sum(1)
    return float(roc_auc_score(truth, -cosine))


def machine() -> dict[str, object]:
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False)  # noqa: S603
    return {
        "commit": commit.stdout.strip(),
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--case", action="append", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    pairs, card = load_run(given.run)
    known = json.loads(given.json.read_text())["results"] if given.json.exists() else []
    done = {(each["case"], each["seed"]) for each in known}
    for case in given.case:
        for seed in range(given.seeds):
            if (case, seed) in done:
                continue
            result = measure(pairs, card, case, seed)
            known.append(result)
            head = {"command": "examples/bench/quality.py", **machine(), "encoder": card.name}
            given.json.parent.mkdir(parents=True, exist_ok=True)
            given.json.write_text(json.dumps({**head, "results": known}, indent=2) + "\n")
            print(
                case, seed, {k: v for k, v in result.items() if isinstance(v, float)}, flush=True
            )


if __name__ == "__main__":
    main()
