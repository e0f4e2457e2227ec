"""The pair a person means by a key: exact, in any of the forms it is shown in, or what is near."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ncaudit.audit.scored_run import ScoredRun, ScoredShard
from ncaudit.errors import ConfigError
from ncaudit.report.parts import read_part
from ncaudit.report.safe_text import escape_controls, safe_cell

_MAX_COMPARED = 50_000  # keys that an unknown one is compared with
_MAX_LISTED = 8


@dataclass(frozen=True, slots=True, eq=False)
class FoundPair:
    """One row of the table.

    Attributes:
        shard: Its shard.
        at: Position of the shard in the run.
        row: Row in the shard's part.
        values: Column to value, all columns of the part.
        siblings: Rows of the sample's other captions, with the same columns.
    """

    shard: ScoredShard
    at: int
    row: int
    values: dict[str, Any]
    siblings: tuple[dict[str, Any], ...]


def find_pair(
    run: ScoredRun, key: str, *, shard: str | None = None, caption: int | None = None
) -> FoundPair:
    """Find the pair of a key.

    Args:
        run: Where.
        key: Raw, as audit.csv shows it, or after its shard and a slash.
        shard: Only in this shard; needed where a key is in several.
        caption: `caption_index`; the most suspicious caption of the sample if None.

    Raises:
        ConfigError: If there is no such pair, or it is in several shards.
    """
    for wanted, name in _readings(run, key, shard):
        places = _places(run, wanted, name)
        if len({at for at, _ in places}) > 1:
            raise _several(run, key, places)
        if places:
            return _chosen(run, places, key, caption)
    raise _unknown(run, key, shard)


def _readings(run: ScoredRun, key: str, shard: str | None) -> Iterable[tuple[str, str | None]]:
    yield key, shard
    if shard is None:
        for each in run.shards:
            for name in {each.name, safe_cell(each.name)}:
                if key.startswith(f"{name}/"):
                    yield key.removeprefix(f"{name}/"), each.name


def _places(run: ScoredRun, key: str, shard: str | None) -> list[tuple[int, int]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    # As shown, a formula sign is quoted and a control character escaped: undo the quote only.
    wanted = pa.array(sorted({key, key.removeprefix("'")}))
    found = []
    for at, each in enumerate(run.shards):
        if shard is None or shard in (each.name, safe_cell(each.name)):
            keys = read_part(each.part, ["key"])["key"]
            rows = np.flatnonzero(pc.is_in(keys, value_set=wanted).to_numpy())
            names = keys.take(rows).to_pylist()
            found += [
                (at, int(row))
                for row, name in zip(rows, names, strict=True)
                if key in (name, safe_cell(name))
            ]
    return found


def _chosen(
    run: ScoredRun, places: Sequence[tuple[int, int]], key: str, caption: int | None
) -> FoundPair:
    at = places[0][0]
    rows = [row for _, row in places]
    values = read_part(run.shards[at].part).take(rows).to_pylist()
    # A key that comes twice in a shard names the sample that was scored.
    first = [x for x in values if x["sample_index"] == values[0]["sample_index"]]
    if caption is None:
        chosen = max(first, key=lambda x: -1.0 if x["p_mismatch"] is None else x["p_mismatch"])
    else:
        chosen = next((x for x in first if x["caption_index"] == caption), {})
    if not chosen:
        known = ", ".join(str(x["caption_index"]) for x in first)
        raise ConfigError(
            f"{escape_controls(key)} has no caption {caption}", hint=f"It has {known}."
        )
    siblings = tuple(x for x in first if x is not chosen)
    return FoundPair(run.shards[at], at, rows[values.index(chosen)], chosen, siblings)


def _several(run: ScoredRun, key: str, places: Sequence[tuple[int, int]]) -> ConfigError:
    names = [run.shards[at].name for at in sorted({at for at, _ in places})]
    lines = [f"  {escape_controls(name)}" for name in names[:_MAX_LISTED]]
    if len(names) > _MAX_LISTED:
        lines.append(f"  and {len(names) - _MAX_LISTED} more")
    return ConfigError(
        "\n".join([f"{escape_controls(key)} is in {len(names)} shards:", *lines]),
        hint=f"Name the one you mean: --shard {escape_controls(names[0])}",
    )


def _unknown(run: ScoredRun, key: str, shard: str | None) -> ConfigError:
    names = [each.name for each in run.shards]
    if shard is not None and shard not in {*names, *map(safe_cell, names)}:
        near = difflib.get_close_matches(shard, names, n=3, cutoff=0.3) or names[:3]
        return ConfigError(
            f"the run has no shard {escape_controls(shard)}",
            hint=f"Near it: {', '.join(map(escape_controls, near))}.",
        )
    keys = _some_keys(run, shard)
    near = [name for name in keys if name.startswith(key)][:3]
    near = near or difflib.get_close_matches(key, keys, n=3, cutoff=0.3)
    hint = f"Near it: {', '.join(map(escape_controls, near))}." if near else "Keys: see audit.csv."
    return ConfigError(f"the run has no pair with key {escape_controls(key)}", hint=hint)


def _some_keys(run: ScoredRun, shard: str | None) -> list[str]:
    keys: dict[str, None] = {}
    for each in run.shards:
        if shard is None or shard in (each.name, safe_cell(each.name)):
            keys |= dict.fromkeys(filter(None, _keys(each.part)))
        if len(keys) >= _MAX_COMPARED:
            break
    return list(keys)[:_MAX_COMPARED]


def _keys(part: Path) -> list[str | None]:
    found: list[str | None] = read_part(part, ["key"])["key"].to_pylist()
    return found
