"""The embed stage: every shard into the cache, each at most once."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ncaudit.audit.stages import Stages
from ncaudit.config import ScoreConfig
from ncaudit.devices import resolve_device, usable_cores
from ncaudit.embeddings.cache import CachedShard, find_embeddings, known_as, shard_folder
from ncaudit.embeddings.embed_shard import EmbedOptions, embed_shard, embedding_key
from ncaudit.encoders import load_encoder
from ncaudit.encoders.base import Encoder
from ncaudit.engine.ledger import Ledger
from ncaudit.errors import InputError
from ncaudit.files import mask_secrets, remove_tree
from ncaudit.shards.captions import check_source
from ncaudit.types import ShardRef

log = logging.getLogger(__name__)
_KB = 1000


@dataclass(frozen=True, slots=True)
class Embedder:
    """An encoder, the cache it fills, and how.

    Attributes:
        encoder: Frozen towers.
        device: What they run on.
        cache: Folder of the embedding cache.
        captions: Caption source.
        batch_size: Images handed to the encoder at a time.
    """

    encoder: Encoder
    device: str
    cache: Path
    captions: str
    batch_size: int

    @property
    def key(self) -> str:
        """Digest of the settings that decide the embeddings."""
        return embedding_key(self.encoder.card, self.captions)

    def folder(self, shard: str) -> Path:
        """Return the cache folder of a shard."""
        return shard_folder(self.cache, shard)


def open_embedder(config: ScoreConfig, cache: Path) -> Embedder:
    """Load the encoder that `config` names.

    Raises:
        ConfigError: If device, encoder or caption source are none we know.
        WeightsError: If the encoder's weights are missing.
    """
    check_source(config.captions)
    device = resolve_device(config.device)
    _make_torch_repeatable()
    encoder = load_encoder(config.encoder, device)
    return Embedder(encoder, device, cache, config.captions, config.batch_size)


def settle_times(shards: Sequence[ShardRef], cache: Path) -> list[ShardRef]:
    """Return the shards with the time under which the cache knows their content.

    A shard that was only touched or copied is the shard it was; it is read once to be sure.
    """
    return [known_as(shard_folder(cache, shard.name), shard) for shard in shards]


def embed_shards(
    shards: Sequence[ShardRef], embedder: Embedder, ledger: Ledger, stages: Stages
) -> list[CachedShard]:
    """Embed the shards that the cache does not hold yet; what is there is not done again.

    Raises:
        InputError: If not one shard could be read, or there is no sample in any; the
            folder of `ledger` is then free for another attempt.
        OSError: If the cache cannot be written.
    """
    found = {shard.name: _find(shard, embedder) for shard in shards}
    missing = [shard for shard in shards if found[shard.name] is None]
    if missing:
        stages.stage("embed", max(1, sum(shard.n_bytes for shard in missing) // _KB), "kB")
    on_bytes = _Kilobytes(stages)
    options = EmbedOptions(embedder.captions, embedder.batch_size, usable_cores())
    for shard in missing:
        folder = embedder.folder(shard.name)
        cached = embed_shard(shard, folder, embedder.encoder, options, on_bytes)
        found[shard.name] = cached
        if cached.tally.defect:
            log.warning("%s: %s", shard.name, cached.tally.defect)
    cached_shards = [cached for cached in found.values() if cached is not None]
    try:
        _refuse_nothing(cached_shards)
    except InputError:
        for shard in shards:
            remove_tree(embedder.folder(shard.name))
        ledger.forget()
        raise
    return cached_shards


def _find(shard: ShardRef, embedder: Embedder) -> CachedShard | None:
    try:
        return find_embeddings(embedder.folder(shard.name), shard, embedder.key)
    except OSError:
        # Embedding tries once more and gives the reason a row.
        return None


def _refuse_nothing(cached: Sequence[CachedShard]) -> None:
    if not any(shard.is_readable for shard in cached):
        lines = [f"  {mask_secrets(shard.path)}: {shard.tally.defect}" for shard in cached[:10]]
        raise InputError(
            "\n".join(["no shard could be read:", *lines]),
            hint="Point at WebDataset shards: tars of images and captions.",
        )
    if not any(shard.n_samples for shard in cached):
        raise InputError(
            f"{len(cached)} shards and not one sample in them",
            hint="Samples are members like 000.jpg and 000.txt.",
        )


def _make_torch_repeatable() -> None:
    """Use all cores and only kernels that give the same bits each time."""
    # cuBLAS asks for this before its first use.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    torch.set_num_threads(usable_cores())
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    # Meant for finding bugs: it would write every new tensor twice.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


class _Kilobytes:
    """Counts bytes and tells whole kilobytes."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._n_bytes = 0

    def __call__(self, n_bytes: int) -> None:
        before = self._n_bytes // _KB
        self._n_bytes += n_bytes
        self._stages.advance(self._n_bytes // _KB - before)
