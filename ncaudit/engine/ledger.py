"""What is done in a folder, and who works in it: markers, identity and lock.

A stage's work on a shard counts only once its marker is there, and the marker is written
after the work was renamed into place. So a run may be killed anywhere and started again.
"""

import fcntl
import json
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ncaudit.engine.differences import differences
from ncaudit.errors import OutputExistsError
from ncaudit.files import read_json, remove_temporaries, remove_tree, write_json

FOLDER = "ledger"
# Where several processes of one run meet, before the run has an identity and after.
RANKS_FOLDER = f"{FOLDER}/ranks"
_IDENTITY = "identity.json"
_LOCK = "lock"


class Ledger:
    """The ledger of one output folder.

    Args:
        root: The output folder; the ledger lives in `root/ledger`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folder = root / FOLDER

    @contextmanager
    def claim(self) -> Generator[None]:
        """Hold the folder for this process; the lock goes with the process, however it ends.

        Raises:
            OutputExistsError: If another process holds it, or the folder is not ours.
        """
        self._refuse_foreign()
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / _LOCK).open("a+", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputExistsError(
                    f"{self.root} is in use by {_holder(lock.name)}",
                    hint="Wait for that run to end, or choose another folder with --out.",
                ) from None
            lock.truncate(0)
            lock.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
            lock.flush()
            yield

    def begin(self, identity: dict[str, Any], *, overwrite: bool = False) -> None:
        """Start or resume the run that `identity` describes; call it under `claim`.

        The first call stores the identity. Half-written files of a killed run are deleted.

        Args:
            identity: Everything that decides the outputs, as JSON values. In a list of
                objects with a `name` (shards), entries are compared by name, and by
                `sha256` alone where both have one.
            overwrite: Forget another run's identity and what it finished, instead of
                refusing; other files stay.

        Raises:
            OutputExistsError: If the folder belongs to a run with another identity, with
                one line per difference, or is not ours.
        """
        self._refuse_foreign()
        wanted = json.loads(json.dumps(identity))
        path = self._folder / _IDENTITY
        if path.exists() and overwrite:
            # The identity is replaced, never absent: a folder without one is not ours.
            self._forget_markers()
            write_json(path, wanted)
        elif path.exists():
            self._refuse_other_run(path, wanted)
        remove_temporaries(Path(folder) for folder, _, _ in os.walk(self.root))
        if not path.exists():
            write_json(path, wanted)

    def done(self, stage: str, shard: str, key: str) -> dict[str, Any] | None:
        """Return the marker of a finished shard, or None if it is to be done (again)."""
        try:
            marker = read_json(self._marker(stage, shard))
        except (FileNotFoundError, ValueError):
            return None
        return marker if isinstance(marker, dict) and marker.get("key") == key else None

    def commit(self, stage: str, shard: str, key: str, payload: dict[str, Any]) -> None:
        """Mark a shard as finished; its outputs must be in place.

        Args:
            stage: Name of the stage.
            shard: Name of the shard.
            key: Digest of everything that decided the outputs.
            payload: JSON values to find again in the marker.
        """
        write_json(self._marker(stage, shard), {"key": key} | payload)

    def forget(self) -> None:
        """Forget every marker and the identity; call it under `claim`, in an empty folder."""
        self._forget_markers()
        (self._folder / _IDENTITY).unlink(missing_ok=True)

    def _forget_markers(self) -> None:
        for entry in self._folder.iterdir():
            if entry.is_dir() and entry != self.root / RANKS_FOLDER:
                remove_tree(entry)

    def _marker(self, stage: str, shard: str) -> Path:
        return self._folder / stage / f"{shard}.json"

    def _refuse_foreign(self) -> None:
        if (self._folder / _IDENTITY).exists() or not self.root.exists():
            return
        if self.root.is_dir() and not self._foreign_files():
            return
        raise OutputExistsError(
            f"{self.root} is not empty and not an ncaudit run directory",
            hint="Choose another folder with --out.",
        )

    def _foreign_files(self) -> bool:
        # A run killed before it could say who it is leaves no more than its lock; other
        # ranks of it may wait there already.
        files = (Path(folder, name) for folder, _, names in os.walk(self.root) for name in names)
        mine, ranks = self._folder / _LOCK, self.root / RANKS_FOLDER
        return any(
            file != mine and file.parent != ranks and not _is_temporary(file, self._folder)
            for file in files
        )

    def _refuse_other_run(self, path: Path, wanted: dict[str, Any]) -> None:
        try:
            found = read_json(path)
        except ValueError:
            raise OutputExistsError(
                f"{path} cannot be read", hint="Choose another folder with --out."
            ) from None
        lines = differences(found, wanted)
        if lines:
            raise OutputExistsError(
                "\n".join([f"{self.root} belongs to another run:", *(f"  {x}" for x in lines)]),
                hint="Choose another folder with --out, or repeat the settings of that run.",
            )


def _is_temporary(file: Path, folder: Path) -> bool:
    return file.parent == folder and file.name.startswith(".tmp-")


def _holder(lock: str) -> str:
    try:
        holder = read_json(Path(lock))
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, LookupError, TypeError):
        return "another process"
