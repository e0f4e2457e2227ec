"""The fitted audit model: heads, banks and calibration that turn embeddings into the table's numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ncaudit.audit.recalibrate import log_odds_of
from ncaudit.calibration.labelled import LabelledCalibration
from ncaudit.calibration.two_groups import TwoGroups
from ncaudit.matching.bank import (
    CHUNK_ROWS,
    BankScores,
    ReferenceBank,
    project_bank,
    score_projected,
)
from ncaudit.matching.beta_mixture import BetaMixture
from ncaudit.matching.heads import Heads
from ncaudit.matching.meta import Matcher, judge
from ncaudit.matching.neighbours import NeighbourReference, discrepancy
from ncaudit.matching.pairs import Pairs, identities
from ncaudit.signals.deciding import HELD_OUT_NAMES, stack_signals
from ncaudit.types import Bools, EncoderCard, Floats, Ints

# Contributions to the log odds, above the typical pair's, that are named as reasons.
REASON_RISE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The table's numbers for n pairs; NaN is an empty cell.

    Attributes:
        p_mismatch: In [0, 1], shape (n,).
        p_low: 10 % end of its interval, shape (n,).
        p_high: 90 % end of its interval, shape (n,).
        signals: Column name to values of shape (n,).
        reasons: `;`-joined codes, n of them.
        in_fit: True if the pair was among those the model was fitted on, shape (n,).
        history: SCC labels after each epoch, NaN outside the fit, shape (n, epochs).
    """

    p_mismatch: Floats
    p_low: Floats
    p_high: Floats
    signals: dict[str, Floats]
    reasons: list[str]
    in_fit: Bools
    history: Floats


@dataclass(frozen=True, slots=True, eq=False)
class FitTable:
    """What the fit says of its own pairs, found again by their identities.

    Attributes:
        image_id: Sorted together with `caption_id`, shape (n,), uint64.
        caption_id: Shape (n,), uint64.
        columns: Column name to values of shape (n,): every signal and the probabilities.
        contributions: What each deciding signal added to the log odds, shape (n, s).
        history: SCC labels after each epoch of training, shape (n, epochs).
    """

    image_id: Ints
    caption_id: Ints
    columns: dict[str, Floats]
    contributions: Floats
    history: Floats

    def find(self, pairs: Pairs) -> Ints:
        """Return the row of each pair, or -1 where it is not one of ours, shape (n,)."""
        own = identities(self.image_id, self.caption_id)
        wanted = identities(pairs.image_id, pairs.caption_id)
        if not len(own):
            return np.full(len(wanted), -1)
        at = np.minimum(np.searchsorted(own, wanted), len(own) - 1)
        same = self.image_id[at] == pairs.image_id
        same &= self.caption_id[at] == pairs.caption_id
        return np.where(same, at, -1)


@dataclass(frozen=True, slots=True, eq=False)
class AuditModel:
    """Everything that scores a pair.

    Attributes:
        encoder: Card of the encoder whose embeddings it takes.
        seed: Seed of the fit.
        temperature: tau of every softmax.
        heads: One per fold.
        bank: Reference banks.
        reference: Where neighbours are looked for; None if there were too few pairs to fit.
        matchers: MSCN's networks and the fold whose heads they go with.
        mixture: Beta mixture over `mscn_similarity`; None as above.
        deciding: Names of the signals of the in-fit calibration.
        outside: Calibrations for pairs outside the fit: the first decides, the others
            give the interval. Empty if there were too few pairs to fit.
        labelled: Calibration of pairs outside the fit on people's verdicts, or None.
        table: What the fit says of its own pairs.
        summary: Noise rate, self-check and diagnostics, JSON-ready.
        config: Resolved fit configuration, JSON-ready.
    """

    encoder: EncoderCard
    seed: int
    temperature: float
    heads: tuple[Heads, ...]
    bank: ReferenceBank
    reference: NeighbourReference | None
    matchers: tuple[Matcher, ...]
    mixture: BetaMixture | None
    deciding: tuple[str, ...]
    outside: tuple[TwoGroups, ...]
    labelled: LabelledCalibration | None
    table: FitTable
    summary: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)

    def score(self, pairs: Pairs) -> Scores:
        """Score pairs: those of the fit by looking up, the others with every fold's heads."""
        rows = self.table.find(pairs)
        fresh = np.flatnonzero(rows < 0)
        known = np.flatnonzero(rows >= 0)
        columns = {name: np.full(len(pairs), np.nan) for name in self.table.columns}
        contributions = np.zeros((len(pairs), len(self.deciding)))
        for name, values in self.table.columns.items():
            columns[name][known] = values[rows[known]]
        contributions[known] = self.table.contributions[rows[known]]
        history = np.full((len(pairs), self.table.history.shape[1]), np.nan, np.float32)
        history[known] = self.table.history[rows[known]]
        if len(fresh):
            new = self._score_outside(pairs.take(fresh))
            for name, values in new.items():
                columns[name][fresh] = values
        probabilities = [columns.pop(name) for name in ("p_mismatch", "p_low", "p_high")]
        reasons = _reasons(self.deciding, contributions, probabilities[0])
        p, low, high = probabilities
        return Scores(p, low, high, columns, reasons, rows >= 0, history)

    def p_mismatch(self, pairs: Pairs) -> Floats:
        """Return what `score` calls p_mismatch, shape (n,), without what does not decide it."""
        rows = self.table.find(pairs)
        fresh, known = np.flatnonzero(rows < 0), np.flatnonzero(rows >= 0)
        p = np.full(len(pairs), np.nan)
        p[known] = self.table.columns["p_mismatch"][rows[known]]
        if len(fresh) and self.outside:
            found = self._signals(pairs.take(fresh), self.outside[0].names)
            p[fresh] = self._probabilities(found)["p_mismatch"]
        return p

    def _score_outside(self, pairs: Pairs) -> dict[str, Floats]:
        """Return every column of pairs that the model was not fitted on."""
        found = self._signals(pairs, HELD_OUT_NAMES)
        return found | self._probabilities(found) if self.outside else found

    def _signals(self, pairs: Pairs, names: Sequence[str]) -> dict[str, Floats]:
        """Average every fold's scores; the label is one SCC step from the match probability.

        Of the held-out signals that cost most, only those of `names` are there.
        """
        is_fitted = self.reference is not None and self.mixture is not None
        scores, meta = self._by_heads(pairs, with_meta=is_fitted and "mscn_similarity" in names)
        found = signal_columns(scores)
        label = scores.match_probability
        found["crcl_match_probability"] = label
        found["crcl_label"] = np.where(label < _floor(self.config), 0.0, label)
        if meta is not None and self.mixture is not None:
            found["mscn_similarity"] = meta
            found["mscn_clean_posterior"] = self.mixture.posterior(meta)
        if self.reference is not None and "neighbour_discrepancy" in names:
            found["neighbour_discrepancy"] = discrepancy(
                self.reference, pairs, scores.similarity, aligned=self.encoder.aligned
            )
        return found

    def _by_heads(self, pairs: Pairs, *, with_meta: bool) -> tuple[BankScores, Floats | None]:
        """Return the means of what each fold's heads say, and of what MSCN's networks say."""
        banks = [project_bank(heads, self.bank) for heads in self.heads]
        means, meta = BankScores.zeros(len(pairs)), np.zeros(len(pairs), np.float32)
        matchers = self.matchers if with_meta else ()
        for at, chunk in pairs.chunks(CHUNK_ROWS):
            for fold, heads in enumerate(self.heads):
                own = heads.project(chunk)
                scores = score_projected(chunk, own, banks[fold], temperature=self.temperature)
                means.add(at, scores, out_of=len(self.heads))
                for matcher in (one for one in matchers if one.fold == fold):
                    meta[at] += judge(matcher.network, own) / len(matchers)
        return means, meta if matchers else None

    def _probabilities(self, found: dict[str, Floats]) -> dict[str, Floats]:
        signals = stack_signals(found, self.outside[0].names)
        draws = np.stack([each.p_mismatch(signals) for each in self.outside])
        low, high = np.quantile(draws, [0.1, 0.9], axis=0)
        p, low, high = draws[0], np.minimum(low, draws[0]), np.maximum(high, draws[0])
        if self.labelled is not None:
            log_odds = log_odds_of(p)
            p = self.labelled.p_mismatch(signals, log_odds)
            low, high = self.labelled.interval(signals, log_odds) or (low, high)
        return {"p_mismatch": p, "p_low": low, "p_high": high}


def signal_columns(scores: BankScores) -> dict[str, Floats]:
    """Name the bank's numbers as the audit table does."""
    return {
        "similarity": scores.similarity,
        "neg_clip_loss": scores.neg_clip_loss,
        "srem_energy_i2t": scores.energy_i2t,
        "srem_energy_t2i": scores.energy_t2i,
        "srem_uncertainty": scores.uncertainty,
        "srem_swapped_entropy": scores.swapped_entropy,
    }


def sorted_table(
    pairs: Pairs, columns: dict[str, Floats], contributions: Floats, history: Floats
) -> FitTable:
    """Return a table in the order that `FitTable.find` needs."""
    order = np.argsort(identities(pairs.image_id, pairs.caption_id), kind="stable")
    return FitTable(
        pairs.image_id[order],
        pairs.caption_id[order],
        {name: values[order].astype(np.float32) for name, values in columns.items()},
        contributions[order].astype(np.float32),
        history[order].astype(np.float32),
    )


def _reasons(names: tuple[str, ...], contributions: Floats, p: Floats) -> list[str]:
    """Name the signals that speak for a mismatch, the loudest first."""
    loud = (contributions >= REASON_RISE) & (np.nan_to_num(p) >= 0.2)[:, None]
    order = np.argsort(-contributions, axis=1, kind="stable")
    return [
        ";".join(dict.fromkeys(names[at] for at in order[row] if loud[row, at]))
        for row in range(len(p))
    ]


def _floor(config: dict[str, Any]) -> float:
    return float(config["heads"]["floor"])
