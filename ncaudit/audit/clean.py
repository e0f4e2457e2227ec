"""Write cleaned and rejected shards from a finished run, by copying bytes."""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ncaudit import __version__
from ncaudit.audit.clean_shard import CleanJob, CleanTally, clean_shard, outputs_of
from ncaudit.audit.decide import threshold_for_loss, threshold_to_keep
from ncaudit.audit.full_disk import full_disk_is_deliberate, is_disk_full
from ncaudit.audit.scored_run import (
    ScoredRun,
    has_probabilities,
    load_scored_run,
    refuse_changed_shards,
    scored_p_mismatch,
)
from ncaudit.audit.sidecars import write_sizes, write_subset_uids
from ncaudit.audit.verdicts import PairId, Verdicts, match_verdicts, read_verdicts
from ncaudit.engine.ledger import Ledger
from ncaudit.errors import ConfigError, InputError, ShardsFailedError
from ncaudit.files import digest_file, digest_json, write_json
from ncaudit.report.parts import read_part
from ncaudit.shards.discover import REJECTED_FOLDER

DEFAULT_THRESHOLD = 0.5
_STAGE = "clean"


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanConfig:
    """Settings of `ncaudit clean`; at most one of the three ways to choose the threshold.

    Attributes:
        run: Folder of a finished run.
        out: Folder for the cleaned shards.
        threshold: Pairs with `p_mismatch >= threshold` leave; 0.5 if nothing is chosen.
        keep_fraction: Share of the scored pairs to keep, those of lowest `p_mismatch`.
        max_good_loss: Share of the expected good pairs that may be lost.
        verdicts: File of people's verdicts on single pairs, which outrank the threshold.
    """

    run: Path
    out: Path
    threshold: float | None = None
    keep_fraction: float | None = None
    max_good_loss: float | None = None
    verdicts: Path | None = None

    def __post_init__(self) -> None:
        given = {name: value for name, value in self._choices().items() if value is not None}
        if len(given) > 1:
            raise ConfigError(
                f"{' and '.join(given)} are both given", hint="Choose the threshold in one way."
            )
        for name, value in given.items():
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise ConfigError(f"{name} is {value}", hint="Give a number from 0 to 1.")
        if self.out.resolve() == self.run.resolve():
            raise ConfigError(f"{self.out} is the run itself", hint="Choose another --out.")

    @property
    def chosen_by(self) -> tuple[str, float]:
        """Name and value of the setting that decides the threshold."""
        given = ((name, value) for name, value in self._choices().items() if value is not None)
        return next(given, ("threshold", DEFAULT_THRESHOLD))

    def _choices(self) -> dict[str, float | None]:
        return {
            "threshold": self.threshold,
            "keep_fraction": self.keep_fraction,
            "max_good_loss": self.max_good_loss,
        }


@dataclass(frozen=True, slots=True)
class CleanSummary:
    """What a cleaning did, over all shards.

    Attributes:
        threshold: The threshold that was used.
        chosen_by: The setting that decided it.
        tars: Names of the cleaned tars, relative to the output folder, in order.
        has_uids: Whether `subset_uids.npy` was written.
        totals: The sums of the shards' tallies, by the names in `CleanTally`.
    """

    threshold: float
    chosen_by: str
    tars: tuple[str, ...]
    has_uids: bool
    totals: dict[str, int | float]


def clean(config: CleanConfig, on_shard: Callable[[CleanTally], None]) -> CleanSummary:
    """Write kept samples to `out` and the others to `out/rejected`.

    Resumable: finished shards are not written again. All inputs are checked before
    anything is written.

    Args:
        config: Settings.
        on_shard: Called after each shard, also for those an earlier run finished.

    Raises:
        ConfigError: If a verdict is about an unknown pair.
        InputError: If the run is not complete or a shard is gone.
        OutputExistsError: If a shard changed since it was scored, or `out` is not ours.
        ShardsFailedError: If the disk is full or some shards could not be cleaned; the
            others are in place, and the same call goes on.
    """
    run = load_scored_run(config.run)
    verdicts = _verdicts(config, run)
    threshold = _threshold(config, run)
    _refuse_rejected(run)
    refuse_changed_shards(run.shards)
    ledger = Ledger(config.out)
    with full_disk_is_deliberate(config.out), ledger.claim():
        ledger.begin(_identity(config, run, threshold))
        jobs = [
            CleanJob(shard, config.out, run.captions, threshold, verdicts.get(shard.name, {}))
            for shard in run.shards
        ]
        tallies = _clean_all(jobs, ledger, on_shard)
        return _finish(config, run, threshold, tallies)


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


def _identity(config: CleanConfig, run: ScoredRun, threshold: float) -> dict[str, Any]:
    return {
        "command": "clean",
        "version": __version__,
        "threshold": threshold,
        "verdicts": _digest_of(config.verdicts),
        "captions": run.captions,
        "shards": [{"name": shard.name, "sha256": shard.sha256} for shard in run.shards],
    }


def _clean_all(
    jobs: Iterable[CleanJob], ledger: Ledger, on_shard: Callable[[CleanTally], None]
) -> list[CleanTally]:
    tallies: list[CleanTally] = []
    failures: list[str] = []
    for job in jobs:
        try:
            tally = _clean_once(job, ledger)
        except (InputError, ShardsFailedError, OSError) as error:
            if is_disk_full(error):
                raise
            failures.append(f"{job.shard.name}: {error}")
            continue
        tallies.append(tally)
        on_shard(tally)
    if failures:
        raise ShardsFailedError(
            "\n".join([f"{len(failures)} shards could not be cleaned:", *failures]),
            hint="The other shards are written; the same command tries these again.",
        )
    return tallies


def _clean_once(job: CleanJob, ledger: Ledger) -> CleanTally:
    shard = job.shard
    verdicts = [[key, index, int(human)] for (key, index), human in job.verdicts.items()]
    key = digest_json(
        {
            "shard": shard.sha256,
            "scores": digest_file(str(shard.part)),
            "captions": job.captions,
            "threshold": job.threshold,
            "verdicts": sorted(verdicts),
            "version": __version__,
        }
    )
    done = ledger.done(_STAGE, shard.name, key)
    if done is not None and done.get("files") == _sizes(job):
        return CleanTally(**done["tally"])
    tally = clean_shard(job)
    ledger.commit(_STAGE, shard.name, key, {"tally": asdict(tally), "files": _sizes(job)})
    return tally


def _sizes(job: CleanJob) -> dict[str, int]:
    """Return the size of each output of a shard that is there, in bytes."""
    outputs = outputs_of(job.out, job.shard.name)
    return {str(p.relative_to(job.out)): p.stat().st_size for p in outputs if p.exists()}


def _finish(
    config: CleanConfig, run: ScoredRun, threshold: float, tallies: list[CleanTally]
) -> CleanSummary:
    """Write what covers all shards; clean.json last, since it says that all is there."""
    out = config.out
    write_sizes(out, {tally.shard: tally.n_samples_kept for tally in tallies})
    rejected = {tally.shard: tally.n_samples_rejected for tally in tallies}
    write_sizes(out / REJECTED_FOLDER, rejected)
    tables = [out / f"{tally.shard}.parquet" for tally in tallies]
    summary = CleanSummary(
        threshold=threshold,
        chosen_by=config.chosen_by[0],
        tars=tuple(f"{tally.shard}.tar" for tally in tallies if tally.n_samples_kept),
        has_uids=write_subset_uids(out / "subset_uids.npy", tables),
        totals=_totals(tallies),
    )
    setting, value = config.chosen_by
    content = {
        "version": __version__,
        "run": {"sha256": run.sha256, "n_shards": len(run.shards)},
        "config": {setting: value, "verdicts": _digest_of(config.verdicts)},
        "threshold": threshold,
        "totals": summary.totals,
        "shards": [asdict(tally) for tally in tallies],
    }
    write_json(out / "clean.json", content)
    return summary


def _digest_of(path: Path | None) -> str | None:
    return digest_file(str(path)) if path else None


def _totals(tallies: Iterable[CleanTally]) -> dict[str, int | float]:
    rows = [asdict(tally) for tally in tallies]
    names = [name for name in CleanTally.__slots__ if name != "shard"]
    return {name: sum(row[name] for row in rows) for name in names}
