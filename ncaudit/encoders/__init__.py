"""Frozen image and caption encoders."""
