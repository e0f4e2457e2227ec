"""WebDataset shards: finding, reading, decoding, copying."""
