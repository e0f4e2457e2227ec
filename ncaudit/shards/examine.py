"""What becomes of a sample's pairs before anything is encoded.

One home for the order of the reasons, so that a preflight and an audit say the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ncaudit.shards.captions import pairs_of
from ncaudit.shards.decode import Decoded, ImageRejectedError
from ncaudit.shards.read import IMAGE_SUFFIXES, image_of
from ncaudit.shards.samples import PairText, Sample
from ncaudit.types import Status

_MAX_SHOWN = 10
_MAX_SHOWN_CHARS = 40


@dataclass(frozen=True, slots=True, eq=False)
class ExaminedSample:
    """A sample, its pairs with all that is wrong with them, and its image.

    Attributes:
        sample: The sample.
        pairs: Its captions; `reject` is the reason of the sample, else of the image, else
            of the caption.
        decoded: The image, or None if it was rejected or no caption needs it.
    """

    sample: Sample
    pairs: list[PairText]
    decoded: Decoded | None


def examine_sample(
    sample: Sample, captions: str, decode: Callable[[bytes], Decoded] | None
) -> ExaminedSample:
    """Find a sample's captions and decode its image, if any of them is good.

    Args:
        sample: A sample of `read_samples`.
        captions: Caption source, as `pairs_of` takes it.
        decode: Decodes an image or raises `ImageRejectedError`; None to leave it undecoded.

    Raises:
        ConfigError: If `captions` has an unknown form.
        MemoryError: If there is no room to decode.
    """
    pairs = pairs_of(sample, captions)
    if sample.reject is not None:
        return ExaminedSample(sample, pairs, None)
    image = image_of(sample)
    if image is None:
        return _refused(sample, pairs, Status.IMAGE_MISSING, _what_there_is(sample))
    if decode is None or all(pair.reject for pair in pairs):
        return ExaminedSample(sample, pairs, None)
    try:
        return ExaminedSample(sample, pairs, decode(image[1]))
    except ImageRejectedError as error:
        return _refused(sample, pairs, error.status, error.detail)


def _refused(sample: Sample, pairs: list[PairText], status: Status, detail: str) -> ExaminedSample:
    refused = [replace(pair, reject=status, detail=detail) for pair in pairs]
    return ExaminedSample(sample, refused, None)


def _what_there_is(sample: Sample) -> str:
    suffixes = [name[:_MAX_SHOWN_CHARS] for name in sorted((*sample.members, *sample.others))]
    shown = ", ".join(suffixes[:_MAX_SHOWN]) + (", ..." if len(suffixes) > _MAX_SHOWN else "")
    dots = "; a key ends at its first dot" if any("." in suffix for suffix in suffixes) else ""
    return f"no {', '.join(IMAGE_SUFFIXES[:-1])} or {IMAGE_SUFFIXES[-1]} among: {shown}{dots}"
