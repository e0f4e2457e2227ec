"""Write golden.json: what the reference port of EfficientNet-lite says about two images.

Needs `pip install efficientnet-lite-pytorch`, which no test needs. From the project's root:
python -m tests.encoders.make_golden
"""

import json
from pathlib import Path

import torch
from efficientnet_lite_pytorch import EfficientNet

from ncaudit.encoders.efficientnet import LITE0, LITE2
from tests.encoders.synthetic import waves

STRIDE = 80


def main() -> None:
    golden = {}
    for variant in (LITE0, LITE2):
        name = variant.architecture.removeprefix("tf_").replace("_", "-")
        model = EfficientNet.from_pretrained(name, weights_path=str(variant.weights.locate()))
        pixels = torch.from_numpy(waves(2, variant.preprocess.size_px))
        with torch.inference_mode():
            features = model.eval().extract_features((pixels.permute(0, 3, 1, 2) - 127.0) / 128)
            rows = torch.nn.functional.normalize(features.mean((2, 3)), dim=-1)
        golden[variant.architecture] = [
            [round(value, 7) for value in row] for row in rows[:, ::STRIDE].tolist()
        ]
    path = Path(__file__).with_name("golden.json")
    path.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
