"""Samples on their way from scored tars into cleaned and rejected ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np

from ncaudit.audit.clean_plan import ShardPlan, rematch_note
from ncaudit.audit.decide import Outcome
from ncaudit.errors import ShardsFailedError
from ncaudit.files import atomic_path
from ncaudit.shards.copy import Span, Window, copy_spans, end_archive, first_name, held
from ncaudit.shards.names import printable, split_name
from ncaudit.shards.read import read_samples
from ncaudit.shards.recaption import add_note, drop_captions, replace_captions
from ncaudit.shards.rewrite import annotate_sample, rewrite_sample
from ncaudit.shards.samples import Sample
from ncaudit.shards.stream import PIECE_BYTES
from ncaudit.types import Ints, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One sample on its way into a tar.

    Attributes:
        index: Position of the sample in its shard.
        span: (start, stop) in the source.
        content: New content of the members that change or are added, by suffix.
        key_tag: Appended to its key, so that no other sample of the tar has it.
        note: What its json is to say under `ncaudit`, or None for a kept sample.
        is_cut: The source ends within the sample.
        adds_json: It gets a json and had none.
    """

    index: int
    span: Span
    content: dict[str, bytes] = field(default_factory=dict)
    key_tag: str = ""
    note: dict[str, Any] | None = None
    is_cut: bool = False
    adds_json: bool = False

    @property
    def is_verbatim(self) -> bool:
        """Whether the sample's bytes stay as they are."""
        return not self.content and not self.key_tag and self.note is None


Load: TypeAlias = tuple[IO[bytes], Sequence[Move]]  # an open tar and what leaves it


def check_samples(shard: str, source: IO[bytes], plan: ShardPlan, samples: Ints) -> None:
    """Check that samples still start where they were read, with their keys.

    Args:
        shard: Name for messages.
        source: The uncompressed tar.
        plan: Its samples.
        samples: Which of them, by position in the shard, ascending.

    Raises:
        ShardsFailedError: If the tar does not hold the samples that were scored.
        InputError: If the tar is damaged where it was not before.
    """
    for index in samples.tolist():
        key, span = plan.keys[index], _span(plan, index)
        names = split_name(first_name(source, span) or "")
        if names is None or printable(names[0]) != key:
            found = f"is {printable(names[0])!r}" if names else f"is not at byte {span[0]:,}"
            raise ShardsFailedError(
                f"{shard}: sample {index} {found}; {key!r} was scored",
                hint="Score the shards again into a new folder, then clean that run.",
            )


def kept_moves(source: IO[bytes], plan: ShardPlan, captions: str, samples: Ints) -> list[Move]:
    """Return the moves of samples that stay, with the new members of those that change.

    Args:
        source: The uncompressed tar.
        plan: What becomes of its pairs.
        captions: Where captions are, as in `pairs_of`.
        samples: Which samples, by position in the shard, ascending; all of them kept.

    Raises:
        InputError: If the tar is damaged where it was not before.
    """
    new = plan.replacements()
    leaves = plan.count(Outcome.KEPT) + plan.count(Outcome.REMATCHED) < np.diff(plan.first)
    moves = []
    for index in samples.tolist():
        move = Move(index=index, span=_span(plan, index))
        if not leaves[index] and index not in new:
            moves.append(move)
            continue
        sample = _sample_at(source, move.span)
        dropped = _leaving(plan, index)
        if index in new:
            content = replace_captions(sample, dropped, *new[index], captions)
        else:
            content = drop_captions(sample, dropped, captions)
        adds_json = "json" in content and "json" not in sample.members
        moves.append(replace(move, content=content, adds_json=adds_json))
    return moves


def rejected_moves(plan: ShardPlan) -> list[Move]:
    """Return the moves of the samples that leave, each with the reasons."""
    cut = str(Status.SHARD_TRUNCATED)
    status = plan.rows["status"].take(plan.first[:-1]).to_pylist()
    return [
        Move(index=index, span=_span(plan, index), note=note, is_cut=status[index] == cut)
        for index, note in plan.rejection_notes().items()
    ]


def write_tar(path: Path, loads: Sequence[Load]) -> None:
    """Write a tar of samples from one tar or several; none if there is no sample.

    Raises:
        InputError: If a tar is damaged where it was not before.
        OSError: If a file cannot be read or written.
    """
    if not any(moves for _, moves in loads):
        path.unlink(missing_ok=True)
        return
    with atomic_path(path) as temporary, temporary.open("wb", PIECE_BYTES) as target:
        for source, moves in loads:
            _append(source, moves, target)
        end_archive(target)


def with_same_members(loads: Sequence[Load]) -> list[Load]:
    """Give every sample of a tar a json if some sample of it gets its first one.

    Readers such as Hugging Face datasets refuse a tar whose samples differ in members.
    """
    if not any(move.adds_json for _, moves in loads for move in moves):
        return list(loads)
    note = rematch_note()
    return [(source, [_noted(source, move, note) for move in moves]) for source, moves in loads]


def _append(source: IO[bytes], moves: Iterable[Move], target: IO[bytes]) -> None:
    for is_verbatim, run in groupby(moves, key=lambda move: move.is_verbatim):
        if is_verbatim:
            copy_spans(source, (move.span for move in run), target)
            continue
        for move in run:
            sample, span = held(source, move.span)
            if move.note is not None:
                annotate_sample(sample, span, move.note, target)
            else:
                rewrite_sample(sample, span, move.content, target, key_tag=move.key_tag)


def _noted(source: IO[bytes], move: Move, note: dict[str, Any]) -> Move:
    if "json" in move.content:
        return move
    added = add_note(_sample_at(source, move.span), note)
    return replace(move, content=move.content | added)


def _sample_at(source: IO[bytes], span: Span) -> Sample:
    found = next(read_samples(Window(source, span)), None)  # type: ignore[arg-type] # reads only
    if not isinstance(found, Sample):
        raise ShardsFailedError(f"no sample at byte {span[0]:,}")
    return found


def _leaving(plan: ShardPlan, sample: int) -> set[int]:
    """Return the caption indexes that leave a sample."""
    rows = np.array(plan.rows_of(sample))
    gone = rows[~plan.stays[rows]]
    return set(plan.rows["caption_index"].take(gone).to_pylist())


def _span(plan: ShardPlan, sample: int) -> Span:
    start, stop = plan.spans[sample].tolist()
    return start, stop
