"""What must hold of a model from a stranger's folder before it scores a pair.

A file can be well formed and still hold another model's arrays, or NaN: that would end a run
in its midst, or worse, score every pair with nonsense.
"""

from collections.abc import Iterable

import numpy as np

from ncaudit.audit.model import AuditModel, FitTable
from ncaudit.calibration.labelled import LabelledCalibration
from ncaudit.calibration.two_groups import TwoGroups
from ncaudit.matching.bank import ReferenceBank
from ncaudit.matching.heads import Heads
from ncaudit.matching.neighbours import NeighbourReference
from ncaudit.types import EncoderCard, Floats, Ints

_PROBABILITIES = ("p_mismatch", "p_low", "p_high")


def check_model(model: AuditModel) -> None:
    """Check shapes, types and ranges of everything that scores.

    Raises:
        ValueError: With one line that says what is wrong.
    """
    _require(model.temperature > 0 and np.isfinite(model.temperature), "the temperature")
    _require(len(model.heads) > 0, "the number of heads")
    width = model.heads[0].image_map.shape[-1]
    for at, heads in enumerate(model.heads):
        _check_heads(heads, model.encoder, width, f"head {at}")
    _check_bank(model.bank, model.encoder)
    _check_table(model.table, len(model.deciding))
    for calibration in model.outside:
        _check_calibration(calibration)
    if model.labelled is not None:
        _check_labelled(model.labelled, len(model.outside[0].names))
    _check_meta(model, width)
    if model.reference is not None:
        _check_reference(model.reference, model.encoder)
    floor = model.config["heads"]["floor"]
    _require(isinstance(floor, int | float) and 0 <= floor < 1, "the floor of the labels")


def _check_heads(heads: Heads, card: EncoderCard, width: int, what: str) -> None:
    _check_floats(heads.image_mean, (card.image_dim,), f"the image mean of {what}")
    _check_floats(heads.image_map, (card.image_dim, width), f"the image map of {what}")
    _check_floats(heads.caption_mean, (card.caption_dim,), f"the caption mean of {what}")
    _check_floats(heads.caption_map, (card.caption_dim, width), f"the caption map of {what}")


def _check_bank(bank: ReferenceBank, card: EncoderCard) -> None:
    _require(min(bank.repeats, bank.size, bank.energy_size) >= 1, "the size of the banks")
    _require(bank.energy_size <= bank.size, "the size of the energy banks")
    n = bank.repeats * bank.size
    _check_floats(bank.pairs.image, (n, card.image_dim), "the images of the banks")
    _check_floats(bank.pairs.caption, (n, card.caption_dim), "the captions of the banks")
    _check_ids((bank.pairs.image_id, bank.pairs.caption_id), n, "the banks")


def _check_meta(model: AuditModel, width: int) -> None:
    _require((model.mixture is None) == (not model.matchers), "the mixture of MSCN")
    _require((model.reference is None) == (not model.matchers), "the reference of neighbours")
    for at, matcher in enumerate(model.matchers):
        _require(0 <= matcher.fold < len(model.heads), f"the fold of network {at}")
        for values in matcher.network.state_dict().values():
            _require(bool(values.isfinite().all()), f"the weights of network {at}")
        mix = matcher.network.features.mix
        _require(mix.in_features == 2 * width, f"the width of network {at}")
    if model.mixture is not None:
        shapes = [model.mixture.low.alpha, model.mixture.low.beta]
        shapes += [model.mixture.high.alpha, model.mixture.high.beta]
        _require(bool(np.isfinite(shapes).all() and min(shapes) > 0), "the mixture of MSCN")
        _require(0 <= model.mixture.high_weight <= 1, "the mixture of MSCN")


def _check_reference(reference: NeighbourReference, card: EncoderCard) -> None:
    pairs, n = reference.pairs, len(reference.pairs)
    _require(n > 0 and reference.k > 0, "the number of neighbours")
    _check_floats(pairs.image, (n, card.image_dim), "the images of the reference")
    _check_floats(pairs.caption, (n, card.caption_dim), "the captions of the reference")
    _check_floats(reference.distance, (n,), "the distances of the reference")
    _check_ids((pairs.image_id, pairs.caption_id), n, "the reference")


def _check_table(table: FitTable, n_deciding: int) -> None:
    n = len(table.image_id)
    _check_ids((table.image_id, table.caption_id), n, "the fit pairs")
    _check_floats(table.contributions, (n, n_deciding), "the contributions")
    _check_floats(table.history, (n, table.history.shape[-1]), "the labels of every epoch")
    for name, values in table.columns.items():
        is_column = values.shape == (n,) and np.issubdtype(values.dtype, np.floating)
        _require(is_column and not np.isinf(values).any(), f"the column {name}")
    for name in _PROBABILITIES:
        p = table.columns[name]
        _require(not ((p < 0) | (p > 1)).any(), f"the column {name}")


def _check_calibration(found: TwoGroups) -> None:
    n_signals, n_knots = len(found.names), found.model.knots.shape[-1]
    _require(n_signals > 0 and n_knots > 1, "the size of the calibration")
    _check_floats(found.centre, (n_signals,), "the centre of the calibration")
    _check_floats(found.scale, (n_signals,), "the scale of the calibration")
    _check_floats(found.model.knots, (n_signals, n_knots), "the knots of the calibration")
    _check_floats(found.model.slopes, (n_signals, n_knots - 1), "the slopes of the calibration")
    _require(bool((found.scale > 0).all()), "the scale of the calibration")
    _require(bool((found.model.slopes >= 0).all()), "the slopes of the calibration")
    _require(bool(np.isfinite(found.model.bias)), "the bias of the calibration")
    _require(0 < found.share < 1, "the share of the calibration")


def _check_labelled(found: LabelledCalibration, n_signals: int) -> None:
    scores = found.columns.signals
    width = 1 if scores is None else n_signals + 1
    for model in found.models:
        _check_floats(model.slopes, (width,), "the slopes of the verdicts' calibration")
        _require(bool((model.slopes >= 0).all()), "the slopes of the verdicts' calibration")
        _require(bool(np.isfinite(model.offset)), "the offset of the verdicts' calibration")
    if scores is not None:
        _require(len(scores.knots) == len(scores.scores) == n_signals, "the verdicts' knots")
        for knots, at in zip(scores.knots, scores.scores, strict=True):
            _check_floats(knots, at.shape, "the knots of the verdicts' calibration")
            _check_floats(at, knots.shape, "the scores of the verdicts' calibration")


def _check_floats(values: Floats, shape: tuple[int, ...], what: str) -> None:
    _require(np.issubdtype(values.dtype, np.floating), f"the type of {what}")
    if values.shape != shape:
        raise ValueError(f"{what} have shape {values.shape}, not {shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{what} are not finite")


def _check_ids(ids: Iterable[Ints], n: int, what: str) -> None:
    same = all(each.shape == (n,) and each.dtype == np.uint64 for each in ids)
    _require(same, f"the identities of {what}")


def _require(holds: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise ValueError(f"{what} cannot be right")
