"""Where work is done inside a worker process: what was built once is kept."""

from typing import Any

from ncaudit.engine.base import MakeWork, Record, TaskT, ignore_progress


class Workplace:
    """Does tasks, and builds what does them only when that changes.

    Args:
        threads: Processor threads the work may use.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._built_by: Any = None
        self._work: Any = None

    def is_ready(self) -> bool:
        """Answer, which shows that the process runs."""
        return True

    def perform(self, make_work: MakeWork[TaskT], task: TaskT) -> Record:
        """Do one task."""
        if self._built_by != make_work:
            # Let go of the last stage's models before this one's are loaded.
            self._built_by = self._work = None
            self._work = make_work(self._threads)
            self._built_by = make_work
        record: Record = self._work(task, ignore_progress)
        return record
