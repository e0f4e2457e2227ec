"""A finished run in Python: its summary and its table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ncaudit.audit.run_directory import RunDirectory
from ncaudit.audit.scored_run import load_scored_run
from ncaudit.errors import InputError
from ncaudit.report.parts import read_part
from ncaudit.report.summary import Summary, read_summary

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.

    Attributes:
        folder: The run directory.
        summary: Counts, estimated noise rate, self-check and threshold table.
    """

    folder: Path
    summary: Summary

    @property
    def audit_csv(self) -> Path:
        """The table as people read it."""
        return RunDirectory(self.folder).audit_csv

    def table(self, columns: Sequence[str] | None = None) -> "pa.Table":
        """Return the rows of all pairs, in the order of audit.csv and with the text as it is.

        All of it is in memory at once: of a large run, take few columns, or read the parts
        in `scores/` one by one.

        Args:
            columns: Names as in docs/audit-csv.md; None for all.

        Raises:
            InputError: If the run, or a column, is not there.
        """
        import pyarrow as pa

        parts = [shard.part for shard in load_scored_run(self.folder).shards]
        tables = [read_part(part, columns) for part in parts]
        missing = set(columns or ()).difference(*(table.column_names for table in tables))
        if missing:
            raise InputError(
                f"{self.folder} has no column {', '.join(sorted(missing))}",
                hint="docs/audit-csv.md lists the columns.",
            )
        return pa.concat_tables(tables)


def open_run(folder: str | Path = "audit") -> Run:
    """Open a finished run.

    Args:
        folder: What `score` wrote.

    Raises:
        InputError: If there is no run, it is not complete, or it cannot be read.
    """
    path = Path(folder)
    load_scored_run(path)
    try:
        return Run(path, read_summary(RunDirectory(path).summary))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{RunDirectory(path).summary} cannot be read: {error!r}",
            hint="Run the same ncaudit score command again.",
        ) from error
