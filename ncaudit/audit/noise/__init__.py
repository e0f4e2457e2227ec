"""Planting noise whose truth is known: which pairs are made wrong, and how."""
