"""The rematch stage: proposals for the flagged pairs of all shards, put into their parts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ncaudit import __version__
from ncaudit.audit.model import AuditModel
from ncaudit.audit.rematch_sample import Chosen, choose_pairs, gather_suspects
from ncaudit.audit.run_directory import RunDirectory
from ncaudit.audit.stages import Stages
from ncaudit.config import RematchConfig, as_plain
from ncaudit.embeddings.cache import CachedShard, read_ids, shard_folder
from ncaudit.engine.ledger import Ledger
from ncaudit.files import atomic_path, digest_file, digest_json
from ncaudit.rematch.accept import accept
from ncaudit.rematch.propose import Proposals, Space, Suspects, n_rounds, propose
from ncaudit.report.parts import read_part, replace_columns
from ncaudit.types import Floats, Ints, Verdict

STAGE = "rematch"
_PROPOSE = "propose"
_MARKER = "proposals"
_SCORED_ROWS = 65_536
_DONOR_TEXT = ("key", "caption_index", "sample_index", "caption")
_FILLED = (
    "rematch_shard",
    "rematch_key",
    "rematch_caption",
    "rematch_similarity",
    "rematch_confidence",
    "rematch_p_mismatch",
    "rematch_mutual",
    "rematch_caption_index",
    "rematch_sample_index",
    "rematch_alternatives",
)


@dataclass(frozen=True, slots=True)
class Rematcher:
    """Fills the proposal columns of a run.

    Attributes:
        run: Its folder.
        config: How captions are proposed.
        ledger: Where it is noted what is done.
        stages: Where progress goes.
        seed: Root of every draw.
    """

    run: RunDirectory
    config: RematchConfig
    ledger: Ledger
    stages: Stages
    seed: int

    def rematch(
        self, cached: Sequence[CachedShard], model: AuditModel | None, score_key: str
    ) -> dict[str, Any]:
        """Propose captions and write them into the parts; what is done is not done again.

        Args:
            cached: The shards, whose parts are written.
            model: The model that scored, or None.
            score_key: Digest of all that decided the scores, the shards apart.

        Returns:
            How the proposals were made, for run.json.
        """
        if not self.config.enabled or model is None:
            return {"enabled": False} if not self.config.enabled else {"flagged": 0}
        key = digest_json(
            {
                "scores": score_key,
                "shards": [[shard.tally.shard, shard.sha256, shard.key] for shard in cached],
                "rematch": as_plain(self.config),
                "seed": self.seed,
                "version": __version__,
            }
        )
        path = self.run.proposals
        done = self.ledger.done(_PROPOSE, _MARKER, key)
        if done is None or not path.is_file() or done["sha256"] != digest_file(str(path)):
            about = self._propose(cached, model)
            done = {"sha256": digest_file(str(path)), "about": about}
            # A shard that could not be read may say something else the next time.
            if all(shard.sha256 for shard in cached):
                self.ledger.commit(_PROPOSE, _MARKER, key, done)
        self._fill(str(done["sha256"]))
        about = done["about"]
        return dict(about)

    def _propose(self, cached: Sequence[CachedShard], model: AuditModel) -> dict[str, Any]:
        chosen = choose_pairs(self.run, cached, self.config, self.seed)
        if not chosen.n_flagged:
            _write_table(self.run, [])
            return {"flagged": 0}
        self.stages.stage(STAGE, n_rounds(chosen.n_flagged) + 1, "steps")
        suspects = gather_suspects(chosen, self.run, cached, self.config.within)
        proposals = propose(
            suspects,
            _space(model),
            self.config,
            seed=self.seed,
            on_round=self.stages.advance,
        )
        p = proposed_p_mismatch(model, suspects, proposals)
        names = [shard.tally.shard for shard in cached]
        rows = _Donors(self.run, names, chosen).rows(proposals, p, self.config)
        _write_table(self.run, rows)
        self.stages.advance()
        accepted = sum(row["is_accepted"] for row in rows)
        limited = {"flagged_in_all": chosen.n_flagged_in_all, "seed": self.seed}
        return proposals.about | {"accepted": accepted} | limited

    def _fill(self, sha256: str) -> None:
        """Put the proposals into the parts, each at most once."""
        for shard, rows in _by_shard(self.run).items():
            part = self.run.part(shard)
            done = self.ledger.done(STAGE, shard, sha256)
            if done is None or done.get("n_bytes") != part.stat().st_size:
                replace_columns(part, _columns(self.run, shard, rows))
                self.ledger.commit(STAGE, shard, sha256, {"n_bytes": part.stat().st_size})


def filled_sizes(run: RunDirectory, ledger: Ledger, shards: Sequence[str]) -> dict[str, int]:
    """Return the size that each shard's part has with its proposals, where it has some."""
    if not run.proposals.is_file():
        return {}
    sha256 = digest_file(str(run.proposals))
    done = {shard: ledger.done(STAGE, shard, sha256) for shard in shards}
    return {shard: int(marker["n_bytes"]) for shard, marker in done.items() if marker}


def proposed_p_mismatch(model: AuditModel, suspects: Suspects, proposals: Proposals) -> Floats:
    """Return p_mismatch of the proposed pairs, NaN where there is none, shape (n_flagged,)."""
    p = np.full(len(proposals.donor), np.nan)
    rows = np.flatnonzero(proposals.donor >= 0)
    for start in range(0, len(rows), _SCORED_ROWS):
        at = rows[start : start + _SCORED_ROWS]
        p[at] = model.p_mismatch(suspects.pairs.recombine(at, proposals.donor[at]))
    return p


def _space(model: AuditModel) -> Space:
    heads = model.config["heads"]
    aligned = model.encoder.aligned
    dim = model.encoder.image_dim if aligned else int(heads["dim"])
    return Space(aligned, dim, float(heads["ridges"][0]))


class _Donors:
    """Looks up the captions that proposals come from, one shard at a time."""

    def __init__(self, run: RunDirectory, names: Sequence[str], chosen: Chosen) -> None:
        self._run = run
        self._names = names
        self._chosen = chosen

    def rows(
        self, proposals: Proposals, p_mismatch: Floats, config: RematchConfig
    ) -> list[dict[str, Any]]:
        """Return one row of the proposal table for each flagged pair that has a proposal."""
        accepted = accept(proposals, p_mismatch, config)
        text = self._texts(np.append(proposals.donor, proposals.alternatives))
        rows = []
        for at in np.flatnonzero(proposals.donor >= 0).tolist():
            donor = text[int(proposals.donor[at])]
            rows.append(
                {
                    "shard": self._names[int(self._chosen.shard[at])],
                    "row": int(self._chosen.row[at]),
                    "is_accepted": bool(accepted[at]),
                    "rematch_shard": donor["shard"],
                    "rematch_key": donor["key"],
                    "rematch_caption": donor["caption"],
                    "rematch_similarity": float(proposals.similarity[at]),
                    "rematch_confidence": float(proposals.confidence[at]),
                    "rematch_p_mismatch": float(p_mismatch[at]),
                    "rematch_mutual": bool(proposals.mutual[at]),
                    "rematch_caption_index": donor["caption_index"],
                    "rematch_sample_index": donor["sample_index"],
                    "rematch_alternatives": _alternatives(proposals, at, text),
                }
            )
        return rows

    def _texts(self, wanted: Ints) -> dict[int, dict[str, Any]]:
        """Return what identifies the pairs in the rows `wanted`, -1 left out."""
        wanted = np.unique(wanted[wanted >= 0])
        found: dict[int, dict[str, Any]] = {}
        for number in np.unique(self._chosen.shard[wanted]).tolist():
            name = self._names[number]
            mine = wanted[self._chosen.shard[wanted] == number]
            ids = read_ids(shard_folder(self._run.embeddings, name), list(_DONOR_TEXT))
            for donor, values in zip(
                mine.tolist(), ids.take(self._chosen.row[mine]).to_pylist(), strict=True
            ):
                found[donor] = values | {"shard": name}
        return found


def _alternatives(proposals: Proposals, at: int, text: dict[int, dict[str, Any]]) -> str:
    """Return the captions next in line as JSON."""
    listed = [
        {
            "shard": text[donor]["shard"],
            "key": text[donor]["key"],
            "caption_index": text[donor]["caption_index"],
            "similarity": round(similarity, 6),
        }
        for donor, similarity in zip(
            proposals.alternatives[at].tolist(),
            proposals.alternative_similarity[at].tolist(),
            strict=True,
        )
        if donor >= 0
    ]
    return json.dumps(listed, ensure_ascii=False)


def _write_table(run: RunDirectory, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, number = pa.string(), pa.float64()
    kinds = [text] * 3 + [number] * 3 + [pa.bool_()] + [pa.int32()] * 2 + [text]
    where = [("shard", text), ("row", pa.int64()), ("is_accepted", pa.bool_())]
    schema = pa.schema([*where, *zip(_FILLED, kinds, strict=True)])
    with atomic_path(run.proposals) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary, compression="zstd")


def _by_shard(run: RunDirectory) -> dict[str, Any]:
    """Return the proposals of each shard that has some, as pyarrow tables."""
    table = read_part(run.proposals)
    shards = np.array(table["shard"].to_pylist(), object)
    if not len(shards):
        return {}
    starts = np.flatnonzero(np.append(True, shards[1:] != shards[:-1]))
    lengths = np.diff(np.append(starts, len(shards)))
    return {
        str(shards[start]): table.slice(start, length)
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
    }


def _columns(run: RunDirectory, shard: str, rows: Any) -> dict[str, list[Any]]:
    """Return the proposal columns and the verdict of a shard, one value per row."""
    verdict = read_part(run.part(shard), ["verdict"])["verdict"].to_pylist()
    columns: dict[str, list[Any]] = {name: [None] * len(verdict) for name in _FILLED}
    for proposal in rows.to_pylist():
        at = proposal["row"]
        for name in _FILLED:
            columns[name][at] = proposal[name]
        if proposal["is_accepted"]:
            verdict[at] = str(Verdict.REMATCH)
    return columns | {"verdict": verdict}
