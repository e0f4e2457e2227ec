"""One case with one seed: plant, audit, measure."""

import time
from itertools import chain
from typing import Any

from ncaudit.audit.bench.measure import Yardstick
from ncaudit.audit.bench.methods import Method, Task, fusion_methods, other_methods
from ncaudit.audit.bench.pool import first_captions
from ncaudit.audit.bench.settings import BenchCase, BenchConfig
from ncaudit.audit.downstream import Comparison, HeadTraining
from ncaudit.audit.fit_model import calibrate, train
from ncaudit.audit.noise.plant import Pool, plant_noise
from ncaudit.audit.stages import Stages
from ncaudit.encoders.base import Encoder
from ncaudit.errors import FitError

_SAID = ("self_check", "separable", "banner", "heads", "ridge")


def measure_case(
    config: BenchConfig,
    case: BenchCase,
    pools: tuple[Pool, Pool | None],
    encoder: Encoder,
    *,
    seed: int,
    stages: Stages,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Plant a case's noise, audit it and measure every method.

    Args:
        config: Settings.
        case: Kind of noise and rate.
        pools: Pairs to plant noise in, and those held out for retrieval, if any.
        encoder: For captions that change.
        seed: Root of every draw.
        stages: Told of each step of the fit, and each row that is done.

    Returns:
        An entry of bench.json, and what its plots need by method.

    Raises:
        FitError: If the pairs are too few or degenerate.
        InputError: If there is nothing that could be exchanged.
    """
    pool = first_captions(pools[0], case.captions_per_image)
    noisy = plant_noise(pool, case.noise, case.rate, seed=seed, encode=encoder.encode_captions)
    _refuse_few(len(noisy.pairs), config)
    task = Task(
        noisy=noisy,
        config=config.score.fit,
        card=encoder.card,
        seed=seed,
        baselines=config.baselines,
    )
    methods, about = _audited(task, stages)
    yardstick = Yardstick(noisy, seed)
    rows = [yardstick.row(method) for method in methods]
    entry = about | {
        name: rows[0][name] for name in ("auroc", "ap", "ece", "brier", "estimated_rate")
    }
    entry["rows"] = rows
    if pools[1] is not None:
        comparison = Comparison(
            noisy=noisy,
            clean=pool.pairs,
            held_out=pools[1].pairs,
            aligned=encoder.card.aligned,
            seed=seed,
            training=HeadTraining(),
        )
        baselines = {each.name: each.score for each in methods if each.kind == "baseline"}
        entry["downstream"] = comparison.rows(methods[0].score, baselines, stages.advance)
    shown = (each for each in methods if each.kind != "ablation")
    return entry, {each.name: yardstick.plotted(each) for each in shown}


def _refuse_few(n_pairs: int, config: BenchConfig) -> None:
    least = config.score.fit.min_pairs
    if n_pairs < least:
        raise FitError(
            f"{n_pairs} pairs are too few for a benchmark: at least {least} are needed",
            hint="Give more shards, or more captions with --captions-per-image all.",
        )


def _audited(task: Task, stages: Stages) -> tuple[list[Method], dict[str, Any]]:
    """Return all methods, the fusion first, and what the model says about itself."""
    started = time.perf_counter()
    trained = train(task.pairs, task.config, task.card, seed=task.seed, on_step=stages.advance)
    model = calibrate(trained, task.config, task.card, seed=task.seed)
    fitted = time.perf_counter()
    scores = model.score(task.pairs)
    scored = time.perf_counter()
    methods = []
    fusion = fusion_methods(model, scores, scored - started)
    for method in chain(fusion, other_methods(task, trained, model.deciding)):
        methods.append(method)
        stages.advance()
    said = model.summary
    return methods, {
        "n_pairs": len(task.pairs),
        "true_rate": float(task.noisy.is_mismatch.mean()),
        "rate_low": said["noise_rate_low"],
        "rate_high": said["noise_rate_high"],
        "share_at_half": float((methods[0].score >= 0.5).mean()),
        **{name: said.get(name) for name in _SAID},
        "seconds_fit": round(fitted - started, 3),
        "seconds_score": round(scored - fitted, 3),
    }
