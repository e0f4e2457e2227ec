"""One file per number in the audit table."""
