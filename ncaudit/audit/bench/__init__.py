"""The benchmark: plant noise, audit it, and measure every method against the truth."""
