"""CLIP-like models of open_clip: two towers that share one space.

float32 on CPU; bfloat16 autocast on CUDA, a road that has never been run by the authors.
"""

from collections.abc import Sequence
from functools import cached_property
from pickle import UnpicklingError  # noqa: TID251 - only to catch what torch.load refuses
from typing import Any

import numpy as np

from ncaudit.encoders.batches import FixedBatches
from ncaudit.encoders.checkpoint import Checkpoint, hub_file, resolve_checkpoint
from ncaudit.encoders.distinct import encode_distinct
from ncaudit.encoders.tensors import forward_precision, image_input, to_device, unit_rows
from ncaudit.errors import ConfigError, WeightsError, first_line
from ncaudit.files import digest_file
from ncaudit.types import EncoderCard, Fit, Floats, Ints, Pixels, Preprocess

_FITS = {"shortest": Fit.CROP, "squash": Fit.SQUASH}
_PREPROCESSING = ("size", "mean", "std", "interpolation", "resize_mode")
# What open_clip and torch raise for files that are damaged, unsafe or of another model.
_LOAD_ERRORS = (
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    UnpicklingError,
    ValueError,
)
_BATCH = {"cpu": 16, "cuda": 256}


def load_open_clip(name: str, device: str, *, torch_compile: bool = False) -> "OpenClipEncoder":
    """Load `MODEL/PRETRAINED`, where PRETRAINED is a tag or the path of a checkpoint.

    Compiled, the first batches take a minute or so, and rows differ in their last digits.

    Raises:
        ConfigError: If open_clip knows no such model or tag.
        WeightsError: If the weights cannot be found, fetched or loaded.
    """
    checkpoint = resolve_checkpoint(name)
    digest = digest_file(str(checkpoint.path))
    tokenizer = _load_tokenizer(checkpoint.model)
    model = _load_model(checkpoint)
    weights = {checkpoint.path.name: digest}
    return OpenClipEncoder(name, model, tokenizer, weights, device, torch_compile=torch_compile)


class OpenClipEncoder:
    """An open_clip model behind the `Encoder` protocol.

    Images are always resized antialiased bicubic, also for the few models trained with
    bilinear resizing.

    Args:
        name: Name on the card.
        model: An open_clip model in evaluation mode, on CPU.
        tokenizer: open_clip's tokenizer for it.
        weights: File name to sha256.
        device: "cpu" or "cuda".
        torch_compile: Whether both towers are compiled when they are first used.

    Raises:
        ConfigError: If the model wants images that are not square.
    """

    def __init__(
        self,
        name: str,
        model: Any,
        tokenizer: Any,
        weights: dict[str, str],
        device: str,
        *,
        torch_compile: bool = False,
    ) -> None:
        import torch

        settings = model.visual.preprocess_cfg
        self._preprocess = _preprocess(name, settings)
        self._name = name
        model = model.to(device)
        self._encode_image, self._encode_text = model.encode_image, model.encode_text
        if torch_compile:
            self._encode_image = torch.compile(model.encode_image)
            self._encode_text = torch.compile(model.encode_text)
        self._is_compiled = torch_compile
        self._tokenizer = tokenizer
        self._weights = weights
        self._device = device
        scale = torch.tensor(255.0, device=device)
        self._mean = torch.tensor(settings["mean"], device=device).view(3, 1, 1) * scale
        self._std = torch.tensor(settings["std"], device=device).view(3, 1, 1) * scale
        self._image_batches = FixedBatches(_BATCH[device], in_lanes=device == "cpu")
        self._caption_batches = FixedBatches(_BATCH[device], in_lanes=device == "cpu")

    @property
    def preprocess(self) -> Preprocess:
        """How files become the pixels that the model was trained on."""
        return self._preprocess

    @cached_property
    def card(self) -> EncoderCard:
        """Identity of the model; its width is found by encoding one caption."""
        dim = self._encode_distinct([""]).shape[1]
        return EncoderCard(
            name=self._name,
            aligned=True,
            image_dim=dim,
            caption_dim=dim,
            preprocess_id=self._preprocess.preprocess_id,
            weights=self._weights,
            dtype=self._dtype(),
        )

    def encode_images(self, pixels: Pixels) -> Floats:
        """Embed RGB pixels (n, size, size, 3) as unit rows (n, image_dim), float32."""
        if len(pixels) == 0:
            return np.empty((0, self.card.image_dim), np.float32)
        return self._image_batches.run(pixels, self._forward_images)

    def encode_captions(self, captions: Sequence[str]) -> Floats:
        """Embed captions as unit rows (n, caption_dim); equal ones are encoded once."""
        if len(captions) == 0:
            return np.empty((0, self.card.caption_dim), np.float32)
        return encode_distinct(captions, self._encode_distinct)

    def _dtype(self) -> str:
        dtype = "bfloat16" if self._device == "cuda" else "float32"
        return f"{dtype}, compiled" if self._is_compiled else dtype

    def _encode_distinct(self, captions: Sequence[str]) -> Floats:
        tokens = self._tokenizer(list(captions)).numpy()
        return self._caption_batches.run(tokens, self._forward_captions)

    def _forward_images(self, pixels: Pixels) -> Floats:
        import torch

        with torch.inference_mode(), forward_precision(self._device):
            images = image_input(pixels, self._device, self._mean, self._std)
            return unit_rows(self._encode_image(images))

    def _forward_captions(self, tokens: Ints) -> Floats:
        import torch

        with torch.inference_mode(), forward_precision(self._device):
            return unit_rows(self._encode_text(to_device(tokens, self._device)))


def _load_model(checkpoint: Checkpoint) -> Any:
    """Build the model and load the checkpoint as plain tensors.

    Raises:
        WeightsError: If the file cannot be read safely, or does not fit the model.
    """
    import open_clip
    from safetensors import SafetensorError

    settings = checkpoint.settings
    try:
        model = open_clip.create_model(
            checkpoint.model,
            pretrained=str(checkpoint.path),
            precision="fp32",
            device="cpu",
            force_quick_gelu=bool(settings.get("quick_gelu", False)),
            force_preprocess_cfg={k: settings[k] for k in _PREPROCESSING if k in settings},
            require_pretrained=True,
            weights_only=True,
        )
    except (*_LOAD_ERRORS, SafetensorError) as error:
        # torch goes on with advice to load the file unsafely.
        raise WeightsError(
            f"cannot load {checkpoint.path} as {checkpoint.model}: {first_line(error)}",
            hint="Check that the file holds plain tensors and belongs to this model.",
        ) from error
    return model.eval().requires_grad_(requires_grad=False)


def _load_tokenizer(model: str) -> Any:
    """Return open_clip's tokenizer; most come with it, some are on the hub.

    Raises:
        WeightsError: If the tokenizer is on a hub that cannot be reached.
    """
    import open_clip

    repo = open_clip.get_model_config(model)["text_cfg"].get("hf_tokenizer_name", "")
    if repo and not repo.startswith("/"):
        hub_file(
            repo,
            ["tokenizer_config.json", "config.json"],
            hint="This model's tokenizer is on the Hugging Face hub: fetch it once with a network.",
        )
    return open_clip.get_tokenizer(model)


def _preprocess(name: str, settings: dict[str, Any]) -> Preprocess:
    """Turn open_clip's preprocessing settings into ours."""
    size = settings["size"]
    sides = {size} if isinstance(size, int) else set(size)
    mode = settings["resize_mode"]
    if len(sides) != 1 or mode not in _FITS:
        raise ConfigError(
            f"{name} wants images resized to {size} by {mode!r}",
            hint="Choose a model with square input, resized by 'shortest' or 'squash'.",
        )
    return Preprocess(sides.pop(), _FITS[mode])
