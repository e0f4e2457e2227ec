"""Compare embedding with what the encoder alone could do on the same cores, in one run.

For every shard, one after another: the whole way from tar to cache; the same way with an
encoder that does nothing, which is how fast a faster device could be fed; decoding alone;
and the encoder alone on images and captions that are ready. The limit counts decoding and
encoding once each, so a ratio near 1 says that nothing else costs time. Measured side by
side, so that a busy machine slows all of them alike; processor time is what other
people's load changes least.

python examples/bench/throughput.py SHARDS... [--encoder bundled] [--json PATH]

`--encoder random:ViT-B-32` is an open_clip model with random weights. With --json, shards
that the file has already are not measured again.
"""

import argparse
import json
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ncaudit.audit.embed import make_torch_repeatable
from ncaudit.devices import describe_device, usable_cores
from ncaudit.embeddings.embed_shard import EmbedOptions, embed_shard
from ncaudit.encoders import load_encoder
from ncaudit.encoders.base import Encoder
from ncaudit.shards.captions import pairs_of
from ncaudit.shards.decode import decode_image
from ncaudit.shards.discover import discover_shards
from ncaudit.shards.read import image_of, read_samples
from ncaudit.shards.samples import Sample
from ncaudit.types import EncoderCard, Floats, Pixels, Preprocess, ShardRef


@dataclass(frozen=True)
class NullEncoder:
    """Takes what the real encoder takes and returns the same unit vector for all of it."""

    card: EncoderCard
    preprocess: Preprocess

    def encode_images(self, pixels: Pixels) -> Floats:
        """Return the first axis for each image."""
        return self._first_axis(len(pixels), self.card.image_dim)

    def encode_captions(self, captions: list[str]) -> Floats:
        """Return the first axis for each caption."""
        return self._first_axis(len(captions), self.card.caption_dim)

    def _first_axis(self, n: int, dim: int) -> Floats:
        rows = np.zeros((n, dim), np.float32)
        rows[:, 0] = 1
        return rows


def main() -> None:
    options = parse_options()
    threads = usable_cores()
    make_torch_repeatable(threads)
    done = known(options.json, options.encoder)
    with tempfile.TemporaryDirectory() as folder:
        encoder = open_encoder(options.encoder, Path(folder))
        encoder.encode_images(np.zeros((8, *[encoder.preprocess.size_px] * 2, 3), np.uint8))
        encoder.encode_captions(["to warm up"])
        for shard in discover_shards(options.shards)[: options.n_shards]:
            if shard.name not in done:
                done[shard.name] = measure(shard, encoder, Path(folder), threads)
                print(json.dumps({shard.name: done[shard.name]}))
                keep(options, done, threads)
    show(ratios(done))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", nargs="+")
    parser.add_argument("--encoder", default="bundled")
    parser.add_argument("--n-shards", type=int, default=None)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def open_encoder(name: str, folder: Path) -> Encoder:
    kind, _, model = name.partition(":")
    if kind != "random":
        return load_encoder(name, "cpu")
    import open_clip
    from safetensors.torch import save_file

    torch.manual_seed(0)
    tensors = open_clip.create_model(model).state_dict()
    path = folder / "random.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return load_encoder(f"{model}/{path}", "cpu")


def measure(shard: ShardRef, encoder: Encoder, folder: Path, threads: int) -> dict[str, float]:
    """Return the counts of a shard and the seconds of each way to go over it."""
    files, captions = read(shard)
    options = EmbedOptions(decode_threads=threads)
    null = NullEncoder(encoder.card, encoder.preprocess)
    clock = Clock()
    with clock.of("feed"):
        embed_shard(shard, folder / "null", null, options)
    with clock.of("decode"), ThreadPoolExecutor(threads) as pool:
        pixels = list(pool.map(lambda data: decode_image(data, encoder.preprocess).pixels, files))
    with clock.of("embed"):
        embed_shard(shard, folder / "real", encoder, options)
    with clock.of("encode"):
        encoder.encode_images(np.stack(pixels))
        encoder.encode_captions(captions)
    return {"n_images": len(files), "n_captions": len(captions), **clock.seconds}


class Clock:
    """Seconds by name: of the clock on the wall, and of all this process's threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Measure a block."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds[name] = round(time.perf_counter() - wall, 4)
        self.seconds[f"{name}_cpu"] = round(time.process_time() - cpu, 4)


def read(shard: ShardRef) -> tuple[list[bytes], list[str]]:
    files, captions = [], []
    with Path(shard.path).open("rb") as file:
        for sample in read_samples(file):
            if isinstance(sample, Sample) and (found := image_of(sample)):
                files.append(found[1])
                captions += [pair.caption for pair in pairs_of(sample, "auto")]
    return files, captions


def ratios(done: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return rates over all shards, and the median over shards of the share of the limit."""
    total = {name: sum(row[name] for row in done.values()) for name in next(iter(done.values()))}
    shares = [(row["decode"] + row["encode"]) / row["embed"] for row in done.values()]
    work = total["decode_cpu"] + total["encode_cpu"]
    n = total["n_images"]
    return {
        "n_shards": len(done),
        "n_images": n,
        "n_captions": total["n_captions"],
        "embed_images_per_s": round(n / total["embed"], 1),
        "limit_images_per_s": round(n / (total["decode"] + total["encode"]), 1),
        "encode_images_per_s": round(n / total["encode"], 1),
        "decode_images_per_s": round(n / total["decode"], 1),
        "feed_images_per_s": round(n / total["feed"], 1),
        "share_of_limit": round(statistics.median(shares), 3),
        "share_of_limit_least": round(min(shares), 3),
        "share_of_limit_most": round(max(shares), 3),
        "share_of_limit_in_processor_time": round(work / total["embed_cpu"], 3),
    }


def known(path: Path | None, encoder: str) -> dict[str, dict[str, float]]:
    if path is None or not path.exists():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["shards"] if content["encoder"] == encoder else {}


def keep(options: argparse.Namespace, done: dict[str, dict[str, float]], threads: int) -> None:
    if options.json is None:
        return
    content = {
        "encoder": options.encoder,
        "result": ratios(done),
        "shards": done,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "threads": threads,
        "machine": describe_device(),
        "commit": commit(),
        "command": shlex.join(["python", *sys.argv]),
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip()


def show(result: dict[str, float]) -> None:
    for name, value in result.items():
        print(f"{name:24} {value:>10}")


if __name__ == "__main__":
    main()
