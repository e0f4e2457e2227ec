"""What every engine promises."""

import errno
from pathlib import Path
from typing import Any

from ncaudit.engine.base import Engine, Failure, Record
from ncaudit.errors import InputError
from ncaudit.testing.engine_tasks import MakeWriter, Task, tasks
from ncaudit.testing.suite import Suite, require


class EngineSuite(Suite):
    """Checks of one engine.

    Args:
        engine: The engine, open; its workers can import ncaudit.
        folder: An empty folder that the workers can write to.
        n_workers: How many workers it has at most.
    """

    def __init__(self, engine: Engine, folder: Path, *, n_workers: int = 2) -> None:
        self._engine = engine
        self._folder = folder
        self._n_workers = n_workers

    def _run(self, name: str, *does: str) -> tuple[Path, dict[str, Any], list[Failure]]:
        """Run tasks in a folder of their own; returns it, the records by task, the failures."""
        folder, records = self._folder / name, dict[str, Any]()
        folder.mkdir()

        def on_done(task: Task, record: Record) -> None:
            require(task.name not in records, f"{task.name} was done twice")
            records[task.name] = record

        failures = self._engine.run(tasks(folder, *does), MakeWriter(folder), on_done)
        return folder, records, failures

    def check_every_task_is_done_once(self) -> None:
        """And its record comes back."""
        folder, records, failures = self._run("once", *["work"] * 5)
        require(not failures, f"there are failures: {failures}")
        wanted = {f"shard-{index}": index for index in range(5)}
        found = {name: record["index"] for name, record in records.items()}
        require(found == wanted, f"the records are {found}")
        require(all((folder / name).is_file() for name in wanted), "a task was not done")

    def check_models_are_built_once_per_worker(self) -> None:
        """Not once per shard."""
        folder, records, _ = self._run("built", *["work"] * 6)
        n_built, n_workers = _n_built(folder), len({each["pid"] for each in records.values()})
        require(n_built == n_workers <= self._n_workers, f"{n_built} built by {n_workers} workers")

    def check_an_engine_runs_one_stage_after_another(self) -> None:
        """Embedding, then scoring."""
        for stage in ("first", "second"):
            _, records, _ = self._run(stage, "work", "work")
            require(len(records) == 2, f"{len(records)} of 2 tasks are done")

    def check_no_tasks_need_no_worker(self) -> None:
        """A run that is resumed at its end builds no model."""
        folder, records, failures = self._run("none")
        require((records, failures) == ({}, []), "there are records of no tasks")
        require(_n_built(folder) == 0, "a model was built for no tasks")

    def check_what_the_work_raises_arrives_as_it_is(self) -> None:
        """With its hint."""
        try:
            self._run("refused", "work", "refuse")
        except InputError as error:
            require("shard-1 is refused" in str(error), f"another message: {error}")
            require(error.hint == "Choose another.", "the hint is lost")
        else:
            raise AssertionError("what the work raised is lost")

    def check_a_full_disk_is_told_from_other_errors(self) -> None:
        """By its number."""
        try:
            self._run("full", "full disk")
        except OSError as error:
            require(error.errno == errno.ENOSPC, f"another number: {error.errno}")
        else:
            raise AssertionError("what the work raised is lost")


class CrewSuite(EngineSuite):
    """Checks of an engine that outlives its workers, as those of `EngineSuite` and more."""

    def check_a_shard_whose_worker_dies_is_done_by_another(self) -> None:
        """One death is no failure."""
        _, records, failures = self._run("killed", "killed once", "work", "work")
        require(not failures, f"there are failures: {failures}")
        require(set(records) == {"shard-0", "shard-1", "shard-2"}, f"done: {sorted(records)}")

    def check_a_shard_that_kills_every_worker_is_reported_and_the_others_are_done(self) -> None:
        """After three deaths."""
        _, records, failures = self._run("deadly", "work", "abort", "work", "work")
        named = [(failure.name, failure.index) for failure in failures]
        require(named == [("shard-1", 1)], f"failures: {named}")
        require(bool(failures[0].detail), "the failure does not say what happened")
        require(set(records) == {"shard-0", "shard-2", "shard-3"}, f"done: {sorted(records)}")


def _n_built(folder: Path) -> int:
    return len(list(folder.glob("built-*")))
