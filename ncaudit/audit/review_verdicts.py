"""RUN/verdicts.csv while people decide: every answer on disk before the next pair is shown.

At most one line per pair. A first answer is appended and synced; a changed or taken back
one rewrites the file in one step, so that a process killed at any moment loses nothing.
"""

import csv
import fcntl
import io
import os
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from ncaudit.errors import ConfigError, OutputExistsError
from ncaudit.files import write_atomic
from ncaudit.report.safe_text import safe_cell

FILE_NAME = "verdicts.csv"
COLUMNS = ("shard", "key", "caption_index", "verdict", "weight", "stratum", "decided_at")
VERDICTS = ("match", "mismatch", "rematch", "unsure")
_TIME_CHARS = len("2026-01-31T12:00:00Z")

PairName: TypeAlias = tuple[str, str, int]  # shard and key as in audit.csv, caption_index


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRow:
    """What one person said about one pair.

    Attributes:
        pair: Its name, safe for spreadsheets as in audit.csv.
        verdict: One of VERDICTS.
        weight: How many pairs it stands for; None if it was not drawn from the queue.
        stratum: Where it was drawn from, or "".
        decided_at: UTC, or "" if unknown.
    """

    pair: PairName
    verdict: str
    weight: float | None = None
    stratum: str = ""
    decided_at: str = ""


def pair_name(shard: str, key: str, caption_index: int) -> PairName:
    """Return a pair's name as audit.csv shows it."""
    return safe_cell(shard), safe_cell(key), caption_index


def read_verdict_rows(path: Path) -> dict[PairName, VerdictRow]:
    """Read verdicts with their weights, in the order they were given; {} without a file.

    Files with the first four columns alone are read too. A last line that a killed
    process left half written is passed over.

    Raises:
        ConfigError: If the file cannot be read or is not a verdicts file.
    """
    if not path.exists():
        return {}
    try:
        whole, tail = _split_tail(path.read_text("utf-8-sig"))
        text = whole + tail if _is_whole(whole, tail) else whole
        rows = [_row(cells) for cells in csv.DictReader(io.StringIO(text))]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise ConfigError(
            f"{path} is not a verdicts file: {error!r}",
            hint="It needs the columns shard, key, caption_index, verdict; "
            f"verdicts are {', '.join(VERDICTS)}.",
        ) from error
    return {row.pair: row for row in rows}


class VerdictLog:
    """The verdicts file of a run, open for one reviewer.

    Args:
        path: Of verdicts.csv.
        now: Gives the time.
    """

    def __init__(self, path: Path, now: Callable[[], datetime] | None = None) -> None:
        self._path = path
        self._now = now or (lambda: datetime.now(UTC))
        self.rows = read_verdict_rows(path)
        self._rewrite()

    def decide(self, pair: PairName, verdict: str, *, weight: float, stratum: str) -> None:
        """Note a verdict; it is on disk when this returns.

        Raises:
            ValueError: If `verdict` is none of VERDICTS.
            OSError: If it cannot be written; then it is not noted.
        """
        if verdict not in VERDICTS:
            raise ValueError(f"unknown verdict {verdict!r}")
        time = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        row = VerdictRow(
            pair=pair, verdict=verdict, weight=weight, stratum=stratum, decided_at=time
        )
        if pair in self.rows:
            self._replace({name: x for name, x in self.rows.items() if name != pair} | {pair: row})
            return
        with self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(_lines([row]))
            file.flush()
            os.fsync(file.fileno())
        self.rows[pair] = row

    def take_back(self, pair: PairName) -> None:
        """Forget the verdict about a pair, if there is one."""
        self._replace({name: row for name, row in self.rows.items() if name != pair})

    def weigh(self, weights: dict[PairName, tuple[float, str]]) -> None:
        """Give the pairs named the weight and stratum that the queue now has for them."""
        weighed = {
            name: replace(row, weight=weights[name][0], stratum=weights[name][1])
            if name in weights
            else row
            for name, row in self.rows.items()
        }
        if weighed != self.rows:
            self._replace(weighed)

    def _replace(self, rows: dict[PairName, VerdictRow]) -> None:
        before, self.rows = self.rows, rows
        try:
            self._rewrite()
        except OSError:
            self.rows = before
            raise

    def _rewrite(self) -> None:
        text = ",".join(COLUMNS) + "\n" + _lines(self.rows.values())
        if not self._path.exists() or self._path.read_bytes() != text.encode():
            write_atomic(self._path, lambda path: _write(path, text))


@contextmanager
def sole_reviewer(run: Path) -> Generator[None]:
    """Keep a second review out of the same run.

    Raises:
        OutputExistsError: If the run is being reviewed already.
    """
    path = run / "ledger" / "review.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OutputExistsError(
                f"{run} is being reviewed by another process",
                hint="Use the page that is open, or stop that ncaudit review first.",
            ) from error
        yield


def _lines(rows: Iterable[VerdictRow]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(
        [
            *row.pair,
            row.verdict,
            "" if row.weight is None else f"{row.weight:.9g}",
            row.stratum,
            row.decided_at,
        ]
        for row in rows
    )
    return buffer.getvalue()


def _row(cells: dict[str, str]) -> VerdictRow:
    weight, verdict = cells.get("weight") or "", cells["verdict"].strip()
    if verdict not in VERDICTS:
        raise ValueError(f"unknown verdict {verdict!r}")
    return VerdictRow(
        pair=pair_name(cells["shard"], cells["key"], int(cells["caption_index"])),
        verdict=verdict,
        weight=float(weight) if weight else None,
        stratum=cells.get("stratum") or "",
        decided_at=cells.get("decided_at") or "",
    )


def _split_tail(text: str) -> tuple[str, str]:
    at = text.rfind("\n") + 1
    return text[:at], text[at:]


def _is_whole(whole: str, tail: str) -> bool:
    """Tell a last line without a line end from one that was being written."""
    if not tail or not whole:
        return True
    names = next(csv.reader(io.StringIO(whole)), [])
    cells = dict(zip(names, next(csv.reader([tail])), strict=False))
    is_timed = "decided_at" not in names or len(cells.get("decided_at", "")) == _TIME_CHARS
    return len(cells) == len(names) and cells.get("verdict") in VERDICTS and is_timed


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
