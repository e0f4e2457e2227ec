"""The robust matching model and how it is fitted."""
