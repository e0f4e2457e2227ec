"""Forward passes in batches of one fixed size.

Numeric libraries choose their kernels by the batch size, and kernels differ in the last
bits. With every batch padded to one size, a row's embedding does not depend on how many
rows were given with it.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ncaudit.devices import is_out_of_memory
from ncaudit.types import Floats

log = logging.getLogger(__name__)


class FixedBatches:
    """Splits rows into batches of `size`, padding the last one with its last row.

    When a device runs out of memory the size is halved, for good, and the batch is tried
    again. The halved size may change the last bits of what follows.

    Args:
        size: Rows of a batch.
        in_lanes: Whether to run batches side by side, each on one of torch's threads. On a
            processor that is faster than all threads on one batch, and gives the same bits.
    """

    def __init__(self, size: int, *, in_lanes: bool = False) -> None:
        self.size = size
        self._in_lanes = in_lanes

    def run(self, rows: NDArray[Any], forward: Callable[[NDArray[Any]], Floats]) -> Floats:
        """Apply `forward` to all rows, batch by batch.

        Args:
            rows: At least one row, shape (n, ...).
            forward: Maps (size, ...) to (size, d), row by row.

        Returns:
            Shape (n, d).

        Raises:
            RuntimeError: If not even one row fits, see `is_out_of_memory`.
        """
        import torch

        lanes = min(torch.get_num_threads(), -(-len(rows) // self.size))
        if self._in_lanes and lanes > 1:
            return np.concatenate(self._side_by_side(rows, forward, lanes))
        parts: list[Floats] = []
        start = 0
        while start < len(rows):
            batch = rows[start : start + self.size]
            try:
                parts.append(forward(_pad(batch, self.size))[: len(batch)])
                start += len(batch)
                continue
            except RuntimeError as error:
                if self.size == 1 or not is_out_of_memory(error):
                    raise
            # Outside of the handler: the error holds on to what did not fit.
            self._halve()
        return np.concatenate(parts)

    def _side_by_side(
        self, rows: NDArray[Any], forward: Callable[[NDArray[Any]], Floats], lanes: int
    ) -> list[Floats]:
        import torch

        def run(start: int) -> Floats:
            batch = rows[start : start + self.size]
            return forward(_pad(batch, self.size))[: len(batch)]

        n_threads = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(
                lanes, initializer=torch.set_num_threads, initargs=(1,)
            ) as pool:
                return list(pool.map(run, range(0, len(rows), self.size)))
        finally:
            # The lanes set it for threads to come, too.
            torch.set_num_threads(n_threads)

    def _halve(self) -> None:
        import torch

        self.size //= 2
        torch.cuda.empty_cache()
        log.warning("the device is out of memory: encoding goes on with batches of %d", self.size)


def _pad(batch: NDArray[Any], size: int) -> NDArray[Any]:
    missing = size - len(batch)
    return np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]) if missing else batch
