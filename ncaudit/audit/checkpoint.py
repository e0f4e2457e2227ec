"""A fitted model on disk: safetensors and JSON, nothing that could run."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ncaudit.audit.calibration_json import (
    labelled_json,
    labelled_of,
    two_groups_json,
    two_groups_of,
)
from ncaudit.audit.checkpoint_checks import check_model
from ncaudit.audit.model import AuditModel, FitTable
from ncaudit.errors import WeightsError
from ncaudit.files import atomic_folder, read_json, write_json
from ncaudit.matching.bank import ReferenceBank
from ncaudit.matching.beta_mixture import Beta, BetaMixture
from ncaudit.matching.heads import Heads
from ncaudit.matching.meta import Matcher
from ncaudit.matching.mscn import MetaMatcher
from ncaudit.matching.neighbours import NeighbourReference
from ncaudit.matching.pairs import Pairs
from ncaudit.types import EncoderCard, Floats

FORMAT = 2
_NOT_A_MODEL = (
    OSError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
    RuntimeError,
)
_HEAD_ARRAYS = ("image_mean", "image_map", "caption_mean", "caption_map")
_FILES = ("heads", "bank", "fit_pairs", "reference", "mscn")
_PAIR_ARRAYS = ("image", "caption", "image_id", "caption_id")


def save_model(model: AuditModel, folder: Path) -> None:
    """Write a model folder, all or nothing: card.json, *.safetensors, calibration.json."""
    from safetensors.numpy import save_file

    with atomic_folder(folder) as temporary:
        save_file(_heads_arrays(model), temporary / "heads.safetensors")
        save_file(
            {name: _plain(getattr(model.bank.pairs, name)) for name in _PAIR_ARRAYS},
            temporary / "bank.safetensors",
        )
        save_file(_table_arrays(model.table), temporary / "fit_pairs.safetensors")
        save_file(_reference_arrays(model.reference), temporary / "reference.safetensors")
        save_file(_matcher_arrays(model.matchers), temporary / "mscn.safetensors")
        write_json(
            temporary / "calibration.json",
            {
                "outside": [two_groups_json(each) for each in model.outside],
                "labelled": labelled_json(model.labelled),
            },
        )
        write_json(temporary / "card.json", _card(model))


def load_model(folder: Path) -> AuditModel:
    """Read a model folder.

    Raises:
        WeightsError: If the folder is not a model of this version of the format, or its
            arrays do not fit together or are not finite.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        card = read_json(folder / "card.json")
        if card["format"] != FORMAT:
            raise WeightsError(
                f"{folder} has model format {card['format']}, and this version reads {FORMAT}",
                hint="Fit it again with `ncaudit train`.",
            )
        arrays = {name: load_file(folder / f"{name}.safetensors") for name in _FILES}
        calibration = read_json(folder / "calibration.json")
        model = _assemble(card, arrays, calibration)
        check_model(model)
    except (*_NOT_A_MODEL, SafetensorError) as error:
        raise WeightsError(
            f"{folder} does not hold a fitted model: {_reason(error)}",
            hint="Make one with `ncaudit train SHARDS -o DIR`.",
        ) from error
    return model


def _reason(error: Exception) -> str:
    """Return one line; what a KeyError says is only a name."""
    if isinstance(error, KeyError):
        return f"no {error}"
    return " ".join(str(error).split()) or type(error).__name__


def _card(model: AuditModel) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "encoder": asdict(model.encoder),
        "seed": model.seed,
        "temperature": model.temperature,
        "aligned": model.heads[0].aligned,
        "n_heads": len(model.heads),
        "bank": {
            "repeats": model.bank.repeats,
            "size": model.bank.size,
            "energy_size": model.bank.energy_size,
        },
        "neighbours": model.reference.k if model.reference else 0,
        "matchers": [matcher.fold for matcher in model.matchers],
        "mixture": asdict(model.mixture) if model.mixture else None,
        "deciding": list(model.deciding),
        "columns": list(model.table.columns),
        "summary": model.summary,
        "config": model.config,
    }


def _assemble(
    card: dict[str, Any], arrays: dict[str, dict[str, Any]], calibration: dict[str, Any]
) -> AuditModel:
    heads, bank, table = arrays["heads"], arrays["bank"], arrays["fit_pairs"]
    return AuditModel(
        encoder=EncoderCard(**card["encoder"]),
        seed=card["seed"],
        temperature=card["temperature"],
        heads=tuple(
            Heads(card["aligned"], **{name: heads[f"{name}.{at}"] for name in _HEAD_ARRAYS})
            for at in range(card["n_heads"])
        ),
        bank=ReferenceBank(Pairs(**{name: bank[name] for name in _PAIR_ARRAYS}), **card["bank"]),
        reference=_reference(arrays["reference"], card["neighbours"]),
        matchers=_matchers(arrays["mscn"], card["matchers"]),
        mixture=_mixture(card["mixture"]),
        deciding=tuple(card["deciding"]),
        outside=tuple(two_groups_of(each) for each in calibration["outside"]),
        labelled=labelled_of(calibration["labelled"]),
        table=FitTable(
            table["image_id"],
            table["caption_id"],
            {name: table[f"column.{name}"] for name in card["columns"]},
            table["contributions"],
            table["history"],
        ),
        summary=card["summary"],
        config=card["config"],
    )


def _reference_arrays(reference: NeighbourReference | None) -> dict[str, Any]:
    if reference is None:
        return {}
    pairs = {name: _plain(getattr(reference.pairs, name)) for name in _PAIR_ARRAYS}
    return pairs | {"distance": _plain(reference.distance)}


def _reference(arrays: dict[str, Any], k: int) -> NeighbourReference | None:
    if not arrays:
        return None
    pairs = Pairs(**{name: arrays[name] for name in _PAIR_ARRAYS})
    return NeighbourReference(pairs, arrays["distance"], k)


def _matcher_arrays(matchers: tuple[Matcher, ...]) -> dict[str, Any]:
    return {
        f"{at}.{name}": _plain(values.detach().cpu().numpy())
        for at, matcher in enumerate(matchers)
        for name, values in matcher.network.state_dict().items()
    }


def _matchers(arrays: dict[str, Any], folds: list[int]) -> tuple[Matcher, ...]:
    def of(at: int) -> dict[str, Any]:
        mark = f"{at}."
        return {
            name.removeprefix(mark): values
            for name, values in arrays.items()
            if name.startswith(mark)
        }

    return tuple(Matcher(fold, MetaMatcher.restore(of(at))) for at, fold in enumerate(folds))


def _mixture(stored: dict[str, Any] | None) -> BetaMixture | None:
    if stored is None:
        return None
    low, high = Beta(**stored["low"]), Beta(**stored["high"])
    return BetaMixture(low, high, stored["high_weight"])


def _heads_arrays(model: AuditModel) -> dict[str, Floats]:
    return {
        f"{name}.{at}": _plain(getattr(heads, name))
        for at, heads in enumerate(model.heads)
        for name in _HEAD_ARRAYS
    }


def _table_arrays(table: FitTable) -> dict[str, Any]:
    columns = {f"column.{name}": _plain(values) for name, values in table.columns.items()}
    return columns | {
        "image_id": table.image_id,
        "caption_id": table.caption_id,
        "contributions": _plain(table.contributions),
        "history": _plain(table.history),
    }


def _plain(values: Floats) -> Floats:
    """Return a contiguous array, which is what safetensors stores."""
    return np.ascontiguousarray(values)
