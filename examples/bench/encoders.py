"""Measure the image tower's variants and the caption tower on real shards.

Every variant sees every chunk of images before the next chunk comes, so that a busy
machine slows all of them alike. Beside images per second it prints images per second of
processor time, which other people's load changes less; it means most with --threads 1.

python examples/bench/encoders.py SHARDS... [--n-images 640] [--threads 1] [--json PATH]
"""

import argparse
import importlib.util
import io
import json
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ncaudit.devices import describe_device
from ncaudit.encoders import load_encoder
from ncaudit.encoders.efficientnet import (
    LITE0,
    LITE2,
    ImageTower,
    Variant,
    load_model,
    load_unfolded,
)

Encode = Callable[[np.ndarray], np.ndarray]
VARIANTS = {"lite0": LITE0, "lite2": LITE2}
CHUNK = 32
REFERENCE = "timm float32"


def main() -> None:
    options = parse_options()
    torch.set_num_threads(options.threads)
    variant = VARIANTS[options.variant]
    pixels, captions = read_pairs(options.shards, options.n_images, variant.preprocess.size_px)
    images = measure_images(towers(variant, options.batch), pixels)
    result = {
        "variant": options.variant,
        "n_images": len(pixels),
        "batch_of_plain_variants": options.batch,
        "images": images,
        "captions": measure_captions(captions),
        "machine": describe_device(),
        "commit": commit(),
    }
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", nargs="+", type=Path)
    parser.add_argument("--n-images", type=int, default=640)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=CHUNK, help="of the plain variants")
    parser.add_argument("--variant", choices=VARIANTS, default="lite0")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def read_pairs(shards: list[Path], n_images: int, size_px: int) -> tuple[np.ndarray, list[str]]:
    """Read the first images, cropped as the encoder wants them, and as many captions."""
    images: list[np.ndarray] = []
    captions: list[str] = []
    for name, content in members(shards):
        if name.endswith(".jpg") and len(images) < n_images:
            images.append(square(content, size_px))
        elif name.endswith(".txt") and len(captions) < n_images:
            captions.append(content.decode())
    return np.stack(images), captions


def members(shards: list[Path]) -> Iterator[tuple[str, bytes]]:
    for shard in shards:
        with tarfile.open(shard) as tar:
            for member in tar:
                file = tar.extractfile(member)
                if file is not None:
                    yield member.name, file.read()


def square(content: bytes, size_px: int) -> np.ndarray:
    image = Image.open(io.BytesIO(content)).convert("RGB")
    scale = size_px / min(image.size)
    width, height = (max(size_px, round(side * scale)) for side in image.size)
    left, top = (width - size_px) // 2, (height - size_px) // 2
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized.crop((left, top, left + size_px, top + size_px)))


def towers(variant: Variant, batch: int) -> dict[str, Encode]:
    """Return name to encode function: the plain ones first, then what ncaudit ships."""
    size = variant.preprocess.size_px
    channels_last = torch.channels_last
    fused = folded(variant).to(memory_format=channels_last)
    traced = torch.jit.trace(fused, torch.zeros(batch, 3, size, size))
    found: dict[str, Encode] = {
        REFERENCE: plain(unfolded(variant), batch, torch.contiguous_format),
        "timm float32, channels last": plain(
            unfolded(variant).to(memory_format=channels_last), batch, channels_last
        ),
        "folded float32": plain(fused, batch, channels_last),
        "folded float32, jit freeze": plain(torch.jit.freeze(traced), batch, channels_last),
        "folded bfloat16": plain(
            folded(variant).to(torch.bfloat16, memory_format=channels_last),
            batch,
            channels_last,
            torch.bfloat16,
        ),
        "ncaudit float32": ImageTower(folded(variant), "cpu", mixed=False).encode,
        "ncaudit mixed": ImageTower(folded(variant), "cpu", mixed=True).encode,
    }
    if importlib.util.find_spec("efficientnet_lite_pytorch"):
        found = {"port": plain(port(variant), batch, torch.contiguous_format)} | found
    return found


def folded(variant: Variant) -> torch.nn.Module:
    return load_model(variant.architecture, variant.weights.locate())


def unfolded(variant: Variant) -> torch.nn.Module:
    return load_unfolded(variant.architecture, variant.weights.locate())


def port(variant: Variant) -> torch.nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            name = variant.architecture.removeprefix("tf_").replace("_", "-")
            path = str(variant.weights.locate())
            self.model = EfficientNet.from_pretrained(name, weights_path=path).eval()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.model.extract_features(images).mean((2, 3))

    return Pooled()


def plain(
    model: torch.nn.Module,
    batch: int,
    layout: torch.memory_format,
    dtype: torch.dtype = torch.float32,
) -> Encode:
    def encode(pixels: np.ndarray) -> np.ndarray:
        rows = []
        with torch.inference_mode():
            for part in torch.from_numpy(pixels).split(batch):
                images = ((part.permute(0, 3, 1, 2).float() - 127) / 128).to(dtype)
                features = model(images.contiguous(memory_format=layout)).float()
                rows.append(torch.nn.functional.normalize(features, dim=-1))
        return torch.cat(rows).numpy()

    return encode


def measure_images(encoders: dict[str, Encode], pixels: np.ndarray) -> list[dict[str, object]]:
    wall, cpu = dict.fromkeys(encoders, 0.0), dict.fromkeys(encoders, 0.0)
    rows: dict[str, list[np.ndarray]] = {name: [] for name in encoders}
    for encode in encoders.values():
        encode(pixels[:CHUNK])
    for start in range(0, len(pixels), CHUNK):
        for name, encode in encoders.items():
            at, cpu_at = time.perf_counter(), time.process_time()
            rows[name].append(encode(pixels[start : start + CHUNK]))
            wall[name] += time.perf_counter() - at
            cpu[name] += time.process_time() - cpu_at
    exact = np.concatenate(rows[REFERENCE])
    return [
        {
            "name": name,
            "images_per_s": round(len(pixels) / wall[name], 1),
            "images_per_cpu_s": round(len(pixels) / cpu[name], 1),
            **agreement(np.concatenate(rows[name]), exact),
        }
        for name in encoders
    ]


def agreement(rows: np.ndarray, exact: np.ndarray) -> dict[str, object]:
    cosines = (rows.astype(np.float64) * exact).sum(axis=1)
    return {
        "cosine_min": round(float(cosines.min()), 6),
        "cosine_mean": round(float(cosines.mean()), 6),
        "n_below_0.999": int((cosines < 0.999).sum()),
    }


def measure_captions(captions: list[str]) -> dict[str, object]:
    encoder = load_encoder("bundled", "cpu")
    encoder.encode_captions(captions[:CHUNK])
    at, cpu_at = time.perf_counter(), time.process_time()
    encoder.encode_captions(captions)
    wall, cpu = time.perf_counter() - at, time.process_time() - cpu_at
    return {
        "n_captions": len(captions),
        "n_distinct": len(set(captions)),
        "captions_per_s": round(len(captions) / wall, 1),
        "captions_per_cpu_s": round(len(captions) / cpu, 1),
    }


def commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip()


def show(result: dict[str, object]) -> None:
    print(f"{'variant':30} images/s  per cpu s  cosine min     mean  below 0.999")
    for row in result["images"]:
        print(
            f"{row['name']:30} {row['images_per_s']:8} {row['images_per_cpu_s']:10}"
            f" {row['cosine_min']:11} {row['cosine_mean']:8} {row['n_below_0.999']:12}"
        )
    print(json.dumps(result["captions"]))


if __name__ == "__main__":
    main()
