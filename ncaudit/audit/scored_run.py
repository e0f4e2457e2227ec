"""A finished run as later commands see it: its shards, its parts, and where captions are."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ncaudit.errors import ConfigError, InputError, OutputExistsError
from ncaudit.files import digest_file, mask_secrets, read_json
from ncaudit.report.parts import read_part
from ncaudit.shards.discover import discover_shards
from ncaudit.types import Floats, Status

_N_LOOKUPS = 16


@dataclass(frozen=True, slots=True)
class ScoredShard:
    """One shard of a finished run.

    Attributes:
        name: The `shard` column.
        path: Local path or URL of the tar.
        n_bytes: Its size when it was scored.
        modified: Its time or ETag when it was scored.
        sha256: Its digest when it was scored.
        part: Its rows of the audit table.
    """

    name: str
    path: str
    n_bytes: int
    modified: str
    sha256: str
    part: Path


@dataclass(frozen=True, slots=True)
class ScoredRun:
    """A finished run.

    Attributes:
        captions: Where captions were read from.
        inputs: The shards as they were named when they were scored.
        shards: In the order of the audit table.
        sha256: Digest of run.json.
    """

    captions: str
    inputs: tuple[str, ...]
    shards: tuple[ScoredShard, ...]
    sha256: str


def load_scored_run(folder: Path) -> ScoredRun:
    """Read what a finished `ncaudit score` left in `folder`.

    Raises:
        InputError: If there is no run, it is not complete, or one of its parts is gone.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise _no_run(folder)
    try:
        content = read_json(path)
        shards = tuple(_shard(folder, entry) for entry in content["shards"])
        captions = str(content["config"].get("captions", "auto"))
        inputs = tuple(str(name) for name in content["config"].get("shards", ()))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is not a run of ncaudit: {error!r}",
            hint="Score the shards into another folder.",
        ) from error
    gone = [shard.name for shard in shards if not shard.part.is_file()]
    if gone:
        raise InputError(
            f"{folder} has no scores for {_listed(gone)}",
            hint="Run the same ncaudit score command again.",
        )
    return ScoredRun(captions, inputs, shards, digest_file(str(path)))


def count_pairs(run: ScoredRun) -> int:
    """Return the number of pairs of a run, from its parts' footers."""
    import pyarrow.parquet as pq

    return sum(int(pq.read_metadata(shard.part).num_rows) for shard in run.shards)


def has_probabilities(shards: Iterable[ScoredShard]) -> bool:
    """Tell whether some pair has a probability, or there is no scored pair to need one."""
    n_scored = 0
    for p in scored_p_mismatch(shards):
        if not np.isnan(p).all():
            return True
        n_scored += len(p)
    return n_scored == 0


def scored_p_mismatch(shards: Iterable[ScoredShard]) -> Iterable[Floats]:
    """Give `p_mismatch` of the scored pairs, shard by shard; NaN where there is none."""
    import pyarrow.compute as pc

    for shard in shards:
        table = read_part(shard.part, ["status", "p_mismatch"])
        scored = pc.equal(table["status"], str(Status.SCORED))
        yield table.filter(scored)["p_mismatch"].to_numpy()


def refuse_changed_shards(shards: Sequence[ScoredShard]) -> None:
    """Check that every shard is still the one that was scored.

    Size and time are compared; only where they differ is the content read.

    Raises:
        InputError: If a shard is gone.
        OutputExistsError: If the content of a shard changed; all such shards are named.
    """
    with ThreadPoolExecutor(_N_LOOKUPS) as pool:  # each look-up of a URL waits for the network
        changed = [
            shard.name
            for shard, is_same in zip(shards, pool.map(_is_same, shards), strict=True)
            if not is_same
        ]
    if changed:
        raise OutputExistsError(
            f"changed since they were scored: {_listed(changed)}",
            hint="Score the shards again into a new folder, then clean that run.",
        )


def refuse_without_proposals(shards: Iterable[ScoredShard]) -> None:
    """Check that some pair of a run has a proposal.

    Raises:
        ConfigError: If none has.
    """
    for shard in shards:
        proposed = read_part(shard.part, ["rematch_key"])["rematch_key"]
        if proposed.null_count < len(proposed):
            return
    raise ConfigError(
        "the run has no proposals to apply",
        hint="Score the shards again, which proposes rematches; or leave out --apply-rematch.",
    )


def refuse_among_shards(out: Path, inputs: Iterable[str]) -> None:
    """Check that an output folder is not in a folder that was scored.

    Cleaned shards there would be scored as input the next time.

    Args:
        out: Folder to write.
        inputs: The shards as they were named: folders, globs and others.

    Raises:
        ConfigError: If it is.
    """
    for name in inputs:
        if Path(name).is_dir() and out.resolve().is_relative_to(Path(name).resolve()):
            raise ConfigError(
                f"{out} is in {name}, the folder of the shards",
                hint="Choose a folder outside of it with --out.",
            )


def _shard(folder: Path, entry: dict[str, Any]) -> ScoredShard:
    name = str(entry["name"])
    # run.json may have been edited; a name becomes a path in the output folder.
    if name.startswith("/") or ".." in name.split("/"):
        raise ValueError(f"{name!r} is not a shard name")
    return ScoredShard(
        name=name,
        path=str(entry["path"]),
        n_bytes=int(entry["n_bytes"]),
        modified=str(entry["modified"]),
        sha256=str(entry["sha256"]),
        part=folder / "scores" / f"{name}.parquet",
    )


def _no_run(folder: Path) -> InputError:
    if (folder / "ledger").is_dir() or (folder / "scores").is_dir():
        hint = "Run the same ncaudit score command again to finish it."
        return InputError(f"the run in {folder} is not complete: it has no run.json", hint=hint)
    hint = f"Score the shards first: ncaudit score SHARDS -o {folder}"
    return InputError(f"{folder} is not a run directory: it has no run.json", hint=hint)


def _is_same(shard: ScoredShard) -> bool:
    (found,) = discover_shards([shard.path])
    if (found.n_bytes, found.modified) == (shard.n_bytes, shard.modified):
        return True
    try:
        return digest_file(shard.path) == shard.sha256
    except OSError as error:
        raise InputError(
            f"{mask_secrets(shard.path)} cannot be read: {error}",
            hint="Put the shard back where it was scored, and make it readable.",
        ) from error


def _listed(names: Iterable[str], limit: int = 10) -> str:
    listed = list(names)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more
