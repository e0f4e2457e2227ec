"""Frozen image and caption encoders.

`ENCODERS` holds those with a name of their own; `MODEL/PRETRAINED` is an open_clip model.
"""

from dataclasses import asdict

from ncaudit.encoders.base import Encoder
from ncaudit.errors import ConfigError
from ncaudit.files import digest_json
from ncaudit.registry import Registry
from ncaudit.types import EncoderCard

ENCODERS: Registry[Encoder] = Registry(
    "encoder",
    {
        "bundled": "ncaudit.encoders.bundled:load_default",
        "bundled-lite0": "ncaudit.encoders.bundled:load_lite0",
        "bundled-lite2": "ncaudit.encoders.bundled:load_lite2",
    },
)


def load_encoder(name: str, device: str, *, torch_compile: bool = False) -> Encoder:
    """Load an encoder by the name given to `--encoder`.

    Args:
        name: A name in `ENCODERS`, or `MODEL/PRETRAINED` of open_clip, where PRETRAINED
            is a tag or the path of a checkpoint.
        device: "cpu" or "cuda", see `ncaudit.devices.resolve_device`.
        torch_compile: Whether its forward passes are compiled; models of open_clip only.

    Raises:
        ConfigError: If no encoder, model or tag has that name, or it cannot be compiled.
        WeightsError: If its weights are missing, unreadable or not the pinned ones.
    """
    if "/" not in name:
        if torch_compile:
            raise ConfigError(
                f"{name} cannot be compiled",
                hint="Leave --torch-compile out, or use a model of open_clip.",
            )
        return ENCODERS.load(name)(device)
    from ncaudit.encoders.open_clip import load_open_clip

    return load_open_clip(name, device, torch_compile=torch_compile)


def encoder_card_digest(card: EncoderCard) -> str:
    """Return the sha256 of a card's canonical JSON as hex: the embedding cache's key."""
    return digest_json(asdict(card))
