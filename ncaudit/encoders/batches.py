"""Forward passes in batches of one fixed size.

Numeric libraries choose their kernels by the batch size, and kernels differ in the last
bits. With every batch padded to one size, a row's embedding does not depend on how many
rows were given with it.
"""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncaudit.types import Floats

log = logging.getLogger(__name__)


class FixedBatches:
    """Splits rows into batches of `size`, padding the last one with its last row.

    When a device runs out of memory the size is halved, for good, and the batch is tried
    again. The halved size may change the last bits of what follows.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def run(self, rows: NDArray[Any], forward: Callable[[NDArray[Any]], Floats]) -> Floats:
        """Apply `forward` to all rows, batch by batch.

        Args:
            rows: At least one row, shape (n, ...).
            forward: Maps (size, ...) to (size, d), row by row.

        Returns:
            Shape (n, d).

        Raises:
            torch.cuda.OutOfMemoryError: If not even one row fits.
        """
        import torch

        parts: list[Floats] = []
        start = 0
        while start < len(rows):
            batch = rows[start : start + self.size]
            try:
                parts.append(forward(_pad(batch, self.size))[: len(batch)])
            except torch.cuda.OutOfMemoryError:
                if self.size == 1:
                    raise
                self._halve()
            else:
                start += len(batch)
        return np.concatenate(parts)

    def _halve(self) -> None:
        import torch

        self.size //= 2
        torch.cuda.empty_cache()
        log.warning("the device is out of memory: encoding goes on with batches of %d", self.size)


def _pad(batch: NDArray[Any], size: int) -> NDArray[Any]:
    missing = size - len(batch)
    return np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]) if missing else batch
