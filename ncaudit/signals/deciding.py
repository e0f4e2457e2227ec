"""Signals that decide: the numbers of a pair, turned so that high speaks for a mismatch.

A signal is named after the column that shows it.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ncaudit.types import Floats

_LABEL_EDGE = 0.01
_SIMILARITY_EDGE = 1e-3


def _as_it_is(values: Floats) -> Floats:
    return values


def _negated(values: Floats) -> Floats:
    return -values


def _log_odds_against(edge: float) -> Callable[[Floats], Floats]:
    def turn(values: Floats) -> Floats:
        inside = np.clip(values, edge, 1.0 - edge)
        odds: Floats = np.log((1.0 - inside) / inside)
        return odds

    return turn


# Known of every pair, held out.
_HELD_OUT = {
    "neg_clip_loss": _negated,
    "mscn_similarity": _log_odds_against(_SIMILARITY_EDGE),
    "neighbour_discrepancy": _as_it_is,
}
# Known only of pairs that were trained on. The in-sample loss stands for the match
# probability: two readings of one softmax, of which the loss does not saturate.
_TRAINED = {"crcl_match_probability": _negated, "crcl_label": _log_odds_against(_LABEL_EDGE)}
_TURNS = _HELD_OUT | _TRAINED

HELD_OUT_NAMES = tuple(_HELD_OUT)
TRAINED_NAMES = tuple(_TURNS)


def held_out(names: Sequence[str]) -> tuple[str, ...]:
    """Return those of the names that are known of every pair, the first of all if none is."""
    return tuple(name for name in HELD_OUT_NAMES if name in names) or HELD_OUT_NAMES[:1]


def stack_signals(values: Mapping[str, Floats], names: Sequence[str]) -> Floats:
    """Stack signals, turned so that high speaks for a mismatch.

    Args:
        values: Name to values of shape (n,): those of the column, but for
            `crcl_match_probability`, which is given as in-sample negCLIPLoss.
        names: Signals to stack, of TRAINED_NAMES.

    Returns:
        Shape (n, s), float64.

    Raises:
        ValueError: If a value is not finite.
    """
    columns = [_TURNS[name](np.asarray(values[name], np.float64)) for name in names]
    stacked = np.stack(columns, axis=1)
    if not np.isfinite(stacked).all():
        raise ValueError("a signal is not finite")
    return stacked
