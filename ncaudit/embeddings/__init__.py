"""The cache of frozen embeddings."""
