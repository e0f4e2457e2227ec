"""Better partners for flagged pairs."""
