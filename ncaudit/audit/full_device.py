"""A device without memory is nobody's bug: it ends a run in a way that says how to go on."""

from collections.abc import Generator
from contextlib import contextmanager

from ncaudit.devices import is_out_of_memory
from ncaudit.errors import ShardsFailedError


@contextmanager
def full_device_is_deliberate(device: str) -> Generator[None]:
    """Turn the error of a device that is out of memory into one with a hint.

    Batches are halved before: what arrives here does not fit one at a time.

    Args:
        device: "cpu" or "cuda".

    Raises:
        ShardsFailedError: If there is no memory left; what is finished stays.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        other = "fewer --workers" if device == "cpu" else "--device cpu"
        raise ShardsFailedError(
            f"{device} is out of memory, even for one image or caption at a time",
            hint=f"Free some memory and run the same command again, or use {other}.",
        ) from error
