"""Worker processes on this machine, or this very process where one worker is enough."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import Any

from ncaudit.devices import usable_cores
from ncaudit.engine.base import (
    EngineOptions,
    Failure,
    MakeWork,
    OnProgress,
    Record,
    TaskT,
    ignore_progress,
)
from ncaudit.engine.crew import Crew, WorkerDiedError
from ncaudit.engine.workplace import Workplace

_THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# Below this, one process that decodes in threads is as fast as several, and starts at once.
_CORES_PER_WORKER = 4


def open_local(options: EngineOptions, device: str) -> "LocalEngine":
    """Open the engine named `local`."""
    return LocalEngine(options.workers or default_workers(usable_cores(), device))


def default_workers(cores: int, device: str) -> int:
    """Return how many workers suit a machine: one per device on CUDA, else one per four cores."""
    return 1 if device != "cpu" else max(1, cores // _CORES_PER_WORKER)


class LocalEngine:
    """Processes that share this machine's cores.

    With one worker, tasks run in this process one after another: nothing is started, and
    a task that ends its process ends this one.

    Args:
        workers: Worker processes.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._threads = max(1, usable_cores() // workers)
        self._crew = Crew(lambda: _Process(self._threads), workers)

    def run(
        self,
        tasks: Sequence[TaskT],
        make_work: MakeWork[TaskT],
        on_done: Callable[[TaskT, Record], None],
        on_progress: OnProgress | None = None,
    ) -> list[Failure]:
        """Do every task, see `Engine.run`."""
        if self._workers > 1:
            return self._crew.run(tasks, make_work, on_done)
        if tasks:
            work = make_work(self._threads)
            for task in tasks:
                on_done(task, work(task, on_progress or ignore_progress))
        return []

    def close(self) -> None:
        """Stop the workers."""
        self._crew.close()


class _Process:
    """A pool of one process: when it breaks, it is clear which task broke it."""

    def __init__(self, threads: int) -> None:
        self._pool = ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(threads,)
        )
        self.ready = self._pool.submit(os.getpid)

    def submit(self, make_work: MakeWork[Any], task: Any) -> Future[Record]:
        answer: Future[Record] = Future()
        answer.set_running_or_notify_cancel()
        try:
            self._pool.submit(_perform, make_work, task).add_done_callback(
                lambda future: _pass_on(future, answer)
            )
        except BrokenProcessPool:
            answer.set_exception(_died())
        return answer

    def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        if not self.ready.done() or self.ready.cancelled() or self.ready.exception():
            return
        for child in multiprocessing.active_children():
            if child.pid == self.ready.result():
                child.kill()


def _pass_on(future: Future[Record], answer: Future[Record]) -> None:
    if future.cancelled():
        answer.set_exception(WorkerDiedError("the worker was stopped"))
    elif isinstance(error := future.exception(), BrokenProcessPool):
        answer.set_exception(_died())
    elif error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(future.result())


def _died() -> WorkerDiedError:
    return WorkerDiedError("its worker process ended abruptly: a crash, or out of memory")


_here: list[Workplace] = []


def _perform(make_work: MakeWork[Any], task: Any) -> Record:
    return _here[0].perform(make_work, task)


def _begin(threads: int) -> None:
    """Prepare a worker process, before anything heavy is imported."""
    for name in _THREAD_SETTINGS:
        os.environ[name] = str(threads)
    # Ctrl-C reaches every process of the terminal; the first one stops the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _here.append(Workplace(threads))


def _end_with_parent() -> None:
    """Leave at once when the first process is gone, so that nobody writes on unasked."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
