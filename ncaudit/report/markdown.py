"""docs/audit-csv.md, generated from the column definitions so that it cannot fall behind."""

from collections.abc import Iterable

from ncaudit.report.columns import (
    PAIR_COLUMNS,
    PART_COLUMNS,
    PROPOSAL_COLUMNS,
    SIGNAL_COLUMNS,
    Column,
)

_INTRODUCTION = """\
# audit.csv

One row per pair of an image and a caption, in shard order, rejects included. UTF-8, comma
separated, `\\n` line ends, a header, one line per row. Generated from
`ncaudit/report/columns.py` by `ncaudit/report/markdown.py`.

An empty cell means "does not apply": a rejected pair has no numbers, and a signal whose
method did not run is empty throughout. Numbers have six significant digits; flags are
`true` and `false`. `Bad` says which end of a column speaks for a mismatch.

## Text is made safe

Keys and captions come from strangers. In the CSV, text that starts with `=`, `+`, `-`, `@`,
tab or carriage return, also after white space or in fullwidth form, gets a `'` in front, so
that no spreadsheet takes it for a formula. Control characters, line ends and bidirectional
controls are shown as escapes (`\\n`, `\\x1b`, `\\u202e`). The raw text is in
`scores/{shard}.parquet`: join and compare there. `verdicts.csv` may name shards and keys
in either form.
"""
_PARTS = """\
The same columns in full precision and raw text, one file per shard, then these, which
programs need and people rarely look at. Further columns may follow them.
"""


def audit_csv_page() -> str:
    """Return the text of docs/audit-csv.md."""
    sections = [
        _INTRODUCTION,
        "## The pair\n",
        _table(PAIR_COLUMNS),
        "## The signals\n",
        _table(SIGNAL_COLUMNS),
        "## The proposal\n",
        _table(PROPOSAL_COLUMNS),
        "## scores/{shard}.parquet\n",
        _PARTS,
        _table(PART_COLUMNS),
    ]
    return "\n".join(sections)


def _table(columns: Iterable[Column]) -> str:
    rows = [("Column", "Type", "Range", "Bad", "Meaning", "Source"), ("---",) * 6]
    rows += [
        (f"`{c.name}`", c.kind, c.range, c.bad, c.meaning, c.source.replace("|", "\\|"))
        for c in columns
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
