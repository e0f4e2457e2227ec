"""ncaudit explain: all the evidence about one pair."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ncaudit.audit.find_pair import FoundPair, find_pair
from ncaudit.audit.nearest import Nearest, find_nearest
from ncaudit.audit.report_pictures import address_of
from ncaudit.audit.scored_run import ScoredRun, ScoredShard, load_scored_run
from ncaudit.errors import InputError
from ncaudit.files import mask_secrets
from ncaudit.report.columns import SIGNAL_COLUMNS
from ncaudit.report.pair_view import view_of
from ncaudit.report.parts import read_part
from ncaudit.report.pictures import SCREEN_PX, Picture, picture_of
from ncaudit.report.safe_text import escape_controls
from ncaudit.shards.pick import pick_samples
from ncaudit.shards.read import image_of
from ncaudit.shards.sidecar import PREFIX


@dataclass(frozen=True, slots=True)
class SignalStanding:
    """One signal of the pair among those of the run.

    Attributes:
        name: Column.
        value: Its value.
        percentile: Share of the run's pairs with a lower value, ties by half, in [0, 100].
        bad: Which end speaks for a mismatch, `high` or `low`.
        suspicion: Share of the run's pairs that look better by it, in [0, 100].
        decided: Whether it is among the reasons.
    """

    name: str
    value: float
    percentile: float
    bad: str
    suspicion: float
    decided: bool


@dataclass(frozen=True, slots=True)
class StoredImage:
    """The pair's image as it is stored.

    Attributes:
        tar: Path or URL of its shard.
        member: Its name in the tar, or "".
        n_bytes: Its size, or 0.
        picture: A copy for showing.
    """

    tar: str
    member: str
    n_bytes: int
    picture: Picture


@dataclass(frozen=True, slots=True)
class Explanation:
    """The evidence about one pair.

    Attributes:
        pair: As pages show it (`view_of`).
        status: `scored`, or why it could not be.
        detail: More about a reject reason.
        in_fit: Whether the model was fitted on it; None if unknown.
        image: The image.
        signals: Those with a value.
        p_percentile: Of `p_mismatch` in the run, or None.
        nearest: What fits better.
        other_captions: (index, caption, p_mismatch) of the sample's other captions.
        sidecar: What the `.parquet` beside the shard says in numbers, by its column.
    """

    pair: dict[str, Any]
    status: str
    detail: str
    in_fit: bool | None
    image: StoredImage
    signals: tuple[SignalStanding, ...]
    p_percentile: float | None
    nearest: Nearest
    other_captions: tuple[tuple[int, str, float | None], ...]
    sidecar: dict[str, float] = field(default_factory=dict)


def explain_pair(
    folder: Path, key: str, *, shard: str | None = None, caption: int | None = None
) -> Explanation:
    """Collect the evidence about one pair of a finished run.

    Args:
        folder: The run.
        key: See `find_pair`.
        shard: Likewise.
        caption: Likewise.

    Raises:
        InputError: If there is no finished run.
        ConfigError: If there is no such pair, or the key is in several shards.
        WeightsError: If the run's model is damaged.
    """
    run = load_scored_run(folder)
    found = find_pair(run, key, shard=shard, caption=caption)
    values = found.values
    p_percentile, signals = _standings(run, found)
    return Explanation(
        pair=view_of(values),
        status=str(values["status"]),
        detail=escape_controls(values["detail"] or ""),
        in_fit=values["in_fit"],
        image=_image(found),
        signals=signals,
        p_percentile=p_percentile,
        nearest=find_nearest(folder, run, found),
        other_captions=tuple(_other(sibling) for sibling in found.siblings),
        sidecar=_sidecar(values),
    )


def percentile_of(
    parts: Sequence[Path], names: Sequence[str], own: Sequence[float]
) -> list[float]:
    """Return where values stand among all of the run, in [0, 100]; ties count by half.

    Args:
        parts: The parts of the run, read one after the other.
        names: Columns.
        own: The pair's value in each.
    """
    below, ties, filled = (np.zeros(len(names)) for _ in range(3))
    for part in parts:
        table = read_part(part, names)
        for at, (name, value) in enumerate(zip(names, own, strict=True)):
            column = table[name].drop_null().to_numpy()
            below[at] += (column < value).sum()
            ties[at] += (column == value).sum()
            filled[at] += len(column)
    percentiles: list[float] = (100 * (below + ties / 2) / np.maximum(filled, 1)).tolist()
    return percentiles


def _standings(
    run: ScoredRun, found: FoundPair
) -> tuple[float | None, tuple[SignalStanding, ...]]:
    values = found.values
    columns = [column for column in SIGNAL_COLUMNS if values[column.name] is not None]
    names = [column.name for column in columns]
    if values["p_mismatch"] is not None:
        names.append("p_mismatch")
    own = [float(values[name]) for name in names]
    at = dict(zip(names, percentile_of([x.part for x in run.shards], names, own), strict=True))
    reasons = set((values["reasons"] or "").split(";"))
    standings = tuple(
        SignalStanding(
            name=column.name,
            value=float(values[column.name]),
            percentile=at[column.name],
            bad=column.bad,
            suspicion=100 - at[column.name] if column.bad == "low" else at[column.name],
            decided=column.name in reasons,
        )
        for column in columns
    )
    return at.get("p_mismatch"), standings


def _sidecar(values: dict[str, Any]) -> dict[str, float]:
    return {
        escape_controls(name.removeprefix(PREFIX)): value
        for name, value in values.items()
        if name.startswith(PREFIX) and value is not None
    }


def _image(found: FoundPair) -> StoredImage:
    tar = escape_controls(mask_secrets(found.shard.path))
    sample = _sample(found.shard, found.values)
    picture = picture_of(sample, SCREEN_PX)
    stored = image_of(sample) if sample is not None else None
    if stored is None:
        return StoredImage(tar, "", 0, picture)
    suffix, content = stored
    member = f"{escape_controls(found.values['key'])}.{suffix}"
    return StoredImage(tar, member, len(content), picture)


def _sample(shard: ScoredShard, values: dict[str, Any]) -> Any:
    try:
        return next((x for _, x in pick_samples(shard.path, [address_of(values)])), None)
    except (OSError, InputError):
        return None


def _other(sibling: dict[str, Any]) -> tuple[int, str, float | None]:
    view = view_of(sibling)
    return view["index"], view["caption"], view["p"]
