"""Finished runs for tests, written by hand: what `ncaudit score` would have left."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ncaudit.files import digest_file, write_json
from ncaudit.report.columns import PROPOSAL_COLUMNS
from ncaudit.report.parts import write_part
from ncaudit.shards.captions import pairs_of, sample_fields
from ncaudit.shards.discover import discover_shards
from ncaudit.shards.read import read_samples
from ncaudit.shards.samples import Sample
from ncaudit.types import ShardRef
from tests.support.shards import Samples, write_shard

P = Mapping[tuple[str, int], float]
Proposals = Mapping[tuple[str, int], Mapping[str, Any]]


def write_run(
    folder: Path,
    shards: Mapping[str, Samples],
    p_mismatch: P,
    *,
    captions: str = "auto",
    proposals: Proposals | None = None,
) -> Path:
    """Write shards to `folder/shards` and a run that scored them to `folder/audit`.

    Args:
        folder: Where.
        shards: Shard name to samples.
        p_mismatch: (key, caption_index) to probability; 0.1 for pairs not named.
        captions: Where captions are.
        proposals: (key, caption_index) to the columns of an accepted proposal.
    """
    for name, samples in shards.items():
        write_shard(folder / "shards" / f"{name}.tar", samples)
    return score_by_hand(folder, p_mismatch, captions=captions, proposals=proposals)


def proposal(
    caption: str, *, confidence: float = 0.8, p_mismatch: float = 0.05, verdict: str = "rematch"
) -> dict[str, Any]:
    """Return the columns of a proposal whose donor is sample `donor` of shard `1`."""
    return {
        "verdict": verdict,
        "rematch_shard": "1",
        "rematch_key": "donor",
        "rematch_caption": caption,
        "rematch_similarity": 0.7,
        "rematch_confidence": confidence,
        "rematch_p_mismatch": p_mismatch,
        "rematch_mutual": True,
    }


def score_by_hand(
    folder: Path,
    p_mismatch: P,
    *,
    captions: str = "auto",
    proposals: Proposals | None = None,
) -> Path:
    """Write a run over the tars that are in `folder/shards`; see `write_run`."""
    run = folder / "audit"
    entries = []
    for shard in discover_shards([str(folder / "shards")]):
        rows = _rows(shard, p_mismatch, captions, proposals or {})
        write_part(run / "scores" / f"{shard.name}.parquet", _columns(rows))
        entries.append(
            {
                "name": shard.name,
                "path": shard.path,
                "n_bytes": shard.n_bytes,
                "modified": shard.modified,
                "sha256": digest_file(shard.path),
            }
        )
    config = {"captions": captions, "shards": [str(folder / "shards")]}
    write_json(run / "run.json", {"config": config, "shards": entries})
    return run


def _rows(
    shard: ShardRef, p_mismatch: P, captions: str, proposals: Proposals
) -> list[dict[str, Any]]:
    with Path(shard.path).open("rb") as file:
        samples = [sample for sample in read_samples(file) if isinstance(sample, Sample)]
    return [
        {
            "shard": shard.name,
            "key": sample.key,
            "caption_index": pair.caption_index,
            "status": str(pair.reject or "scored"),
            "verdict": None if pair.reject else "keep",
            "p_mismatch": None
            if pair.reject
            else p_mismatch.get((sample.key, pair.caption_index), 0.1),
            "reasons": None if pair.reject else "similarity;neg_clip_loss",
            "caption": pair.caption,
            "sample_index": sample.index,
            "detail": pair.detail,
            "sample_start": sample.start,
            "sample_stop": sample.stop,
            **proposals.get((sample.key, pair.caption_index), {}),
            **sample_fields(sample),
        }
        for sample in samples
        for pair in pairs_of(sample, captions)
    ]


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = ["shard", "key", "caption_index", "status", "verdict", "p_mismatch", "reasons"]
    names += ["caption", "sample_index", "detail", "uid", "url", "sample_start", "sample_stop"]
    names += [column.name for column in PROPOSAL_COLUMNS]
    return {name: [row.get(name) for row in rows] for name in names}
