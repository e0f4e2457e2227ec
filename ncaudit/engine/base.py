"""What an engine is: it takes shard tasks to workers and brings small records back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

# Plain JSON values: small, and the same wherever the work was done.
Record: TypeAlias = dict[str, Any]
OnProgress: TypeAlias = Callable[[int], None]

# A shard on which this many workers died is given up.
MAX_ATTEMPTS = 2


class ShardTask(Protocol):
    """What is to be done for one shard: a frozen description that can be pickled."""

    @property
    def name(self) -> str:
        """The shard's name."""
        ...

    @property
    def index(self) -> int:
        """The shard's place among all shards of the run, done ones included."""
        ...


TaskT = TypeVar("TaskT", bound=ShardTask)
Task_contra = TypeVar("Task_contra", bound=ShardTask, contravariant=True)


class MakeWork(Protocol[Task_contra]):
    """Builds, once per worker and stage, the function that does the tasks.

    Picklable and comparable: a worker that has built what an equal one builds goes on
    with that.
    """

    def __call__(self, threads: int) -> Callable[[Task_contra, OnProgress], Record]:
        """Load what the work needs, such as an encoder.

        Args:
            threads: Processor threads the work may use.
        """
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """A shard that no worker survived.

    Attributes:
        name: The shard.
        index: Its place among all shards of the run.
        detail: What happened to the last worker.
    """

    name: str
    index: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Where work is done. Decides no number: any engine goes on with another's run.

    Attributes:
        name: A name in `ENGINES`.
        workers: Worker processes; 0 for as many as suit the machine.
        address: Ray cluster to join: `auto`, or HOST:PORT.
        gpus_per_worker: GPUs that Ray reserves for a worker, also a fraction of one; None
            for one each on CUDA and none on CPU.
    """

    name: str = "local"
    workers: int = 1
    address: str = "auto"
    gpus_per_worker: float | None = None


@runtime_checkable
class Engine(Protocol):
    """Runs the tasks of one stage after another, on the same workers."""

    def run(
        self,
        tasks: Sequence[TaskT],
        make_work: MakeWork[TaskT],
        on_done: Callable[[TaskT, Record], None],
        on_progress: OnProgress | None = None,
    ) -> list[Failure]:
        """Do every task once, in any order, wherever there is room.

        A task whose worker dies is given to another one; after `MAX_ATTEMPTS` deaths it is
        a failure, and the others go on.

        Args:
            tasks: Descriptions, one per shard.
            make_work: Builds what does them.
            on_done: Called here, by the caller's thread, with each task's record.
            on_progress: Passed to the work where that runs in this process; elsewhere the
                work's progress is not heard of before it is done.

        Raises:
            Exception: Whatever the work raised; no more tasks are begun.
        """
        ...

    def close(self) -> None:
        """Stop the workers, also in the midst of a task."""
        ...


def ignore_progress(_units: int) -> None:
    """Hear of no progress."""
