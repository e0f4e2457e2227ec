"""The encoders under test; the open_clip one is tiny and random, and lies on disk."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ncaudit.encoders import load_encoder
from ncaudit.encoders.base import Encoder

TINY_MODEL = "ncaudit-tiny"
TINY_CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {
        "image_size": 32,
        "layers": 1,
        "width": 32,
        "head_width": 16,
        "patch_size": 16,
    },
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="session")
def save_tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], str]:
    """Return a function that writes random weights and returns the encoder's name."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("open_clip")
    config = folder / f"{TINY_MODEL}.json"
    config.write_text(json.dumps(TINY_CONFIG))
    open_clip.add_model_config(config)

    def save(file_name: str, seed: int) -> str:
        torch.manual_seed(seed)
        tensors = open_clip.create_model(TINY_MODEL).state_dict()
        path: Path = folder / file_name
        if path.suffix == ".pt":
            torch.save({"state_dict": tensors}, path)
        else:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
        return f"{TINY_MODEL}/{path}"

    return save


@pytest.fixture(
    scope="session",
    params=[
        "bundled-lite0",
        pytest.param("bundled-lite2", marks=pytest.mark.slow),
        "tiny.safetensors",
        "tiny.pt",
    ],
)
def encoder(request: pytest.FixtureRequest, save_tiny: Callable[[str, int], str]) -> Encoder:
    """Every kind of encoder, loaded once."""
    name = request.param
    return load_encoder(save_tiny(name, 0) if "." in name else name, "cpu")
