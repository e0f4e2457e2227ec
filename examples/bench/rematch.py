"""How right the proposals for flagged pairs are, and how honest their confidence.

    python examples/bench/rematch.py --json OUT --case generated:0 --case generated:0.5
    python examples/bench/rematch.py --json OUT --run RUN --case 1 --case 5
    python examples/bench/rematch.py --json OUT --case scale:100000

`generated:ORPHANS` draws CLIP-like embeddings, exchanges 40 % of the captions, and takes
that share of the exchanged ones out of the set. `1` and `5` exchange 40 % of the captions,
one or five of each image, of the run's cached embeddings. `scale:N` measures candidates and
transport of N flagged pairs. The file is written after every case; a case that it holds is
not done again.
"""

import argparse
import json
import os
import resource
import time
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from verdicts import load_pool, no_new_captions

from ncaudit.audit.bench.machine import machine
from ncaudit.audit.bench.pool import first_captions
from ncaudit.audit.fit_model import fit_model
from ncaudit.audit.noise.kinds import NoiseKind
from ncaudit.audit.noise.plant import plant_noise
from ncaudit.config import FitConfig, RematchConfig
from ncaudit.matching.heads import unit_rows
from ncaudit.matching.pairs import Pairs
from ncaudit.rematch.propose import Space, Suspects, propose
from ncaudit.types import EncoderCard

N_GENERATED, N_TOPICS, DIM, NUISANCE = 6000, 300, 512, 2.4
CARD = EncoderCard(
    name="generated",
    aligned=True,
    image_dim=DIM,
    caption_dim=DIM,
    preprocess_id="none",
    weights={"generated": "0" * 64},
    dtype="float32",
)
Truth = set[tuple[int, int]]


def generated(n: int, orphans: float, seed: int) -> tuple[Pairs, Truth]:
    """Draw pairs of one space: topic, instance, a gap between the modalities, nuisance."""
    rng = np.random.default_rng([seed, 50])
    topics = rng.normal(size=(N_TOPICS, DIM)).astype(np.float32)
    shared = topics[rng.integers(0, N_TOPICS, 2 * n)]
    shared += 0.8 * rng.normal(size=shared.shape).astype(np.float32)
    gap = rng.normal(size=DIM)
    image = unit_rows(shared[:n] + NUISANCE * rng.normal(size=(n, DIM)) + gap)
    caption = unit_rows(shared + NUISANCE * rng.normal(size=(2 * n, DIM)) - gap)
    source, chosen = np.arange(n), rng.permutation(n)[: round(0.4 * n)]
    source[chosen] = np.roll(chosen, 1)
    source[rng.permutation(chosen)[: round(orphans * len(chosen))]] += n
    ids = rng.choice(2**62, 3 * n, replace=False).astype(np.uint64)
    pairs = Pairs(
        image.astype(np.float16), caption[source].astype(np.float16), ids[:n], ids[n:][source]
    )
    return pairs, set(zip(ids[:n].tolist(), ids[n : 2 * n].tolist(), strict=True))


def exchanged(run: Path, captions: str, seed: int) -> tuple[Pairs, Truth, EncoderCard]:
    pool, card = load_pool(run)
    pool = first_captions(pool, int(captions))
    clean = pool.pairs
    noisy = plant_noise(pool, NoiseKind.CAPTION, 0.4, seed=seed, encode=no_new_captions)
    truth = set(zip(clean.image_id.tolist(), clean.caption_id.tolist(), strict=True))
    return noisy.pairs, truth, card


def is_true(suspects: Suspects, donor: np.ndarray, truth: Truth) -> np.ndarray:
    image, caption = suspects.pairs.image_id, suspects.pairs.caption_id
    return np.array(
        [d >= 0 and (int(image[i]), int(caption[d])) in truth for i, d in enumerate(donor)]
    )


def curve(rank: np.ndarray, right: np.ndarray, n_recoverable: int) -> list[list[float]]:
    """Return [recall, precision] at 100 points of a ranking, the best first."""
    order = np.argsort(-rank, kind="stable")
    hits = np.cumsum(right[order])
    at = np.unique(np.linspace(1, len(order), 100).astype(int)) - 1 if len(order) else []
    return [[float(hits[i] / n_recoverable), float(hits[i] / (i + 1))] for i in at]


def bins(confidence: np.ndarray, right: np.ndarray) -> list[dict[str, float]]:
    found = []
    for low in np.arange(10) / 10:
        inside = (confidence >= low) & (confidence < low + 0.1)
        if inside.any():
            mean, share = confidence[inside].mean(), right[inside].mean()
            found.append(
                {"n": int(inside.sum()), "confidence": float(mean), "right": float(share)}
            )
    return found


def counted(taken: np.ndarray, right: np.ndarray, n_recoverable: int) -> dict[str, float]:
    hits, n = int(right[taken].sum()), int(taken.sum())
    return {"n": n, "precision": hits / n if n else 0.0, "recall": hits / n_recoverable}


def measure(pairs: Pairs, truth: Truth, card: EncoderCard, seed: int) -> dict[str, object]:
    model = fit_model(pairs, FitConfig(), card, seed=seed)
    p = model.score(pairs).p_mismatch
    flagged, kept = np.flatnonzero(p >= 0.5), np.flatnonzero(p < 0.5)
    rows, n = np.concatenate([flagged, kept]), len(flagged)
    suspects = Suspects(pairs.take(rows), n, p[rows], np.zeros(len(rows), np.int64))
    space = Space(card.aligned, card.image_dim if card.aligned else 128, 1.0)
    started = time.perf_counter()
    found = propose(suspects, space, RematchConfig(), seed=seed)
    seconds = time.perf_counter() - started
    own = suspects.pairs.take(np.arange(n))
    donors = set(own.caption_id.tolist())
    mine: dict[int, set[int]] = {}
    for image, caption in truth:
        mine.setdefault(image, set()).add(caption)
    observed = zip(own.image_id.tolist(), own.caption_id.tolist(), strict=True)
    n_recoverable = sum(bool((mine[i] - {c}) & donors) for i, c in observed)
    right = is_true(suspects, found.donor, truth)
    sure = (found.confidence >= 0.5) & (found.mass >= 0.5) & found.mutual
    return {
        "n_flagged": n,
        "n_recoverable": n_recoverable,
        "about": found.about,
        "seconds": seconds,
        "load": os.getloadavg()[0],
        "bins": bins(found.confidence, right),
        "confidence_half": counted(found.confidence >= 0.5, right, n_recoverable),
        "confidence_mass_mutual": counted(sure, right, n_recoverable),
        "curve": curve(found.confidence, right, n_recoverable),
        "others": others(suspects, card, truth, n_recoverable),
    }


def others(
    suspects: Suspects, card: EncoderCard, truth: Truth, n_recoverable: int
) -> dict[str, object]:
    """Measure top-1, mutual nearest neighbours and dense assignment in the same space."""
    from ncaudit.rematch.space import matching_space

    n = suspects.n_flagged
    kept = np.arange(n, len(suspects.pairs))
    dim = card.image_dim if card.aligned else 128
    weight = 1 - suspects.p_mismatch[kept]
    heads = matching_space(suspects.pairs, kept, weight, aligned=card.aligned, dim=dim, ridge=1.0)
    image, caption = heads.project(suspects.pairs.take(np.arange(n)))
    similarity = image @ caption.T
    image_id = suspects.pairs.image_id[:n]
    similarity[image_id[:, None] == image_id[None]] = -2.0
    best, back = similarity.argmax(1), similarity.argmax(0)
    mutual = back[best] == np.arange(n)
    two = -np.partition(-similarity, 1, axis=1)[:, :2]
    hit = is_true(suspects, best, truth)
    everyone = np.ones(n, bool)
    result: dict[str, object] = {
        "top1": counted(everyone, hit, n_recoverable),
        "mutual": counted(mutual, hit, n_recoverable),
        "mutual_curve": curve((two[:, 0] - two[:, 1])[mutual], hit[mutual], n_recoverable),
    }
    if n <= 5000:
        assigned = linear_sum_assignment(-similarity)[1]
        result["assignment"] = counted(everyone, is_true(suspects, assigned, truth), n_recoverable)
    return result


def scale(n: int) -> dict[str, object]:
    """Time proposals for n flagged pairs with a third as many kept ones to learn from."""
    rng = np.random.default_rng([0, 51])
    n_all = n + n // 3

    def noise() -> np.ndarray:
        return rng.standard_normal((n_all, DIM), dtype=np.float32)

    topics = rng.standard_normal((N_TOPICS, DIM), dtype=np.float32)
    shared = topics[rng.integers(0, N_TOPICS, n_all)] + 0.8 * noise()
    image = unit_rows(shared + NUISANCE * noise()).astype(np.float16)
    caption = unit_rows(shared + NUISANCE * noise()).astype(np.float16)
    caption[:n] = np.roll(caption[:n], 1, axis=0)
    ids = rng.choice(2**62, 2 * n_all, replace=False).astype(np.uint64)
    pairs = Pairs(image, caption, ids[:n_all], ids[n_all:])
    p = np.where(np.arange(n_all) < n, 0.95, 0.02)
    suspects = Suspects(pairs, n, p, np.zeros(n_all, np.int64))
    del shared
    clock, cores = time.perf_counter(), time.process_time()
    found = propose(suspects, Space(aligned=True, dim=DIM, ridge=1.0), RematchConfig(), seed=0)
    return {
        "seconds": time.perf_counter() - clock,
        "core_seconds": time.process_time() - cores,
        "load": os.getloadavg()[0],
        "peak_gib_of_the_process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "about": found.about,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--case", action="append", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    known = json.loads(given.json.read_text())["results"] if given.json.exists() else []
    for case in given.case:
        if (case, given.seed) in {(each["case"], each["seed"]) for each in known}:
            continue
        kind, _, value = case.partition(":")
        if kind == "scale":
            result = scale(int(value))
        elif kind == "generated":
            pairs, truth = generated(N_GENERATED, float(value), given.seed)
            result = measure(pairs, truth, CARD, given.seed)
        else:
            pairs, truth, card = exchanged(given.run, kind, given.seed)
            result = measure(pairs, truth, card, given.seed)
        known.append({"case": case, "seed": given.seed, **machine("cpu"), **result})
        given.json.parent.mkdir(parents=True, exist_ok=True)
        head = {"command": "examples/bench/rematch.py"}
        given.json.write_text(json.dumps({**head, "results": known}, indent=1) + "\n")
        print(case, {k: v for k, v in result.items() if k not in ("curve", "others")}, flush=True)


if __name__ == "__main__":
    main()
