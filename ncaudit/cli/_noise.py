"""The estimated noise rate in words, the same in every command."""

from collections.abc import Mapping
from typing import Any


def noise_rate(said: Mapping[str, Any]) -> str:
    """Return a rate with its interval: `20.1% (18.0% to 22.4%)`, or `unknown`.

    Args:
        said: `estimated_noise_rate`, `noise_rate_low`, `noise_rate_high`; each may be None.
    """
    names = ("estimated_noise_rate", "noise_rate_low", "noise_rate_high")
    rate, low, high = (said.get(name) for name in names)
    if rate is None:
        return "unknown"
    interval = f" ({low:.1%} to {high:.1%})" if low is not None and high is not None else ""
    return f"{rate:.1%}{interval}"
