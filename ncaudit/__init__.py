"""Find image-text pairs whose caption does not belong to its image."""

__version__ = "0.1.0"
