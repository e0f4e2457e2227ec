"""Signals that decide: the numbers of a pair, turned so that high speaks for a mismatch."""

import numpy as np

from ncaudit.types import Floats

# Named after the column that shows them. In-sample loss and match probability are two
# readings of one softmax and share a column.
HELD_OUT_NAMES = ("neg_clip_loss",)
TRAINED_NAMES = (
    "neg_clip_loss",
    "crcl_match_probability",
    "crcl_match_probability",
    "crcl_label",
)

_LABEL_EDGE = 0.01
_MATCH_EDGE = 1e-4


def held_out_signals(neg_clip_loss: Floats) -> Floats:
    """Stack the signals every pair has, shape (n, 1), as HELD_OUT_NAMES says."""
    return -neg_clip_loss.astype(np.float64)[:, None]


def trained_signals(
    neg_clip_loss: Floats, trained_loss: Floats, trained_match: Floats, label: Floats
) -> Floats:
    """Stack the signals of pairs that took part in training, shape (n, 4).

    Args:
        neg_clip_loss: Held out, shape (n,).
        trained_loss: In-sample negCLIPLoss, shape (n,).
        trained_match: In-sample match probability in [0, 1], shape (n,).
        label: SCC label in [0, 1], shape (n,).
    """
    return np.stack(
        [
            -neg_clip_loss.astype(np.float64),
            -trained_loss.astype(np.float64),
            -_log_odds(trained_match, _MATCH_EDGE),
            -_log_odds(label, _LABEL_EDGE),
        ],
        axis=1,
    )


def _log_odds(p: Floats, edge: float) -> Floats:
    inside = np.clip(p.astype(np.float64), edge, 1.0 - edge)
    odds: Floats = np.log(inside / (1.0 - inside))
    return odds
