"""A crew of worker processes, any of which may die: who does what, and who does it again.

The same for every engine that has processes; they differ in how a process is started.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, Generic, Protocol

from ncaudit.engine.base import MAX_ATTEMPTS, Failure, MakeWork, Record, TaskT


class WorkerDiedError(Exception):
    """A worker process ended without an answer: killed, out of memory, or its node is gone."""


class CrewWorker(Protocol):
    """One worker process, which does one task at a time."""

    def submit(self, make_work: MakeWork[Any], task: Any) -> Future[Record]:
        """Begin a task.

        Returns:
            A future of its record, or of what it raised: `WorkerDiedError` if it died.
        """
        ...

    def stop(self) -> None:
        """End the process, also in the midst of a task."""
        ...


@dataclass(frozen=True, slots=True)
class _Turn(Generic[TaskT]):
    """One attempt at a task."""

    task: TaskT
    attempt: int
    worker: CrewWorker


class Crew:
    """Up to `size` workers, started when there is work for them.

    Args:
        start: Starts a worker.
        size: Workers at most.
    """

    def __init__(self, start: Callable[[], CrewWorker], size: int) -> None:
        self._start = start
        self._size = size
        self._idle: list[CrewWorker] = []
        self._all: list[CrewWorker] = []

    def run(
        self,
        tasks: Sequence[TaskT],
        make_work: MakeWork[TaskT],
        on_done: Callable[[TaskT, Record], None],
    ) -> list[Failure]:
        """Do the tasks, see `Engine.run`.

        Raises:
            Exception: Whatever the work raised.
        """
        # Shards that killed a worker come last, so that they hold nobody up.
        waiting = deque((task, 1) for task in tasks)
        busy: dict[Future[Record], _Turn[TaskT]] = {}
        failures: list[Failure] = []
        while waiting or busy:
            while waiting and len(busy) < self._size:
                task, attempt = waiting.popleft()
                worker = self._idle.pop() if self._idle else self._hire()
                busy[worker.submit(make_work, task)] = _Turn(task, attempt, worker)
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                turn = busy.pop(future)
                died = future.exception()
                if not isinstance(died, WorkerDiedError):
                    self._idle.append(turn.worker)
                    on_done(turn.task, future.result())
                    continue
                self._dismiss(turn.worker)
                if turn.attempt < MAX_ATTEMPTS:
                    waiting.append((turn.task, turn.attempt + 1))
                else:
                    failures.append(Failure(turn.task.name, turn.task.index, str(died)))
        return failures

    def close(self) -> None:
        """Stop all workers."""
        for worker in [*self._all]:
            self._dismiss(worker)
        self._idle.clear()

    def _hire(self) -> CrewWorker:
        worker = self._start()
        self._all.append(worker)
        return worker

    def _dismiss(self, worker: CrewWorker) -> None:
        self._all.remove(worker)
        worker.stop()
