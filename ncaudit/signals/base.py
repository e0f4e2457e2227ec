"""What a further signal is: a number for each pair, from that pair alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from ncaudit.types import Floats


@dataclass(frozen=True, slots=True, eq=False)
class ScoredPairs:
    """The scored pairs of one shard, or some of them, as a signal sees them.

    Attributes:
        image: Embeddings of the images, unit rows, shape (n, d), float16; not to be changed.
        caption: Embeddings of the captions, unit rows, shape (n, e), float16; likewise.
        text: The n captions as they are stored.
        aligned: Whether both embeddings are of one space, so that their cosine has a meaning.
        columns: The audit's own numbers by column, shape (n,) each, NaN for an empty cell; no
            columns where no model could be fitted.
    """

    image: Floats
    caption: Floats
    text: Sequence[str]
    aligned: bool
    columns: Mapping[str, Floats]

    def __len__(self) -> int:
        """Return n."""
        return len(self.text)


@runtime_checkable
class Signal(Protocol):
    """A number for each pair that does not depend on which other pairs are scored with it."""

    @property
    def meaning(self) -> str:
        """What the number says, in one sentence."""
        ...

    @property
    def bad(self) -> Literal["high", "low", ""]:
        """Which end speaks for a mismatch, "" for neither."""
        ...

    def measure(self, pairs: ScoredPairs) -> Floats:
        """Return one number per pair, shape (n,); NaN where it does not apply, never infinite."""
        ...
