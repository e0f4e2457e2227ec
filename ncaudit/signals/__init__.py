"""Signals: those that decide, and further ones that other packages bring.

`SIGNALS` holds the latter, by the names that `--signal` takes; a package registers its own
in the entry-point group `ncaudit.signals`.
"""

from ncaudit.registry import Registry
from ncaudit.signals.base import Signal

SIGNALS: Registry[Signal] = Registry("signal", {})
