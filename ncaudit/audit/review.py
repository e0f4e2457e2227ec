"""ncaudit review: people decide about pairs drawn by chance, and their answers estimate the rest."""

import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ncaudit.audit.people import ReviewEstimates, estimate
from ncaudit.audit.report_pictures import address_of, pictures_of
from ncaudit.audit.review_verdicts import FILE_NAME, PairName, VerdictLog, pair_name
from ncaudit.audit.run_directory import RunDirectory
from ncaudit.audit.scored_run import ScoredRun, load_scored_run
from ncaudit.calibration.review_queue import QueuedPair, QueueDraw, stratum_name
from ncaudit.errors import ConfigError
from ncaudit.files import read_json
from ncaudit.report.pair_view import by_part, read_rows, view_of
from ncaudit.report.parts import read_part
from ncaudit.report.pictures import SCREEN_PX, Picture
from ncaudit.report.safe_text import escape_controls

_MAX_PICTURES = 16  # kept in memory: the next ones and those just seen


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """One pair of the queue with its row of the table."""

    queued: QueuedPair
    row: dict[str, Any]
    name: PairName

    @property
    def p_mismatch(self) -> float:
        return float(self.row["p_mismatch"])


class ReviewSession:
    """The queue of a run, and the verdicts given so far; safe to use from several threads.

    Args:
        folder: A finished run.
        n_pairs: Pairs to look at.
        threshold: The precision of dropping at this `p_mismatch` is estimated.
        seed: Of the queue.

    Raises:
        InputError: If there is no finished run.
        ConfigError: If no pair has a probability, or verdicts.csv cannot be read.
    """

    def __init__(self, folder: Path, *, n_pairs: int, threshold: float, seed: int) -> None:
        self._run = load_scored_run(folder)
        self._threshold = threshold
        self._name = escape_controls(folder.resolve().name)
        self._model_noise = _model_noise(folder)
        self._queue = _entries(self._run, n_pairs, seed)
        if not self._queue:
            raise ConfigError(
                f"no pair of {folder} has a probability, so none can be drawn by it",
                hint="Look at the run with: ncaudit report",
            )
        self._at = {entry.name: at for at, entry in enumerate(self._queue)}
        self._log = VerdictLog(folder / FILE_NAME)
        self._log.weigh({x.name: (x.queued.weight, _stratum(x)) for x in self._queue})
        self._lock = threading.Lock()
        self._pictures: OrderedDict[int, Picture] = OrderedDict()

    def __len__(self) -> int:
        """Return the length of the queue."""
        return len(self._queue)

    def state(self) -> dict[str, Any]:
        """Return progress and estimates, JSON-ready."""
        with self._lock:
            rows = list(self._log.rows.values())
        decided = {row.pair: row.verdict for row in rows if row.pair in self._at}
        left = [at for at, entry in enumerate(self._queue) if entry.name not in decided]
        judged = [
            (row, self._queue[self._at[row.pair]].p_mismatch)
            for row in rows
            if row.pair in self._at
        ]
        return {
            "run": self._name,
            "n": len(self._queue),
            "decided": len(decided),
            "elsewhere": len(rows) - len(decided),
            "next": left[0] if left else None,
            "after": left[1] if len(left) > 1 else None,
            "threshold": self._threshold,
            "model_noise": self._model_noise,
            **_plain(estimate(judged, self._threshold)),
        }

    def pair(self, at: int) -> dict[str, Any]:
        """Return what the page is told of the pair at a place of the queue.

        Raises:
            IndexError: If there is no such place.
        """
        entry = self._queue[_place(at, len(self._queue))]
        with self._lock:
            given = self._log.rows.get(entry.name)
        return view_of(entry.row) | {"at": at, "given": given.verdict if given else None}

    def picture(self, at: int) -> Picture:
        """Return the picture of the pair at a place of the queue.

        Raises:
            IndexError: If there is no such place.
        """
        entry = self._queue[_place(at, len(self._queue))]
        with self._lock:
            if at in self._pictures:
                self._pictures.move_to_end(at)
                return self._pictures[at]
        address = address_of(entry.row)
        shard = self._run.shards[entry.queued.part]
        picture = pictures_of(shard, [address], SCREEN_PX)[address]
        with self._lock:
            self._pictures[at] = picture
            while len(self._pictures) > _MAX_PICTURES:
                self._pictures.popitem(last=False)
        return picture

    def decide(self, at: int, verdict: str) -> None:
        """Note a verdict; it is on disk when this returns.

        Raises:
            IndexError: If there is no such place.
            ValueError: If the verdict is unknown, or there is no repair to accept.
            OSError: If it cannot be written.
        """
        entry = self._queue[_place(at, len(self._queue))]
        if verdict == "rematch" and not entry.row["rematch_key"]:
            raise ValueError("this pair has no repair to accept")
        with self._lock:
            self._log.decide(
                entry.name, verdict, weight=entry.queued.weight, stratum=_stratum(entry)
            )

    def undo(self) -> int | None:
        """Take back the last verdict of this queue; returns its place, or None if there is none."""
        with self._lock:
            mine = [name for name in self._log.rows if name in self._at]
            if not mine:
                return None
            self._log.take_back(mine[-1])
            return self._at[mine[-1]]


def _entries(run: ScoredRun, n_pairs: int, seed: int) -> list[_Entry]:
    draw = QueueDraw(n_pairs, seed)
    for part, shard in enumerate(run.shards):
        p = read_part(shard.part, ["p_mismatch"])["p_mismatch"].to_numpy()
        rows = np.flatnonzero(~np.isnan(p))
        draw.add(part, rows, p[rows])
    queue = draw.queue()
    content = {
        (part, row): values
        for part, at in by_part((x.part, x.row) for x in queue).items()
        for row, values in zip(at, read_rows(run.shards[part].part, at), strict=True)
    }
    return [
        _Entry(x, row, pair_name(row["shard"], row["key"] or "", row["caption_index"]))
        for x in queue
        for row in [content[x.part, x.row]]
    ]


def _stratum(entry: _Entry) -> str:
    return stratum_name(entry.queued.stratum)


def _place(at: int, n: int) -> int:
    if not 0 <= at < n:
        raise IndexError(f"{at} is not in a queue of {n}")
    return at


def _plain(estimates: ReviewEstimates) -> dict[str, Any]:
    plain = asdict(estimates)
    return {name: plain[name] for name in ("n_unsure", "noise", "precision", "expected_precision")}


def _model_noise(folder: Path) -> float | None:
    try:
        found = read_json(RunDirectory(folder).summary)["estimated_noise_rate"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return None if found is None else float(found)
