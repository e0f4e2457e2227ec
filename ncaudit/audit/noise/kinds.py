"""The kinds of noise that can be planted."""

from enum import StrEnum


class NoiseKind(StrEnum):
    """What is exchanged; the value is what `--noise` takes.

    Source:
        `caption` and `image` are the two families of published splits (NCR, Huang et al.,
        NeurIPS 2021; DECL, Qin et al., ACM MM 2022), here without fixed points.
    """

    CAPTION = "caption"  # single captions, at random
    IMAGE = "image"  # all captions of an image move together
    TOPIC = "topic"  # single captions, inside clusters of similar captions
    PARTIAL = "partial"  # one word of the caption, for another of its category
    ORPHAN = "orphan"  # captions whose own image is not among the pairs
