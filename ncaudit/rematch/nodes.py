"""From pairs to the nodes of one transport: images that look, captions that can be given."""

from dataclasses import dataclass

import numpy as np

from ncaudit.types import Bools, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Identities:
    """Flagged and kept pairs end to end; row i of each array describes pair i.

    Attributes:
        image_id: Equal ids mean the same image, shape (n,), uint64.
        caption_id: Equal ids mean the same caption, shape (n,), uint64.
        group: Only equal groups may be matched, shape (n,), int64.
    """

    image_id: Ints
    caption_id: Ints
    group: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """Who plays in one round of hide and seek.

    Attributes:
        flagged: Rows of the flagged pairs.
        present: Rows of the probes whose captions are hidden in the pool.
        absent: Rows of the probes whose captions are left out.
        donors: Rows of other kept pairs whose captions may be taken.
    """

    flagged: Ints
    present: Ints
    absent: Ints
    donors: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Nodes:
    """The nodes of one round.

    Attributes:
        seekers: Row of every pair that looks for a caption, shape (s,): flagged,
            present, absent.
        is_probe: Whether it is a probe, shape (s,).
        image_of: Image node of every seeker, shape (s,).
        image_row: A row that has the image of every image node, shape (n,).
        image_is_probe: Shape (n,).
        image_capacity: Seekers of every image node, shape (n,).
        caption_row: The first row that has the caption of every distinct caption, shape (m,).
        caption_capacity: Rows that have it, shape (m,).
        is_probes: Whether probes alone have it, shape (m,).
        forbidden: Image nodes and captions that may not be matched: of one image.
        own: Image nodes of probes and their own captions that are hidden.
    """

    seekers: Ints
    is_probe: Bools
    image_of: Ints
    image_row: Ints
    image_is_probe: Bools
    image_capacity: Ints
    caption_row: Ints
    caption_capacity: Ints
    is_probes: Bools
    forbidden: tuple[Ints, Ints]
    own: tuple[Ints, Ints]


def lay_out(who: Identities, players: Round) -> Nodes:
    """Number the images and captions of a round, each by its first row.

    An image that occurs several times is one node that may take as many captions. A probe
    and a flagged pair never share an image node.
    """
    seekers = np.concatenate([players.flagged, players.present, players.absent])
    is_probe = np.arange(len(seekers)) >= len(players.flagged)
    image_first, image_of = _number(
        who.image_id[seekers], who.group[seekers], is_probe.astype(np.uint64)
    )
    givers = np.concatenate([players.flagged, players.present, players.donors])
    caption_first, caption_of = _number(who.caption_id[givers], who.group[givers])
    from_probe = np.zeros(len(givers), bool)
    from_probe[len(players.flagged) : len(players.flagged) + len(players.present)] = True
    n_captions = len(caption_first)
    same = _same_image(who.image_id[seekers][image_first], who.image_id[givers])
    image_is_probe = is_probe[image_first]
    mine = image_is_probe[same[0]] & from_probe[same[1]]
    return Nodes(
        seekers=seekers,
        is_probe=is_probe,
        image_of=image_of,
        image_row=seekers[image_first],
        image_is_probe=image_is_probe,
        image_capacity=np.bincount(image_of, minlength=len(image_first)),
        caption_row=givers[caption_first],
        caption_capacity=np.bincount(caption_of, minlength=n_captions),
        is_probes=np.bincount(caption_of, ~from_probe, minlength=n_captions) == 0,
        forbidden=(same[0][~mine], caption_of[same[1][~mine]]),
        own=(same[0][mine], caption_of[same[1][mine]]),
    )


def _number(*keys: Ints) -> tuple[Ints, Ints]:
    """Number equal rows by their first occurrence; return those, and everyone's number."""
    table = np.stack([key.astype(np.uint64) for key in keys], axis=1)
    _, first, inverse = np.unique(table, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(first), np.int64)
    rank[order] = np.arange(len(first))
    return first[order], rank[inverse.ravel()]


def _same_image(nodes: Ints, givers: Ints) -> tuple[Ints, Ints]:
    """Return every image node and giver that have the same image."""
    order = np.argsort(givers, kind="stable")
    low = np.searchsorted(givers[order], nodes)
    high = np.searchsorted(givers[order], nodes, "right")
    counts = high - low
    start = np.repeat(low - np.append(0, counts.cumsum())[:-1], counts)
    return np.repeat(np.arange(len(nodes)), counts), order[start + np.arange(counts.sum())]
