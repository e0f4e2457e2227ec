"""Tasks for engines: small, and as ill-behaved as asked for."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncaudit.engine.base import OnProgress, Record
from ncaudit.errors import InputError


@dataclass(frozen=True)
class Task:
    """Write `name` to a file in `folder`, in the way that `does` names.

    Attributes:
        index: Place among the tasks.
        folder: Where the file goes.
        does: One of `BEHAVIOURS`.
    """

    index: int
    folder: Path
    does: str = "work"

    @property
    def name(self) -> str:
        """The shard's name."""
        return f"shard-{self.index}"


@dataclass(frozen=True)
class MakeWriter:
    """Builds what does `Task`s, and leaves a file each time it builds.

    Attributes:
        folder: Where that file goes.
    """

    folder: Path

    def __call__(self, threads: int) -> Callable[[Task, OnProgress], Record]:
        """Return what does one task."""
        (self.folder / f"built-{os.getpid()}-{time.monotonic_ns()}").touch()

        def work(task: Task, _on_progress: OnProgress) -> Record:
            BEHAVIOURS[task.does](task)
            (task.folder / task.name).write_text(task.name)
            return {"index": task.index, "pid": os.getpid(), "threads": threads}

        return work


def tasks(folder: Path, *does: str) -> list[Task]:
    """Return one task for each behaviour.

    Args:
        folder: Where they leave files.
        *does: Names of `BEHAVIOURS`.
    """
    return [Task(index, folder, behaviour) for index, behaviour in enumerate(does)]


def _first_time(task: Task) -> bool:
    try:
        (task.folder / f"tried-{task.name}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _abort(_task: Task) -> None:
    # Not os.abort, which would leave a core file where these are kept.
    os.kill(os.getpid(), signal.SIGABRT)


def _killed_once(task: Task) -> None:
    if _first_time(task):
        os.kill(os.getpid(), signal.SIGKILL)


def _refuse(task: Task) -> None:
    raise InputError(f"{task.name} is refused", hint="Choose another.")


BEHAVIOURS: dict[str, Callable[[Task], Any]] = {
    "work": lambda _task: None,
    "abort": _abort,
    "killed once": _killed_once,
    "refuse": _refuse,
    "full disk": lambda _task: _raise(OSError(28, "No space left on device")),
    "wait a while": lambda _task: time.sleep(1),
    "sleep": lambda _task: time.sleep(60),
}


def _raise(error: Exception) -> None:
    raise error
