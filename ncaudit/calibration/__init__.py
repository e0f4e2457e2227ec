"""From signals to one calibrated probability."""
