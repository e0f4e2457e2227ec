"""The way of arrays onto a device and of embeddings back.

The CUDA branches have never been run by the authors: no CUDA machine was at hand.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ncaudit.types import Floats

if TYPE_CHECKING:
    import torch


def to_device(array: NDArray[Any], device: str) -> "torch.Tensor":
    """Copy an array to a device; for CUDA through pinned memory, without waiting."""
    import torch

    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def image_input(
    pixels: NDArray[np.uint8], device: str, mean: "torch.Tensor", std: "torch.Tensor"
) -> "torch.Tensor":
    """Normalise pixels on the device; they travel there as bytes.

    Args:
        pixels: Shape (n, size, size, 3), uint8.
        device: "cpu" or "cuda".
        mean: Subtracted from pixels in 0..255, shape (3, 1, 1), on the device.
        std: Divides the difference, same shape.

    Returns:
        Shape (n, 3, size, size), float32, channels last in memory.
    """
    return (to_device(pixels, device).permute(0, 3, 1, 2).float() - mean) / std


def forward_precision(device: str) -> AbstractContextManager[object]:
    """Return the context of a forward pass: bfloat16 autocast on CUDA, nothing on CPU."""
    import torch

    return torch.autocast("cuda", dtype=torch.bfloat16) if device == "cuda" else nullcontext()


def unit_rows(features: "torch.Tensor") -> Floats:
    """Return features (n, d) as float32 unit rows in host memory."""
    import torch

    rows: Floats = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
    return rows
