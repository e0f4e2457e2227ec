"""The embed stage: every shard into the cache, each at most once."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from ncaudit.audit.free_space import warn_if_too_little
from ncaudit.audit.full_device import full_device_is_deliberate
from ncaudit.audit.import_shards import MakeImport
from ncaudit.audit.stages import Stages
from ncaudit.config import ScoreConfig
from ncaudit.devices import resolve_device, usable_cores
from ncaudit.embeddings.cache import (
    CachedShard,
    cached_from,
    find_embeddings,
    known_as,
    shard_folder,
)
from ncaudit.embeddings.embed_shard import (
    EmbedOptions,
    embed_shard,
    embedding_key,
    write_unreadable,
)
from ncaudit.embeddings.import_shard import import_key
from ncaudit.embeddings.imported import ImportedEmbeddings, open_imported
from ncaudit.embeddings.step_clock import StepClock, bottleneck
from ncaudit.encoders import load_encoder
from ncaudit.encoders.base import Encoder
from ncaudit.engine.base import Engine, Failure, OnProgress, Record
from ncaudit.engine.ledger import Ledger
from ncaudit.errors import ConfigError, InputError
from ncaudit.files import mask_secrets, remove_tree
from ncaudit.shards.captions import check_source
from ncaudit.types import ShardRef, Status

log = logging.getLogger(__name__)
# Hidden, so that no shard can have the name.
_ATTEMPT = ".attempt"
_PROBE_S = 3.0


@dataclass(frozen=True, slots=True)
class Embedder:
    """An encoder, the cache it fills, and how.

    Attributes:
        encoder: Frozen towers.
        name: Name that the encoder is loaded by.
        device: What they run on.
        cache: Folder of the embedding cache.
        captions: Caption source.
        batch_size: Images handed to the encoder at a time.
        torch_compile: Whether the encoder is compiled.
    """

    encoder: Encoder | ImportedEmbeddings
    name: str
    device: str
    cache: Path
    captions: str
    batch_size: int
    torch_compile: bool = False

    @property
    def key(self) -> str:
        """Digest of the settings that decide the embeddings."""
        if isinstance(self.encoder, ImportedEmbeddings):
            return import_key(self.encoder, self.captions)
        return embedding_key(self.encoder.card, self.captions)

    @property
    def imported(self) -> str | None:
        """Digest of the embeddings that are imported, None if they are made."""
        source = self.encoder
        return source.digest if isinstance(source, ImportedEmbeddings) else None

    def folder(self, shard: str) -> Path:
        """Return the cache folder of a shard."""
        return shard_folder(self.cache, shard)


def open_embedder(config: ScoreConfig, cache: Path) -> Embedder:
    """Load the encoder that `config` names, or open the embeddings that stand in its place.

    Raises:
        ConfigError: If device, encoder or caption source are none we know.
        InputError: If the embeddings to import cannot be read or are not in step.
        WeightsError: If the encoder's weights are missing.
    """
    check_source(config.captions)
    device = resolve_device(config.device)
    make_torch_repeatable(usable_cores())
    encoder: Encoder | ImportedEmbeddings
    if config.embeddings is not None:
        encoder = open_imported(config.embeddings, config.encoder)
    else:
        encoder = _load(config.encoder, device, torch_compile=config.torch_compile)
    return Embedder(
        encoder,
        config.encoder,
        device,
        cache.absolute(),
        config.captions,
        config.batch_size,
        config.torch_compile,
    )


def settle_times(shards: Sequence[ShardRef], cache: Path) -> list[ShardRef]:
    """Return the shards with the time under which the cache knows their content.

    A shard that was only touched or copied is the shard it was; it is read once to be sure.
    """
    return [known_as(shard_folder(cache, shard.name), shard) for shard in shards]


@dataclass(frozen=True, slots=True)
class EmbedTask:
    """One shard to embed.

    Attributes:
        index: Its place among all shards.
        shard: The shard.
        folder: Its folder in the cache.
    """

    index: int
    shard: ShardRef
    folder: Path

    @property
    def name(self) -> str:
        """The shard's name."""
        return self.shard.name


@dataclass(frozen=True)
class MakeEmbed:
    """Builds what embeds shards; on its way to another process it leaves the weights behind.

    Attributes:
        name: Name that the encoder is loaded by.
        device: What it runs on.
        key: Digest of the settings that decide the embeddings.
        captions: Caption source.
        batch_size: Images handed to the encoder at a time.
        torch_compile: Whether the encoder is compiled.
        encoder: The encoder if it is loaded already.
    """

    name: str
    device: str
    key: str
    captions: str
    batch_size: int
    torch_compile: bool = False
    encoder: Encoder | None = field(default=None, compare=False)

    def __reduce__(self) -> tuple[type["MakeEmbed"], tuple[object, ...]]:
        """Pickle everything but the encoder."""
        settings = (self.captions, self.batch_size, self.torch_compile)
        return MakeEmbed, (self.name, self.device, self.key, *settings)

    def __call__(self, threads: int) -> Callable[[EmbedTask, OnProgress], Record]:
        """Load the encoder.

        Raises:
            ConfigError: If it is not the same here as where the run was started.
            WeightsError: If its weights are missing here.
        """
        make_torch_repeatable(threads)
        encoder = self.encoder or _load(self.name, self.device, torch_compile=self.torch_compile)
        if embedding_key(encoder.card, self.captions) != self.key:
            raise ConfigError(
                f"a worker's {self.name} is not the one of this process: {encoder.card}",
                hint="Let all workers have the same weights, device and kind of processor.",
            )
        options = EmbedOptions(self.captions, self.batch_size, threads)
        embed = partial(_embed, encoder, options)
        return full_device_is_deliberate(self.device)(embed)


def _load(name: str, device: str, *, torch_compile: bool) -> Encoder:
    with full_device_is_deliberate(device):
        return load_encoder(name, device, torch_compile=torch_compile)


def _embed(
    encoder: Encoder, options: EmbedOptions, task: EmbedTask, on_progress: OnProgress
) -> Record:
    """Embed a shard; with isolated decoding if that ended a process before.

    A note of the attempt stays behind if this process ends: the next attempt, of another
    worker or another run, finds it.
    """
    attempt, clock = task.folder / _ATTEMPT, StepClock()
    options = replace(options, isolated=attempt.exists())
    task.folder.mkdir(parents=True, exist_ok=True)
    attempt.touch()
    try:
        cached = embed_shard(task.shard, task.folder, encoder, options, on_progress, clock)
    finally:
        attempt.unlink(missing_ok=True)
    return {"cached": asdict(cached), "seconds": clock.shared_by(options.decode_threads)}


def embed_shards(
    shards: Sequence[ShardRef], embedder: Embedder, engine: Engine, ledger: Ledger, stages: Stages
) -> list[CachedShard]:
    """Embed the shards that the cache does not hold yet; what is there is not done again.

    A shard on which workers die has one row that says so, and is tried again next time.

    Raises:
        ConfigError: If a worker has another encoder.
        InputError: If not one shard could be read, or there is no sample in any; the
            folder of `ledger` is then free for another attempt.
        OSError: If the cache cannot be written.
    """
    found = embed_missing(shards, embedder, engine, stages)
    cached = [found[shard.name] for shard in shards]
    try:
        _refuse_nothing(cached)
    except InputError:
        for shard in shards:
            remove_tree(embedder.folder(shard.name))
        ledger.forget()
        raise
    return cached


def embed_missing(
    shards: Sequence[ShardRef], embedder: Embedder, engine: Engine, stages: Stages
) -> dict[str, CachedShard]:
    """Embed what the cache does not hold yet, and return shard name to what it holds now.

    Shards that `engine` leaves to others are not in it.
    """
    kept = {shard.name: _find(shard, embedder) for shard in shards}
    found = {name: cached for name, cached in kept.items() if cached is not None}
    tasks = [
        EmbedTask(index, shard, embedder.folder(shard.name))
        for index, shard in enumerate(shards)
        if shard.name not in found
    ]
    if tasks:
        n_bytes = sum(task.shard.n_bytes for task in tasks)
        warn_if_too_little(embedder.cache, [task.shard for task in tasks], embedder.encoder.card)
        stages.stage("embed", n_bytes, "bytes")
    progress = _Progress(stages, sum(task.shard.n_bytes for task in tasks))

    def on_done(task: EmbedTask, record: Record) -> None:
        cached = found[task.name] = cached_from(record["cached"])
        stages.add_steps(record["seconds"])
        progress.end_shard(task.shard.n_bytes, cached.tally.n_pairs)
        if cached.tally.defect:
            log.warning("%s: %s", task.name, cached.tally.defect)

    for failure in engine.run(tasks, _maker(embedder), on_done, progress.advance):
        on_done(*_given_up(shards[failure.index], failure, embedder))
    return found


def _maker(of: Embedder) -> MakeEmbed | MakeImport:
    if isinstance(of.encoder, ImportedEmbeddings):
        return MakeImport(str(of.encoder.folder.absolute()), of.name, of.captions, of.encoder)
    settings = (of.captions, of.batch_size, of.torch_compile)
    return MakeEmbed(of.name, of.device, of.key, *settings, of.encoder)


def _given_up(shard: ShardRef, failure: Failure, of: Embedder) -> tuple[EmbedTask, Record]:
    """Write what is said of a shard that no worker survived."""
    folder = of.folder(shard.name)
    cached = write_unreadable(shard, folder, of.encoder.card, of.captions, failure.detail)
    return EmbedTask(failure.index, shard, folder), {"cached": asdict(cached), "seconds": {}}


def _find(shard: ShardRef, embedder: Embedder) -> CachedShard | None:
    folder = embedder.folder(shard.name)
    try:
        found = find_embeddings(folder, shard, embedder.key)
    except OSError:
        # Embedding tries once more and gives the reason a row.
        return None
    if found is not None:
        # A process that was killed just after its last write could not take this away.
        (folder / _ATTEMPT).unlink(missing_ok=True)
    return found


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
    n_missing = sum(shard.tally.rejects.get(Status.EMBEDDING_MISSING, 0) for shard in cached)
    if n_missing and not any(shard.tally.n_scored for shard in cached):
        raise InputError(
            f"not one of {n_missing:,} pairs has an embedding to import",
            hint="image_path of clip-retrieval's metadata is the sample's key; DataComp's uid "
            "is in the sample's json.",
        )


def make_torch_repeatable(threads: int) -> None:
    """Let torch use `threads` threads, and only kernels that give the same bits each time."""
    # cuBLAS asks for this before its first use.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    if torch.cuda.is_available() and "LOCAL_RANK" in os.environ:
        # torchrun shows every rank all GPUs of its machine.
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    # Meant for finding bugs: it would write every new tensor twice.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


class _Progress:
    """Counts the bytes of shards, as they are read or when a shard is done, and tells them.

    When the first shards are done, it says how long the rest takes and what holds it up.
    """

    def __init__(self, stages: Stages, n_bytes: int) -> None:
        self._stages = stages
        self._n_total = n_bytes
        self._n_bytes = self._n_of_shard = self._n_pairs = 0
        self._started = time.monotonic()
        self._has_told = False

    def advance(self, n_bytes: int) -> None:
        self._n_bytes += n_bytes
        self._n_of_shard += n_bytes
        self._stages.advance(n_bytes)

    def end_shard(self, n_bytes: int, n_pairs: int) -> None:
        """Count what was not heard of while the shard was read."""
        self.advance(max(0, n_bytes - self._n_of_shard))
        self._n_of_shard = 0
        self._n_pairs += n_pairs
        spent = time.monotonic() - self._started
        if spent >= _PROBE_S and self._n_bytes < self._n_total and not self._has_told:
            self._has_told = True
            left = timedelta(seconds=round(spent * (self._n_total / self._n_bytes - 1)))
            self._stages.note(
                f"{self._n_pairs / spent:,.0f} pairs/s, about {left} left; "
                f"the longest step is to {bottleneck(self._stages.steps)}"
            )
