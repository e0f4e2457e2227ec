"""Each shard and each new tar once: what the ledger has as done is not written again."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ncaudit import __version__
from ncaudit.audit.clean_reshard import Pack, Packer, PackTally, pack_name
from ncaudit.audit.clean_shard import CleanJob, CleanTally, clean_shard, files_of, outputs_of
from ncaudit.audit.full_disk import is_disk_full
from ncaudit.engine.ledger import Ledger
from ncaudit.errors import InputError, ShardsFailedError
from ncaudit.files import digest_file, digest_json
from ncaudit.shards.discover import REJECTED_FOLDER

_STAGE = "clean"
_RESHARD_STAGE = "reshard"


@dataclass(frozen=True, slots=True)
class Done:
    """What was written.

    Attributes:
        tallies: Of each shard.
        packs: Of each new tar, if there are such.
    """

    tallies: list[CleanTally]
    packs: list[PackTally] = field(default_factory=list)


def clean_all(
    jobs: Iterable[CleanJob], ledger: Ledger, on_shard: Callable[[CleanTally], None]
) -> list[CleanTally]:
    """Clean each shard that the ledger does not have as done.

    Args:
        jobs: The shards.
        ledger: Of the output folder.
        on_shard: Called after each shard.

    Raises:
        ShardsFailedError: If some shards could not be cleaned, after the others are.
        OSError: If the disk is full.
    """
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
    shard, key = job.shard, _job_key(job)
    done = ledger.done(_STAGE, shard.name, key)
    if done is not None and done.get("files") == _sizes(job):
        return CleanTally(**done["tally"])
    tally = clean_shard(job)
    ledger.commit(_STAGE, shard.name, key, {"tally": asdict(tally), "files": _sizes(job)})
    return tally


def pack_all(
    out: Path, packs: Iterable[Pack], ledger: Ledger, on_pack: Callable[[PackTally], None]
) -> Iterator[PackTally]:
    """Write each new tar that the ledger does not have as done, and remove those beyond.

    Args:
        out: The output folder.
        packs: All new tars, in order.
        ledger: Of the output folder.
        on_pack: Called after each tar.

    Raises:
        ShardsFailedError: If a tar does not hold the samples that were scored.
        InputError: If a tar is damaged where it was not before.
        OSError: If a file cannot be read or written.
    """
    packer, n_done = Packer(), 0
    for pack in packs:
        pieces = [[_job_key(piece.job), piece.start, piece.stop] for piece in pack.pieces]
        key = digest_json(pieces)
        files = files_of(pack.out, pack.shard)
        done = ledger.done(_RESHARD_STAGE, pack.shard, key)
        if done is not None and done.get("files") == _n_bytes(pack.out, files):
            tally = PackTally(**done["tally"])
        else:
            tally = packer.write(pack)
            payload = {"tally": asdict(tally), "files": _n_bytes(pack.out, files)}
            ledger.commit(_RESHARD_STAGE, pack.shard, key, payload)
        on_pack(tally)
        yield tally
        n_done += 1
    _remove_from(out, n_done)


def _remove_from(out: Path, number: int) -> None:
    """Remove new tars from a number on: scores that changed may leave less to keep."""
    while any(path.exists() for path in files_of(out, pack_name(number))):
        for path in files_of(out, pack_name(number)):
            path.unlink(missing_ok=True)
        number += 1


def _job_key(job: CleanJob) -> str:
    verdicts = [[key, index, int(human)] for (key, index), human in job.verdicts.items()]
    return digest_json(
        {
            "shard": job.shard.sha256,
            "scores": digest_file(str(job.shard.part)),
            "captions": job.captions,
            **asdict(job.rules),
            "verdicts": sorted(verdicts),
            "version": __version__,
        }
    )


def _sizes(job: CleanJob) -> dict[str, int]:
    of_rejected = files_of(job.out / REJECTED_FOLDER, job.shard.name)
    outputs = outputs_of(job.out, job.shard.name) if job.writes_kept else of_rejected
    return _n_bytes(job.out, outputs)


def _n_bytes(out: Path, files: Iterable[Path]) -> dict[str, int]:
    """Return the size of each of the files that is there, in bytes."""
    return {str(p.relative_to(out)): p.stat().st_size for p in files if p.exists()}
