"""Evidence for the calibration: the deciding signals of observed and of planted pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ncaudit.calibration.two_groups import Evidence
from ncaudit.matching.crossfit import CrossFit
from ncaudit.matching.fit_set import FitSet
from ncaudit.matching.meta import MetaFit
from ncaudit.matching.neighbours import NeighbourReference
from ncaudit.matching.participation import Participation, Participations
from ncaudit.signals.deciding import held_out, stack_signals
from ncaudit.types import Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """All that training gives, before any calibration.

    Attributes:
        fit_set: Observed and planted pairs.
        crossed: Held-out heads and their scores.
        parts: What taking part in training left behind.
        meta: MSCN's networks and similarities.
        reference: Where neighbours are looked for.
        discrepancy: LEMoN's score of observed, then planted pairs, shape (n + m,).
    """

    fit_set: FitSet
    crossed: CrossFit
    parts: Participations
    meta: MetaFit
    reference: NeighbourReference
    discrepancy: Floats

    @property
    def held_out(self) -> dict[str, Floats]:
        """Held-out signals of observed, then planted pairs, by column, shape (n + m,)."""
        return {
            "neg_clip_loss": self.crossed.held_out.neg_clip_loss,
            "mscn_similarity": self.meta.similarity,
            "neighbour_discrepancy": self.discrepancy,
        }


def held_out_evidence(trained: Trained, names: Sequence[str]) -> Evidence:
    """Return the signals that are known of every pair, whether it was trained on or not."""
    n, chosen = len(trained.fit_set.pairs), held_out(names)
    signals = stack_signals(trained.held_out, chosen)
    return Evidence(chosen, signals[:n], np.arange(n), signals[n:])


def trained_evidence(trained: Trained, names: Sequence[str]) -> Evidence:
    """Return the signals of pairs that were trained on: one row for each run of a pair."""
    n, said = len(trained.fit_set.pairs), trained.held_out
    rows, pair = [], []
    for part in trained.parts.observed:
        took_part = np.flatnonzero(~np.isnan(part.loss))
        known = {name: values[:n][took_part] for name, values in said.items()}
        rows.append(stack_signals(known | _left_behind(part, took_part), names))
        pair.append(took_part)
    known = {name: values[n:] for name, values in said.items()}
    left = _left_behind(trained.parts.planted, np.arange(len(trained.fit_set.planted)))
    planted = stack_signals(known | left, names)
    return Evidence(tuple(names), np.concatenate(rows), np.concatenate(pair), planted)


def _left_behind(part: Participation, rows: Ints) -> dict[str, Floats]:
    return {"crcl_match_probability": part.loss[rows], "crcl_label": part.label[rows]}
