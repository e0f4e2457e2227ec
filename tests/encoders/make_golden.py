"""Write golden.json: what other people's code says about two images and four captions.

Needs `pip install efficientnet-lite-pytorch sentence-transformers`, which no test needs.
From the project's root: python -m tests.encoders.make_golden
"""

import json
from pathlib import Path

import torch
from efficientnet_lite_pytorch import EfficientNet
from sentence_transformers import SentenceTransformer

from ncaudit.encoders.efficientnet import LITE0, LITE2, Variant
from ncaudit.encoders.minilm import WEIGHTS
from ncaudit.testing.encoders import waves

IMAGE_STRIDE = 40
CAPTIONS = [
    "A brown dog runs over the beach.",
    "naïve café — 日本語 [PAD] twice",
    "",
    "one caption of far more than 256 tokens " * 40,
]


def image_rows(variant: Variant) -> torch.Tensor:
    name = variant.architecture.removeprefix("tf_").replace("_", "-")
    model = EfficientNet.from_pretrained(name, weights_path=str(variant.weights.locate()))
    pixels = torch.from_numpy(waves(2, variant.preprocess.size_px))
    with torch.inference_mode():
        features = model.eval().extract_features((pixels.permute(0, 3, 1, 2) - 127.0) / 128)
    return torch.nn.functional.normalize(features.mean((2, 3)), dim=-1)[:, ::IMAGE_STRIDE]


def main() -> None:
    sentences = SentenceTransformer(str(WEIGHTS.locate().parent), device="cpu")
    rows = {variant.architecture: image_rows(variant).tolist() for variant in (LITE0, LITE2)}
    rows["minilm"] = sentences.encode(CAPTIONS, normalize_embeddings=True).tolist()
    golden = {
        name: [[round(value, 7) for value in row] for row in matrix]
        for name, matrix in rows.items()
    }
    path = Path(__file__).with_name("golden.json")
    path.write_text(json.dumps({"captions": CAPTIONS, **golden}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
