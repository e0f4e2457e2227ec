"""What a shard is made of once it is read: samples, their pairs, and defects."""

from dataclasses import dataclass, field

from ncaudit.types import Status


@dataclass(frozen=True, slots=True)
class Sample:
    """Consecutive members of one key, as WebDataset groups them.

    Attributes:
        index: Position in the shard, from 0. Together with the shard it names the
            sample even where keys repeat.
        key: Member path up to the first dot of its base name.
        members: Suffix (lower case, without the dot) to content, for the members an
            audit reads: image, `.txt` and `.json`. Other members are not held.
        start: Offset in bytes of the first member's header in the (uncompressed) tar.
        stop: Offset just after the last member's padded content.
        reject: Why the sample as a whole cannot be scored, or None.
        detail: One line for people, saying more than `reject`.
        others: Suffixes of the members that are not held, as far as they are printable.
    """

    index: int
    key: str
    members: dict[str, bytes] = field(repr=False)
    start: int
    stop: int
    reject: Status | None = None
    detail: str = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShardDefect:
    """A fault of the shard itself; samples read before it stand.

    Attributes:
        status: SHARD_TRUNCATED or SHARD_UNREADABLE.
        detail: One line for people.
    """

    status: Status
    detail: str


@dataclass(frozen=True, slots=True)
class PairText:
    """The caption side of one pair of a sample.

    Attributes:
        caption_index: Position among the sample's captions, from 0.
        caption: Text as stored, stripped of surrounding white space; "" if there is none.
        reject: Why the caption cannot be scored, or None.
        detail: One line for people.
    """

    caption_index: int
    caption: str
    reject: Status | None = None
    detail: str = ""
