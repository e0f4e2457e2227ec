"""The tables of faults in docs/operations.md, generated from the lists that are tested.

python -m tests.fault.page
"""

from collections.abc import Iterable
from pathlib import Path

from tests.fault.run_faults import RUN_FAULTS
from tests.fault.shard_faults import SECTIONS, ShardFault

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
BEGIN = "<!-- generated from tests/fault: begin -->\n"
END = "<!-- generated from tests/fault: end -->\n"


def fault_tables() -> str:
    """Return the tables as Markdown."""
    parts = []
    for title, faults in SECTIONS.items():
        parts.append(_table(("Fault of " + title, "Status"), map(_shard_row, faults)))
    rows = ((fault.what, fault.outcome, str(fault.exit_code)) for fault in RUN_FAULTS)
    parts.append(_table(("Fault of the run", "What happens", "Exit code"), rows))
    return "\n".join(parts)


def with_tables(page: str) -> str:
    """Return the text of a page with the tables between the marks replaced."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{fault_tables()}\n{END}{rest.partition(END)[2]}"


def _shard_row(fault: ShardFault) -> tuple[str, str]:
    reasons = [f"`{status}`" for status in fault.rejects]
    if fault.defect and fault.defect not in fault.rejects:
        reasons.append(f"the shard: `{fault.defect}`")
    return fault.what, ", ".join(reasons) or "`scored`"


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [titles, ("---",) * len(titles), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
