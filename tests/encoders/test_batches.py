"""Fixed batches, and what happens when one does not fit on the device."""

import numpy as np
import pytest
import torch

from ncaudit.encoders.batches import FixedBatches
from ncaudit.types import Floats


def test_every_batch_has_the_same_size() -> None:
    sizes: list[int] = []

    def forward(rows: Floats) -> Floats:
        sizes.append(len(rows))
        return rows * 2

    rows = np.arange(10.0).reshape(10, 1)
    np.testing.assert_array_equal(FixedBatches(4).run(rows, forward), rows * 2)
    assert sizes == [4, 4, 4]


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_out_of_memory_halves_the_batch_for_good(error: RuntimeError) -> None:
    sizes: list[int] = []

    def forward(rows: Floats) -> Floats:
        sizes.append(len(rows))
        if len(rows) > 2:
            raise error
        return rows

    batches = FixedBatches(8)
    rows = np.arange(5.0).reshape(5, 1)
    np.testing.assert_array_equal(batches.run(rows, forward), rows)
    assert (sizes, batches.size) == ([8, 4, 2, 2, 2], 2)


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_one_row_that_does_not_fit_is_an_error(error: RuntimeError) -> None:
    def forward(_: Floats) -> Floats:
        raise error

    with pytest.raises(RuntimeError) as caught:
        FixedBatches(4).run(np.zeros((3, 1)), forward)
    assert caught.value is error


def test_another_error_of_the_device_halves_nothing() -> None:
    def forward(_: Floats) -> Floats:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    batches = FixedBatches(4)
    with pytest.raises(RuntimeError, match="illegal"):
        batches.run(np.zeros((3, 1)), forward)
    assert batches.size == 4


def test_lanes_keep_the_order_and_the_number_of_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        rows = np.arange(20, dtype=np.float32).reshape(10, 2)
        found = FixedBatches(3, in_lanes=True).run(rows, lambda batch: batch * 2)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert (found == rows * 2).all()


def test_an_error_in_a_lane_is_raised() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)

    def fail(_batch: np.ndarray) -> np.ndarray:
        raise ValueError("no")

    try:
        with pytest.raises(ValueError, match="no"):
            FixedBatches(2, in_lanes=True).run(np.zeros((8, 2)), fail)
    finally:
        torch.set_num_threads(before)
