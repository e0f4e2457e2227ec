"""The same command started many times over, by SLURM or torchrun: who does which shards.

The ranks meet in the run directory, which all of them see. Rank 0 leads: it owns the
ledger, fits, and merges; the others do their share of the shards and say so. Every file
carries what only a living rank can know, so that files of an earlier start are not taken
for today's.
"""

import threading
import time
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic

from ncaudit.engine.base import Engine, Failure, MakeWork, OnProgress, Record, TaskT
from ncaudit.engine.ledger import RANKS_FOLDER
from ncaudit.errors import ConfigError, ShardsFailedError
from ncaudit.files import read_json, write_json

_SOURCES = (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"))
_BEAT_S = 0.5
_SILENCE_S = 120.0
_FIRST_CONTACT_S = 1800.0
END = "end"
_LEAD = "lead.json"


@dataclass(frozen=True, slots=True)
class Rank:
    """One of several processes that run the same command.

    Attributes:
        index: From 0.
        size: How many there are, 2 or more.
    """

    index: int
    size: int

    def owns(self, index: int) -> bool:
        """Tell whether a shard is this rank's, by its place among all shards."""
        return index % self.size == self.index


def find_rank(environ: Mapping[str, str]) -> Rank | None:
    """Read rank and world size as torchrun or `srun` set them; None for a process on its own.

    Raises:
        ConfigError: If they are no rank and world size.
    """
    for rank, size in _SOURCES:
        if rank in environ and size in environ:
            try:
                found = Rank(int(environ[rank]), int(environ[size]))
            except ValueError:
                found = Rank(-1, 0)
            if not 0 <= found.index < found.size:
                raise ConfigError(
                    f"{rank}={environ[rank]} and {size}={environ[size]} are no rank of a world",
                    hint=f"Unset {rank} to run on its own.",
                )
            return found if found.size > 1 else None
    return None


@contextmanager
def lead(rank: Rank | None, out: Path, identity: str) -> Generator["Leader | None"]:
    """Meet the other ranks as rank 0; call it once the run directory is this run's.

    Args:
        rank: Rank 0, or None for a process on its own, for which nothing is done.
        out: The run directory.
        identity: Digest of what identifies the run.
    """
    if rank is None:
        yield None
        return
    leader = Leader(rank, out, identity)
    with _beating(leader.beat):
        try:
            yield leader
            leader.say(END, {})
        except BaseException as error:
            leader.failed = f"rank 0 ended: {str(error) or type(error).__name__}"
            raise


@contextmanager
def follow(rank: Rank, out: Path, identity: str) -> Generator["Follower"]:
    """Meet rank 0 as another rank; waits for it.

    Raises:
        ConfigError: If rank 0 was started with other settings, or sees other shards.
        ShardsFailedError: If rank 0 does not come, or ends.
    """
    follower = Follower(rank, out)
    try:
        with _beating(follower.beat):
            follower.meet(identity)
            yield follower
    finally:
        follower.leave()


class Leader:
    """Rank 0 among the others.

    Args:
        rank: Rank 0.
        out: The run directory.
        identity: Digest of what identifies the run.

    Attributes:
        failed: Why the run ended early, or "".
    """

    def __init__(self, rank: Rank, out: Path, identity: str) -> None:
        self._rank = rank
        self._folder = out / RANKS_FOLDER
        self._content: dict[str, Any] = {"token": uuid.uuid4().hex, "identity": identity}
        self._said: dict[str, Any] = {}
        self._n_beats = self._n_stages = 0
        self.failed = ""

    def beat(self) -> None:
        """Show that rank 0 lives, whom it has seen, and what it has said."""
        self._n_beats += 1
        hellos = [_read(self._folder / _hello(i)) for i in range(1, self._rank.size)]
        state = {
            "beat": self._n_beats,
            "seen": [hello.get("nonce") for hello in hellos],
            "said": dict(self._said),
            "failed": self.failed,
        }
        _write(self._folder / _LEAD, self._content | state)

    def say(self, what: str, value: Record) -> None:
        """Tell all ranks something, under a name they wait for."""
        self._said[what] = value

    def share(self, engine: Engine) -> Engine:
        """Return an engine that does this rank's shards on `engine` and hears of the others'."""
        return _Shared(engine, self._run)

    def _run(self, engine: Engine, stage: "_Stage[TaskT]") -> list[Failure]:
        self._n_stages += 1
        mine = [task for task in stage.tasks if self._rank.owns(task.index)]
        failures = engine.run(mine, stage.make_work, stage.on_done, stage.on_progress)
        left: list[TaskT] = []
        for index in range(1, self._rank.size):
            report = self._report_of(index, self._n_stages)
            records, failed = report["records"], [Failure(**each) for each in report["failures"]]
            gone = {failure.name for failure in failed}
            for task in stage.tasks:
                if task.name in records:
                    stage.on_done(task, records[task.name])
                elif task.index % self._rank.size == index and task.name not in gone:
                    # To that rank it looked done already.
                    left.append(task)
            failures += failed
        return failures + engine.run(left, stage.make_work, stage.on_done, stage.on_progress)

    def _report_of(self, index: int, stage: int) -> dict[str, Any]:
        report, hello = self._folder / _report(index, stage), self._folder / _hello(index)
        watch = _Watch(_FIRST_CONTACT_S)
        while (found := _read(report)).get("token") != self._content["token"]:
            if watch.is_lost(_read(hello).get("beat")):
                raise ShardsFailedError(
                    f"rank {index} of {self._rank.size} is gone",
                    hint="What is finished stays; the same command goes on.",
                )
        return found


class Follower:
    """Any rank but the first.

    Args:
        rank: Its place.
        out: The run directory.
    """

    def __init__(self, rank: Rank, out: Path) -> None:
        self._rank = rank
        self._folder = out / RANKS_FOLDER
        self._nonce = uuid.uuid4().hex
        self._token = ""
        self._n_beats = self._n_stages = 0

    def beat(self) -> None:
        """Show that this rank lives."""
        self._n_beats += 1
        content = {"nonce": self._nonce, "beat": self._n_beats}
        _write(self._folder / _hello(self._rank.index), content)

    def meet(self, identity: str) -> None:
        """Wait for rank 0.

        Raises:
            ConfigError: If it runs something else.
            ShardsFailedError: If it does not come, or ends.
        """
        watch = _Watch(_FIRST_CONTACT_S)
        while self._nonce not in (lead := _read(self._folder / _LEAD)).get("seen", []):
            if watch.is_lost(None):
                raise self._lost("rank 0 has not come")
        if lead["identity"] != identity:
            raise ConfigError(
                f"rank {self._rank.index} has other settings or sees other shards than rank 0",
                hint="Start every rank with the same command, on the same files.",
            )
        self._token = lead["token"]

    def hear(self, what: str) -> Record | None:
        """Wait for what rank 0 says under a name; None if it is at the end already.

        Raises:
            ShardsFailedError: If rank 0 ends.
        """
        watch = _Watch(_SILENCE_S)
        while True:
            lead = _read(self._folder / _LEAD)
            if lead.get("token") == self._token:
                if lead["failed"]:
                    raise self._lost(lead["failed"])
                if what in lead["said"] or END in lead["said"]:
                    said: Record | None = lead["said"].get(what)
                    return said
            if watch.is_lost(lead.get("beat")):
                raise self._lost("rank 0 is gone")

    def share(self, engine: Engine) -> Engine:
        """Return an engine that does this rank's shards on `engine` and tells rank 0."""
        return _Shared(engine, self._run)

    def leave(self) -> None:
        """Let rank 0 know that this rank is not there any more."""
        (self._folder / _hello(self._rank.index)).unlink(missing_ok=True)

    def _run(self, engine: Engine, stage: "_Stage[TaskT]") -> list[Failure]:
        self._n_stages += 1
        records: dict[str, Record] = {}

        def on_done(task: TaskT, record: Record) -> None:
            records[task.name] = record
            stage.on_done(task, record)

        mine = [task for task in stage.tasks if self._rank.owns(task.index)]
        failures = engine.run(mine, stage.make_work, on_done, stage.on_progress)
        content = {
            "token": self._token,
            "records": records,
            "failures": [asdict(failure) for failure in failures],
        }
        _write(self._folder / _report(self._rank.index, self._n_stages), content)
        return []

    def _lost(self, why: str) -> ShardsFailedError:
        return ShardsFailedError(
            f"rank {self._rank.index} stops: {why}",
            hint="What is finished stays; the same command goes on.",
        )


@dataclass(frozen=True, slots=True)
class _Stage(Generic[TaskT]):
    """What `Engine.run` is given."""

    tasks: Sequence[TaskT]
    make_work: MakeWork[TaskT]
    on_done: Callable[[TaskT, Record], None]
    on_progress: OnProgress | None


class _Shared:
    """An engine that does its rank's tasks on another one."""

    def __init__(self, inner: Engine, run: Callable[[Engine, _Stage[Any]], list[Failure]]) -> None:
        self._inner = inner
        self._run = run

    def run(
        self,
        tasks: Sequence[TaskT],
        make_work: MakeWork[TaskT],
        on_done: Callable[[TaskT, Record], None],
        on_progress: OnProgress | None = None,
    ) -> list[Failure]:
        """Do this rank's tasks, see `Engine.run`."""
        return self._run(self._inner, _Stage(tasks, make_work, on_done, on_progress))

    def close(self) -> None:
        """Stop the workers."""
        self._inner.close()


class _Watch:
    """Waits a little at a time, and knows when another rank has been silent for too long."""

    def __init__(self, first_contact_s: float) -> None:
        self._limit_s = first_contact_s
        self._beat: int | None = None
        self._heard = time.monotonic()

    def is_lost(self, beat: int | None) -> bool:
        """Wait a little; tell whether `beat` has stood still for too long."""
        time.sleep(_BEAT_S / 5)
        if beat is not None and beat != self._beat:
            self._beat, self._heard, self._limit_s = beat, time.monotonic(), _SILENCE_S
        return time.monotonic() - self._heard > self._limit_s


@contextmanager
def _beating(beat: Callable[[], None]) -> Generator[None]:
    """Call `beat` again and again, and once more in the end."""
    ended = threading.Event()

    def go_on() -> None:
        while not ended.is_set():
            # The start of rank 0 tidies up, also what is being written here.
            with suppress(FileNotFoundError):
                beat()
            ended.wait(_BEAT_S)

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        beat()


def _hello(index: int) -> str:
    return f"rank-{index}.json"


def _report(index: int, stage: int) -> str:
    return f"rank-{index}-stage-{stage}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, content: dict[str, Any]) -> None:
    write_json(path, content)
