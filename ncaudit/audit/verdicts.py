"""verdicts.csv: what people said about single pairs, which outranks any probability."""

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from ncaudit.audit.decide import Human
from ncaudit.errors import ConfigError
from ncaudit.report.safe_text import escape_controls, safe_cell

COLUMNS = ("shard", "key", "caption_index", "verdict")
_MEANINGS = {
    "match": Human.MATCH,
    "mismatch": Human.MISMATCH,
    "rematch": Human.REMATCH,
    "unsure": Human.SILENT,
}
_MAX_LISTED = 10
_MAX_SHOWN = 80
_MAX_DIGITS = 9  # Python refuses to read very long numbers

PairId: TypeAlias = tuple[str, int]  # key, caption_index
Verdicts: TypeAlias = dict[str, dict[PairId, Human]]  # by shard


def read_verdicts(path: Path) -> Verdicts:
    """Read a verdicts file; other columns are ignored.

    Raises:
        ConfigError: If the file cannot be read, lacks a column, holds an unknown verdict
            or a bad index, or says two things about one pair.
    """
    verdicts: Verdicts = {}
    for line, row in _rows(path):
        where = f"{path}, line {line}"
        verdict = str(row["verdict"]).strip()
        if verdict not in _MEANINGS:
            known = ", ".join(_MEANINGS)
            shown = verdict[:_MAX_SHOWN]
            raise ConfigError(f"{where}: unknown verdict {shown!r}", hint=f"Known: {known}.")
        index = str(row["caption_index"])
        if not index.isdecimal() or len(index) > _MAX_DIGITS:
            raise ConfigError(
                f"{where}: caption_index {index[:_MAX_SHOWN]!r} is no number",
                hint="It is the position among the sample's captions, 0 for the first.",
            )
        pair = (str(row["key"]), int(index))
        human = _MEANINGS[verdict]
        if verdicts.setdefault(str(row["shard"]), {}).setdefault(pair, human) != human:
            raise ConfigError(
                f"{where}: two verdicts about {pair[0]!r}, caption {pair[1]}",
                hint="Delete the line that is wrong.",
            )
    return verdicts


def match_verdicts(
    verdicts: Verdicts, shards: Iterable[str], pairs_of: Callable[[str], Iterable[PairId]]
) -> Verdicts:
    """Return the verdicts with every pair named as the run names it.

    Shards and keys may be written raw or as audit.csv shows them (`safe_cell`).

    Args:
        verdicts: What was read.
        shards: Names of the run's shards.
        pairs_of: Gives the pairs of one shard.

    Raises:
        ConfigError: If a verdict is about a pair the run does not have; all are listed.
    """
    names = list(shards)
    known = {safe_cell(name): name for name in names} | {name: name for name in names}
    matched: Verdicts = {}
    unknown = []
    for shard, by_pair in verdicts.items():
        pairs = list(pairs_of(known[shard])) if shard in known else []
        ids = {(safe_cell(key), index): (key, index) for key, index in pairs}
        ids |= {pair: pair for pair in pairs}
        unknown += [f"{shard},{key},{i}" for key, i in by_pair if (key, i) not in ids]
        if shard in known:
            found = {ids[pair]: human for pair, human in by_pair.items() if pair in ids}
            matched.setdefault(known[shard], {}).update(found)
    if unknown:
        raise _unknown_pairs(unknown)
    return matched


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise ConfigError(
                    f"{path} has no column {', '.join(missing)}",
                    hint=f"The first line of the CSV names the columns: {','.join(COLUMNS)}",
                )
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"the verdicts {path} cannot be read: {error}",
            hint=f"A CSV in UTF-8 is wanted, with the columns {','.join(COLUMNS)}.",
        ) from error


def _unknown_pairs(unknown: list[str]) -> ConfigError:
    lines = [f"  {escape_controls(pair)}" for pair in unknown[:_MAX_LISTED]]
    if len(unknown) > _MAX_LISTED:
        lines.append(f"  and {len(unknown) - _MAX_LISTED} more")
    return ConfigError(
        "\n".join([f"{len(unknown)} verdicts are about pairs this run does not have:", *lines]),
        hint="Each line is shard,key,caption_index; take them from this run's audit.csv.",
    )
