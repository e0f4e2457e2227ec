from pathlib import Path

from ncaudit.report.markdown import audit_csv_page

PAGE = Path(__file__).parents[2] / "docs" / "audit-csv.md"


def test_the_page_in_docs_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == audit_csv_page()
