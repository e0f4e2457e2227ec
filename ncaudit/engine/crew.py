"""A crew of worker processes, any of which may die: who does what, and who does it again.

The same for every engine that has processes; they differ in how a process is started.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol

from ncaudit.engine.base import MAX_ATTEMPTS, Failure, MakeWork, Record, TaskT
from ncaudit.errors import ShardsFailedError

log = logging.getLogger(__name__)

_MAX_FAILED_STARTS = 4
_PATIENCE_S = 30.0


class WorkerDiedError(Exception):
    """A worker process ended without an answer: killed, out of memory, or its node is gone."""


class CrewWorker(Protocol):
    """One worker process, which does one task at a time."""

    @property
    def ready(self) -> Future[Any]:
        """Done once the process runs; fails if it never will."""
        ...

    def submit(self, make_work: MakeWork[Any], task: Any) -> Future[Record]:
        """Begin a task.

        Returns:
            A future of its record, or of what it raised: `WorkerDiedError` if it died.
        """
        ...

    def stop(self) -> None:
        """End the process, also in the midst of a task."""
        ...


class Crew:
    """Up to `size` workers, started when there is work for them.

    Args:
        start: Starts a worker, without waiting for it.
        size: Workers at most.
    """

    def __init__(self, start: Callable[[], CrewWorker], size: int) -> None:
        self._start = start
        self._size = size
        self._all: list[CrewWorker] = []
        self._idle: list[CrewWorker] = []
        self._starting: dict[Future[Any], CrewWorker] = {}
        self._n_failed_starts = 0

    def run(
        self,
        tasks: Sequence[TaskT],
        make_work: MakeWork[TaskT],
        on_done: Callable[[TaskT, Record], None],
    ) -> list[Failure]:
        """Do the tasks, see `Engine.run`.

        Raises:
            ShardsFailedError: If workers cannot be started.
            Exception: Whatever the work raised.
        """
        rota = _Rota(deque((task, 1) for task in tasks))
        while rota.waiting or rota.busy:
            self._hire(len(rota.waiting) + len(rota.busy))
            while rota.waiting and self._idle:
                rota.begin(self._idle.pop(), make_work)
            for future in self._wait_for(rota.busy):
                if future in self._starting:
                    self._welcome(self._starting.pop(future), future)
                    continue
                turn = rota.busy.pop(future)
                died = future.exception()
                if isinstance(died, WorkerDiedError):
                    self._dismiss(turn.worker)
                    rota.try_again(turn, died)
                else:
                    self._idle.append(turn.worker)
                    on_done(turn.task, future.result())
        return rota.failures

    def close(self) -> None:
        """Stop all workers."""
        for worker in [*self._all]:
            self._dismiss(worker)
        self._idle.clear()
        self._starting.clear()

    def _hire(self, n_wanted: int) -> None:
        while len(self._all) < min(self._size, n_wanted):
            worker = self._start()
            self._all.append(worker)
            self._starting[worker.ready] = worker

    def _wait_for(self, busy: dict[Future[Record], Any]) -> set[Future[Any]]:
        """Wait until a task is done or a worker is ready."""
        while True:
            done = wait([*busy, *self._starting], _PATIENCE_S, FIRST_COMPLETED).done
            if done:
                return done
            if not busy:
                log.warning("no worker has started yet: is there room for one?")

    def _welcome(self, worker: CrewWorker, ready: Future[Any]) -> None:
        if ready.exception() is None:
            self._idle.append(worker)
            self._n_failed_starts = 0
            return
        self._dismiss(worker)
        self._n_failed_starts += 1
        if self._n_failed_starts == _MAX_FAILED_STARTS:
            raise ShardsFailedError(
                f"worker processes cannot be started: {ready.exception()}",
                hint="Use --workers 1, or call from a script under `if __name__ == '__main__'`.",
            )

    def _dismiss(self, worker: CrewWorker) -> None:
        self._all.remove(worker)
        worker.stop()


@dataclass(frozen=True, slots=True)
class _Turn(Generic[TaskT]):
    """One attempt at a task."""

    task: TaskT
    attempt: int
    worker: CrewWorker


@dataclass(slots=True)
class _Rota(Generic[TaskT]):
    """Which tasks wait, which are being done, and which were given up."""

    waiting: deque[tuple[TaskT, int]]
    busy: dict[Future[Record], _Turn[TaskT]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def begin(self, worker: CrewWorker, make_work: MakeWork[TaskT]) -> None:
        task, attempt = self.waiting.popleft()
        self.busy[worker.submit(make_work, task)] = _Turn(task, attempt, worker)

    def try_again(self, turn: _Turn[TaskT], died: WorkerDiedError) -> None:
        """Put a task back, at the end so that it holds nobody up, or give it up."""
        if turn.attempt < MAX_ATTEMPTS:
            self.waiting.append((turn.task, turn.attempt + 1))
        else:
            self.failures.append(Failure(turn.task.name, turn.task.index, str(died)))
