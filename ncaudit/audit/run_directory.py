"""Where a run keeps what, and what identifies it."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ncaudit import __version__
from ncaudit.audit.embed import Embedder
from ncaudit.audit.extra_signals import versions_of
from ncaudit.audit.gather_known import identity_of_known
from ncaudit.config import ScoreConfig, as_plain
from ncaudit.files import digest_bytes, digest_file, read_json, remove_tree
from ncaudit.types import ShardRef

# How shards were named and how many images go through the encoder at a time change no
# number; the encoder's card says more than its name.
_NOT_DECISIVE = ("shards", "batch_size", "encoder", "torch_compile")
# Files of a model folder that are not the model: `train` writes them beside it.
_NOT_MODEL = ("train.json", "run.json")


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The files of one run; names as in the architecture.

    Attributes:
        root: The run's folder.
    """

    root: Path

    @property
    def embeddings(self) -> Path:
        """Folder of the embedding cache."""
        return self.root / "embeddings"

    @property
    def model(self) -> Path:
        """Folder of the model that scored."""
        return self.root / "model"

    @property
    def scores(self) -> Path:
        """Folder of the parts."""
        return self.root / "scores"

    @property
    def proposals(self) -> Path:
        """What the rematch stage proposes, before it is put into the parts."""
        return self.root / "rematch" / "proposals.parquet"

    @property
    def audit_csv(self) -> Path:
        """The merged table."""
        return self.root / "audit.csv"

    @property
    def summary(self) -> Path:
        """Counts, estimates and the threshold table."""
        return self.root / "summary.json"

    @property
    def run_json(self) -> Path:
        """Written last: with it the run is complete."""
        return self.root / "run.json"

    def part(self, shard: str) -> Path:
        """Return the part of a shard."""
        return self.scores / f"{shard}.parquet"

    def is_complete(self, shards: Iterable[ShardRef]) -> bool:
        """Tell whether the run ended, read all shards to their end, and its tables are there."""
        wanted = (self.run_json, self.summary, self.audit_csv)
        parts = (self.part(shard.name) for shard in shards)
        if not all(path.is_file() for path in (*wanted, *parts)):
            return False
        # Where reading broke off there is no digest: that shard is worth another try.
        return all(entry["sha256"] for entry in read_json(self.run_json)["shards"])

    def clear(self) -> None:
        """Delete all outputs but the embeddings; the first to go is what says "complete"."""
        for path in (self.run_json, self.summary, self.audit_csv):
            path.unlink(missing_ok=True)
        for folder in (self.scores, self.model, self.proposals.parent):
            remove_tree(folder)


def identity(
    command: str, config: ScoreConfig, embedder: Embedder, shards: Sequence[ShardRef]
) -> dict[str, Any]:
    """Return everything that decides a run's outputs, as the ledger takes it."""
    settings = as_plain(config)
    for name in _NOT_DECISIVE:
        settings.pop(name)
    settings["device"] = embedder.device
    settings["extra_signals"] = versions_of(config.extra_signals)
    settings["embeddings"] = embedder.imported
    settings |= identity_of_known(config)
    settings["model"] = digest_model(Path(config.model)) if config.model else None
    return {
        "command": command,
        "version": __version__,
        "config": settings,
        "encoder": asdict(embedder.encoder.card),
        "shards": [
            {"name": shard.name, "n_bytes": shard.n_bytes, "modified": shard.modified}
            for shard in shards
        ],
    }


def model_files(folder: Path) -> list[Path]:
    """Return the files of a model, by name; folders beside them are not part of it."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.name not in _NOT_MODEL and not path.name.startswith(".")
    )


def digest_model(folder: Path) -> str:
    """Return one digest over the files of a model; "" if there is none."""
    files = model_files(folder)
    lines = [f"{path.name}\0{digest_file(str(path))}\n".encode() for path in files]
    return digest_bytes(*lines) if lines else ""
