"""The toy encoders as an installed package would bring them, so that worker processes know them."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ncaudit.types import Floats
from tests.support.installed import installed
from tests.support.toy_encoder import ToyEncoder

_GROUPS = {
    "ncaudit.encoders": {
        "toy": "tests.support.toy_encoder:load_toy",
        "toy-aligned": "tests.support.toy_encoder:load_toy_aligned",
        "toy-deadly": "tests.support.toy_plugin:load_deadly",
    }
}


@contextmanager
def toy_plugin(folder: Path) -> Iterator[Path]:
    """Let the toy encoders be known here and to processes that are started with `sys.path`."""
    with installed(folder, "toy-plugin", _GROUPS):
        yield folder


@dataclass(frozen=True)
class DeadlyEncoder(ToyEncoder):
    """Ends its process at a caption that says so."""

    def encode_captions(self, captions: Sequence[str]) -> Floats:
        if any("deadly" in caption for caption in captions):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode_captions(captions)


def load_deadly(_device: str) -> DeadlyEncoder:
    return DeadlyEncoder(aligned=True)
