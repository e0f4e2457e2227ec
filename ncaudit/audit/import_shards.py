"""Importing embeddings as work for an engine, in the place of embedding."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from ncaudit.embeddings.import_shard import import_shard
from ncaudit.embeddings.imported import ImportedEmbeddings, open_imported
from ncaudit.embeddings.step_clock import StepClock
from ncaudit.engine.base import OnProgress, Record, ShardTask
from ncaudit.types import ShardRef


class ImportTask(ShardTask, Protocol):
    """One shard to import embeddings for."""

    @property
    def shard(self) -> ShardRef:
        """The shard."""
        ...

    @property
    def folder(self) -> Path:
        """Its folder in the cache."""
        ...


@dataclass(frozen=True)
class MakeImport:
    """Builds what imports shards; another process opens the folder anew.

    Attributes:
        source: Folder of the embeddings.
        encoder: Name of what made them.
        captions: Caption source.
        opened: The folder if it is open already.
    """

    source: str
    encoder: str
    captions: str
    opened: ImportedEmbeddings | None = field(default=None, compare=False)

    def __reduce__(self) -> tuple[type["MakeImport"], tuple[str, str, str]]:
        """Pickle everything but what is open."""
        return MakeImport, (self.source, self.encoder, self.captions)

    def __call__(
        self,
        threads: int,  # noqa: ARG002 - an engine gives it
    ) -> Callable[[ImportTask, OnProgress], Record]:
        """Open the folder.

        Raises:
            InputError: If it cannot be read here.
        """
        opened = self.opened or open_imported(self.source, self.encoder)
        return partial(_import, opened, self.captions)


def _import(
    source: ImportedEmbeddings, captions: str, task: ImportTask, on_progress: OnProgress
) -> Record:
    clock = StepClock()
    with clock.of("read"):
        cached = import_shard(task.shard, task.folder, source, captions, on_progress)
    return {"cached": asdict(cached), "seconds": clock.shared_by(1)}
