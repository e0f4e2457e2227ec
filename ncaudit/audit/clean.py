"""Write cleaned and rejected shards from a finished run, by copying bytes."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ncaudit import __version__
from ncaudit.audit.clean_config import CleanConfig
from ncaudit.audit.clean_once import Done, clean_all, pack_all
from ncaudit.audit.clean_plan import Rules
from ncaudit.audit.clean_reshard import PackTally, plan_packs
from ncaudit.audit.clean_shard import CleanJob, CleanTally
from ncaudit.audit.clip_retrieval import export_embeddings
from ncaudit.audit.decide import threshold_for_loss, threshold_to_keep
from ncaudit.audit.full_disk import full_disk_is_deliberate
from ncaudit.audit.run_directory import RunDirectory
from ncaudit.audit.scored_run import (
    ScoredRun,
    has_probabilities,
    load_scored_run,
    refuse_among_shards,
    refuse_changed_shards,
    refuse_without_proposals,
    scored_p_mismatch,
)
from ncaudit.audit.sidecars import write_sizes, write_subset_uids
from ncaudit.audit.verdicts import PairId, Verdicts, match_verdicts, read_verdicts
from ncaudit.engine.ledger import Ledger
from ncaudit.errors import InputError
from ncaudit.files import digest_file, read_json, write_json, write_text
from ncaudit.report.dataset_card import dataset_card
from ncaudit.report.parts import read_part
from ncaudit.shards.discover import REJECTED_FOLDER

CLIP_RETRIEVAL_FOLDER = "clip-retrieval"


@dataclass(frozen=True, slots=True)
class CleanSummary:
    """What a cleaning did, over all shards.

    Attributes:
        threshold: The threshold that was used.
        chosen_by: The setting that decided it.
        sizes: Samples of each cleaned tar, by its name relative to the output folder,
            in order.
        captions: Where captions are.
        has_uids: Whether `subset_uids.npy` was written.
        totals: The sums of the shards' tallies, by the names in `CleanTally`.
    """

    threshold: float
    chosen_by: str
    sizes: dict[str, int]
    captions: str
    has_uids: bool
    totals: dict[str, int | float]


def clean(
    config: CleanConfig,
    on_shard: Callable[[CleanTally], None],
    on_reshard: Callable[[int], None] = lambda _: None,
    on_pack: Callable[[PackTally], None] = lambda _: None,
) -> CleanSummary:
    """Write kept samples to `out` and the others to `out/rejected`.

    Resumable: finished shards are not written again. All inputs are checked before
    anything is written.

    Args:
        config: Settings.
        on_shard: Called after each shard, also for those an earlier run finished.
        on_reshard: Called before the tars of `reshard`, with the number of kept samples.
        on_pack: Called after each of these tars, as `on_shard` is.

    Raises:
        ConfigError: If a verdict is about an unknown pair, `out` is among the shards, or
            proposals are to be applied and the run has none.
        InputError: If the run is not complete or a shard is gone.
        OutputExistsError: If a shard changed since it was scored, or `out` is not ours.
        ShardsFailedError: If the disk is full or some shards could not be cleaned; the
            others are in place, and the same call goes on.
    """
    run = load_scored_run(config.run)
    refuse_among_shards(config.out, run.inputs)
    verdicts = _verdicts(config, run)
    rules = Rules(threshold=_threshold(config, run), min_confidence=config.confidence)
    if config.apply_rematch:
        refuse_without_proposals(run.shards)
    _refuse_rejected(run)
    refuse_changed_shards(run.shards)
    ledger = Ledger(config.out)
    with full_disk_is_deliberate(config.out), ledger.claim():
        ledger.begin(_identity(config, run, rules))
        jobs = _jobs(config, run, rules, verdicts)
        done = Done(tallies=clean_all(jobs, ledger, on_shard))
        if config.reshard is not None:
            n_kept = [tally.n_samples_kept for tally in done.tallies]
            on_reshard(sum(n_kept))
            packs = plan_packs(jobs, n_kept, config.reshard)
            done.packs.extend(pack_all(config.out, packs, ledger, on_pack))
        return _finish(config, run, rules, done)


def _jobs(config: CleanConfig, run: ScoredRun, rules: Rules, verdicts: Verdicts) -> list[CleanJob]:
    return [
        CleanJob(
            shard,
            config.out,
            run.captions,
            rules,
            verdicts.get(shard.name, {}),
            writes_kept=config.reshard is None,
        )
        for shard in run.shards
    ]


def _refuse_rejected(run: ScoredRun) -> None:
    # `rejected/0` kept and `0` rejected would be the same file.
    for shard in run.shards:
        if shard.name.startswith(f"{REJECTED_FOLDER}/"):
            raise InputError(
                f"the shard {shard.name} is in a folder called {REJECTED_FOLDER!r}",
                hint="Move it elsewhere and score it there.",
            )


def _verdicts(config: CleanConfig, run: ScoredRun) -> Verdicts:
    if config.verdicts is None:
        return {}
    parts = {shard.name: shard.part for shard in run.shards}
    return match_verdicts(
        read_verdicts(config.verdicts), parts, lambda name: _pair_ids(parts[name])
    )


def _pair_ids(part: Path) -> Iterable[PairId]:
    table = read_part(part, ["key", "caption_index"])
    return zip(table["key"].to_pylist(), table["caption_index"].to_pylist(), strict=True)


def _threshold(config: CleanConfig, run: ScoredRun) -> float:
    name, value = config.chosen_by
    if config.verdicts is None and not has_probabilities(run.shards):
        raise InputError(
            f"no scored pair in {config.run} has a p_mismatch",
            hint="See summary.json of the run; without probabilities only --verdicts can decide.",
        )
    read = partial(scored_p_mismatch, run.shards)
    if name == "keep_fraction":
        return threshold_to_keep(read, value)
    if name == "max_good_loss":
        return threshold_for_loss(read, value)
    return value


def _identity(config: CleanConfig, run: ScoredRun, rules: Rules) -> dict[str, Any]:
    return {
        "command": "clean",
        "version": __version__,
        **asdict(rules),
        "reshard": config.reshard,
        "verdicts": _digest_of(config.verdicts),
        "captions": run.captions,
        "shards": [{"name": shard.name, "sha256": shard.sha256} for shard in run.shards],
    }


def _finish(config: CleanConfig, run: ScoredRun, rules: Rules, done: Done) -> CleanSummary:
    """Write what covers all shards; clean.json last, since it says that all is there."""
    out, tallies = config.out, done.tallies
    kept = {tally.shard: tally.n_samples_kept for tally in tallies}
    if config.reshard is not None:
        kept = {tally.shard: tally.n_samples for tally in done.packs}
    write_sizes(out, kept)
    rejected = {tally.shard: tally.n_samples_rejected for tally in tallies}
    write_sizes(out / REJECTED_FOLDER, rejected)
    summary = CleanSummary(
        threshold=rules.threshold,
        chosen_by=config.chosen_by[0],
        sizes={f"{shard}.tar": n for shard, n in kept.items() if n},
        captions=run.captions,
        has_uids=write_subset_uids(
            out / "subset_uids.npy", [out / f"{shard}.parquet" for shard in kept]
        ),
        totals=_totals(tallies),
    )
    _write_extras(config, summary, kept)
    setting, value = config.chosen_by
    content = {
        "version": __version__,
        "run": {"sha256": run.sha256, "n_shards": len(run.shards)},
        "config": {
            setting: value,
            "verdicts": _digest_of(config.verdicts),
            "min_confidence": rules.min_confidence,
            "reshard": config.reshard,
        },
        "threshold": rules.threshold,
        "totals": summary.totals,
        "shards": [asdict(tally) for tally in tallies],
        "tars": [asdict(tally) for tally in done.packs],
    }
    write_json(out / "clean.json", content)
    return summary


def _write_extras(config: CleanConfig, summary: CleanSummary, shards: Iterable[str]) -> None:
    """Write what was asked for beside the tars; it decides nothing, so it may come later."""
    run, out = RunDirectory(config.run), config.out
    if config.clip_retrieval:
        tables = [(shard, out / f"{shard}.parquet") for shard in shards]
        export_embeddings(run.embeddings, out / CLIP_RETRIEVAL_FOLDER, tables)
    if config.card:
        card = dataset_card(
            list(summary.sizes),
            summary.totals,
            threshold=summary.threshold,
            encoder=read_json(run.run_json).get("encoder", {}).get("name", "unknown"),
            summary=read_json(run.summary) if run.summary.is_file() else {},
        )
        write_text(out / "README.md", card)


def _digest_of(path: Path | None) -> str | None:
    return digest_file(str(path)) if path else None


def _totals(tallies: Iterable[CleanTally]) -> dict[str, int | float]:
    rows = [asdict(tally) for tally in tallies]
    names = [name for name in CleanTally.__slots__ if name != "shard"]
    return {name: sum(row[name] for row in rows) for name in names}
