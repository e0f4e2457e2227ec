"""Which device the encoders run on, and what a run says about it."""

import os
import platform
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ncaudit.errors import ConfigError

DEVICES = ("auto", "cpu", "cuda")
_QUIET = {"GOMP_SPINCOUNT": "10000", "OPENBLAS_THREAD_TIMEOUT": "16"}
_TORCH_NAME = "OutOfMemoryError"
_NO_MEMORY = ("out of memory", "alloc_failed", "can't allocate memory", "not enough memory")


def resolve_device(name: str) -> str:
    """Turn a `--device` setting into the device to use.

    Args:
        name: "auto", "cpu" or "cuda"; "auto" is CUDA where there is one.

    Raises:
        ConfigError: If `name` is none of these, or CUDA is asked for and absent.
    """
    if name not in DEVICES:
        raise ConfigError(f"unknown device {name!r}", hint=f"Known: {', '.join(DEVICES)}.")
    if name == "cpu":
        return name
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if name == "cuda":
        raise ConfigError(
            "no CUDA device is visible to torch",
            hint="Use --device cpu, or install a CUDA build of torch and check nvidia-smi.",
        )
    return "cpu"


def describe_device(device: str = "cpu") -> dict[str, object]:
    """Return what may change the last digits of an embedding, for run.json.

    Args:
        device: A device that `resolve_device` returned.

    Returns:
        Device name, cores, threads, processor features and library versions; JSON-ready.
    """
    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else _processor_name()
    return {
        "device": device,
        "name": name,
        "n_cores": usable_cores(),
        "n_threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "fast_bfloat16": has_fast_bfloat16(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether torch, or Python, could not get the memory it asked for.

    Only some of it is a `torch.OutOfMemoryError`: drivers, libraries of the vendor and the
    processor's allocator raise a plain RuntimeError, which its text tells apart.
    """
    if isinstance(error, RuntimeError):
        text = str(error).lower()
        return any(words in text for words in _NO_MEMORY) or type(error).__name__ == _TORCH_NAME
    return isinstance(error, MemoryError)


def usable_cores() -> int:
    """Return how many processor cores this process may use; OMP_NUM_THREADS may say fewer."""
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min(cores, int(allowed)) if allowed.isdecimal() and int(allowed) else cores


def wait_quietly() -> None:
    """Let idle threads of this process and its children go to sleep soon.

    numpy, torch and FAISS each bring threads of their own, and those that have just worked
    spin for a while: where these libraries take turns, they take the cores from each other.
    It must be called before the first of them is imported; what is set already stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)


@contextmanager
def one_thread() -> Generator[None]:
    """Let torch use one thread: products this small cost more to share than to compute."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def has_fast_bfloat16() -> bool:
    """Tell whether this processor multiplies bfloat16 in hardware (AVX512-BF16 or AMX).

    Without that, oneDNN emulates bfloat16, which is slower than float32.
    """
    import torch

    if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2"):
        return False
    # Private names of torch: a version without them gets float32, which is always right.
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, _no)() for check in checks)


def _no() -> bool:
    return False


def _processor_name() -> str:
    """Return the model name from /proc/cpuinfo, else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line for line in lines if line.startswith("model name")]
    return models[0].partition(":")[2].strip() if models else platform.processor()
