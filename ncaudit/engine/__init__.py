"""Where shard tasks run, and which of them are done."""
