"""Hide and seek: kept pairs that play flagged ones, so that right proposals can be counted.

A probe's image looks for a caption among those of the flagged pairs. Its own caption is
hidden there (present) or left out (absent); the matching space has not seen the pair.
"""

from dataclasses import dataclass

import numpy as np

from ncaudit.types import Bools, Ints

_LEAST_PROBES = 400  # where there are few flagged pairs
_MOST_PROBES = 4000  # more change nothing
_MOST_OF_KEPT = 0.15  # the rest is what the matching space is learned from


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """Who the flagged or kept pairs are; row i of each array describes pair i.

    Attributes:
        image_id: Equal ids mean the same image, shape (n,).
        group: Only equal groups may be matched, shape (n,).
    """

    image_id: Ints
    group: Ints


def choose_probes(flagged: Members, kept: Members, *, seed: tuple[int, int]) -> Ints:
    """Choose kept pairs that resemble flagged ones in all but their caption.

    They are spread over the groups as the flagged pairs are. An image gives as many
    captions as flagged images have, and no caption of it is flagged: its other captions
    stay to be learned from, as those of flagged images do.

    Args:
        flagged: The flagged pairs.
        kept: The kept pairs.
        seed: Root of the draw, and which draw of several it is.

    Returns:
        Rows of kept pairs, ascending.
    """
    n_wanted = min(
        max(len(flagged.image_id) // 2, _LEAST_PROBES),
        _MOST_PROBES,
        int(_MOST_OF_KEPT * len(kept.image_id)),
    )
    eligible = np.flatnonzero(~np.isin(kept.image_id, flagged.image_id))
    times = np.unique(flagged.image_id, return_counts=True)[1]
    chosen: list[Ints] = [np.zeros(0, np.int64)]
    for group, count in zip(*np.unique(flagged.group, return_counts=True), strict=True):
        rows = eligible[kept.group[eligible] == group]
        rng = np.random.default_rng([*seed, 8, int(group)])
        share = count / len(flagged.group)
        chosen.append(_draw(rows, kept.image_id[rows], times, round(n_wanted * share), rng))
    probes: Ints = np.sort(np.concatenate(chosen))
    return probes


def _draw(
    rows: Ints, image_id: Ints, times: Ints, n_wanted: int, rng: np.random.Generator
) -> Ints:
    """Draw images in random order, each with as many of its rows as `times` tells."""
    if not len(rows):
        return rows
    _, image, sizes = np.unique(image_id, return_inverse=True, return_counts=True)
    shuffled = rng.permutation(len(rows))
    turn = rng.permutation(len(sizes))
    wanted = rng.choice(times, len(sizes))
    order = shuffled[np.argsort(turn[image[shuffled]], kind="stable")]
    of_row = image[order]
    nth = np.arange(len(order)) - np.searchsorted(turn[of_row], turn[of_row])
    taken: Bools = (nth < wanted[of_row]) & (wanted[of_row] <= sizes[of_row])
    drawn: Ints = rows[order[taken][:n_wanted]]
    return drawn


def present_images(image_id: Ints, *, seed: int) -> Bools:
    """Tell whose captions are hidden in the pool: half of the images, all captions of each."""
    _, image = np.unique(image_id, return_inverse=True)
    n = int(image.max()) + 1 if len(image) else 0
    is_present = np.zeros(n, bool)
    is_present[np.random.default_rng([seed, 9]).permutation(n)[: n // 2]] = True
    there: Bools = is_present[image]
    return there
