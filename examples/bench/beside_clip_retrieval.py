"""Embed the same shards with ncaudit and with clip-retrieval's inference, side by side.

    python3.11 -m venv peer && peer/bin/pip install clip-retrieval 'setuptools<70'
    python examples/bench/beside_clip_retrieval.py PHOTOS... --peer peer/bin/python --json OUT

The photos of the given shards are enlarged to 640 pixels and written to shards of their own.
Both tools read these, with the same random weights in float32 and as many readers as there
are cores, in turn, in processes of their own; loading the model is not counted. `feed` is
reading, decoding and resizing alone: ncaudit with an encoder that does nothing, and
clip-retrieval's reader.
"""

import argparse
import io
import json
import os
import shlex
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ncaudit.shards.samples import Sample

SIDE, N_SHARDS = 640, 2
FEED = "feed"


def main() -> None:
    options = parse_options()
    if options.run:
        run = {"ncaudit": ours, "clip-retrieval": theirs}[options.run]
        print(json.dumps(run(options.model, Path(options.photos[0]), Path(options.weights))))
        return
    from ncaudit.audit.bench.machine import machine

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        n_images = enlarge(options.photos, folder / "shards", options.n_images)
        results = {
            model: compare(options, model, folder, n_images) for model in (*options.models, FEED)
        }
    content = {
        "n_images": n_images,
        "side_px": SIDE,
        "results": results,
        **machine("cpu"),
        "command": shlex.join(["python", *sys.argv]),
    }
    options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--peer", help="the Python that has clip-retrieval")
    parser.add_argument("--models", nargs="*", default=["ViT-B-32", "ViT-S-32-alt"])
    parser.add_argument("--n-images", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    return parser.parse_args()


def enlarge(photos: list[str], folder: Path, n_wanted: int) -> int:
    """Write shards of 640-pixel JPEGs with captions; returns how many."""
    from PIL import Image

    from ncaudit.shards.captions import pairs_of
    from ncaudit.shards.read import image_of

    folder.mkdir()
    n = 0
    with ExitStack() as stack:
        tars = [
            stack.enter_context(tarfile.open(folder / f"{number:05d}.tar", "w"))
            for number in range(N_SHARDS)
        ]
        for sample in samples_of(photos, n_wanted):
            image, text = io.BytesIO(), pairs_of(sample, "auto")[0].caption.encode()
            small = Image.open(io.BytesIO(image_of(sample)[1])).convert("RGB")
            small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(image, "JPEG", quality=90)
            for name, data in (("jpg", image.getvalue()), ("txt", text)):
                member = tarfile.TarInfo(f"{n:09d}.{name}")
                member.size = len(data)
                tars[n % N_SHARDS].addfile(member, io.BytesIO(data))
            n += 1
    return n


def samples_of(photos: list[str], n_wanted: int) -> "Iterator[Sample]":
    from ncaudit.shards.discover import discover_shards
    from ncaudit.shards.read import read_samples
    from ncaudit.shards.samples import Sample

    for shard in discover_shards(photos):
        with Path(shard.path).open("rb") as file:
            for sample in read_samples(file):
                if isinstance(sample, Sample) and n_wanted:
                    n_wanted -= 1
                    yield sample


def compare(
    options: argparse.Namespace, model: str, folder: Path, n_images: int
) -> dict[str, object]:
    weights = folder / f"{model}.safetensors"
    if model != FEED:
        write_weights(model, weights)
    seconds: dict[str, list[dict[str, float]]] = {"ncaudit": [], "clip-retrieval": []}
    for _ in range(options.repeats):
        for tool, python in (("ncaudit", sys.executable), ("clip-retrieval", options.peer)):
            words = [str(folder / "shards"), "--run", tool, "--model", model]
            command = [python, __file__, *words, "--weights", str(weights)]
            done = subprocess.run(  # noqa: S603 - the command is ours
                command, check=True, stdout=subprocess.PIPE, text=True
            )
            seconds[tool].append(json.loads(done.stdout.splitlines()[-1]))
            print(model, tool, seconds[tool][-1], flush=True)
    best = {tool: min(each["wall_s"] for each in runs) for tool, runs in seconds.items()}
    pairs = zip(seconds["clip-retrieval"], seconds["ncaudit"], strict=True)
    return {
        "seconds": seconds,
        "images_per_s": {tool: round(n_images / value, 1) for tool, value in best.items()},
        "times_as_fast": round(statistics.median(a["wall_s"] / b["wall_s"] for a, b in pairs), 2),
    }


def write_weights(model: str, path: Path) -> None:
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    tensors = open_clip.create_model(model).state_dict()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


def n_cores() -> int:
    return len(os.sched_getaffinity(0))


class Stopwatch:
    """Wall and processor seconds from here on, child processes that ended included."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), self._processor()

    def read(self) -> dict[str, float]:
        """Return what was spent so far."""
        wall, cpu = time.perf_counter() - self._wall, self._processor() - self._cpu
        return {"wall_s": round(wall, 2), "processor_s": round(cpu, 2)}

    @staticmethod
    def _processor() -> float:
        spent = os.times()
        return spent.user + spent.system + spent.children_user + spent.children_system


def ours(model: str, shards: Path, weights: Path) -> dict[str, float]:
    import torch
    from throughput import NullEncoder

    from ncaudit.audit.embed import make_torch_repeatable
    from ncaudit.embeddings.embed_shard import EmbedOptions, embed_shard
    from ncaudit.encoders import load_encoder
    from ncaudit.shards.discover import discover_shards
    from ncaudit.types import EncoderCard, Fit, Preprocess

    make_torch_repeatable(n_cores())
    torch.set_num_threads(n_cores())
    if model == FEED:
        card = EncoderCard("null", True, 512, 512, "none", {}, "float32")  # noqa: FBT003
        encoder = NullEncoder(card, Preprocess(224, Fit.CROP))
    else:
        encoder = load_encoder(f"{model}/{weights}", "cpu")
        encoder.encode_captions(["to warm up"])
    options = EmbedOptions(decode_threads=n_cores())
    with tempfile.TemporaryDirectory() as temporary:
        watch = Stopwatch()
        for shard in discover_shards([str(shards)]):
            embed_shard(shard, Path(temporary) / shard.name, encoder, options)
        return watch.read()


def theirs(model: str, shards: Path, weights: Path) -> dict[str, float]:
    """Drive the parts of clip-retrieval's worker, so that loading is not counted."""
    from all_clip import load_clip
    from clip_retrieval.clip_inference.mapper import ClipMapper
    from clip_retrieval.clip_inference.reader import WebdatasetReader
    from clip_retrieval.clip_inference.writer import NumpyWriter

    paths, batch = [str(path) for path in sorted(shards.glob("*.tar"))], 64
    if model == FEED:
        import open_clip

        preprocess = open_clip.image_transform(224, is_train=False)
        tokenizer = open_clip.get_tokenizer("ViT-B-32")
    else:
        # Positional and named arguments are different entries of its cache.
        settings = {"clip_model": f"open_clip:{model}/{weights}", "use_jit": False}
        _, preprocess, tokenizer = load_clip(
            **settings, warmup_batch_size=batch, clip_cache_path=None
        )
        mapper = ClipMapper(
            enable_image=True,
            enable_text=True,
            enable_metadata=False,
            use_mclip=False,
            mclip_model="",
            warmup_batch_size=batch,
            **settings,
        )
    with tempfile.TemporaryDirectory() as temporary:
        watch = Stopwatch()
        reader = WebdatasetReader(
            lambda urls: urls, preprocess, tokenizer, paths, batch, n_cores()
        )
        writer = NumpyWriter(
            partition_id=0,
            output_folder=temporary,
            enable_text=True,
            enable_image=True,
            enable_metadata=False,
            output_partition_count=1,
        )
        for item in reader:
            if model != FEED:
                writer(mapper(item))
        if model != FEED:
            writer.flush()
        del reader  # its processes end, and their time counts
        return watch.read()


if __name__ == "__main__":
    main()
