"""Set before anything imports torch or numpy: test processes share the cores."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# A shell lets what it runs in the background ignore this signal, and children inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# The same examples each time; `--hypothesis-profile explore` looks for others.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("explore")
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Let worker processes know the toy encoders; returns the folder that says so."""
    from tests.support.toy_plugin import toy_plugin

    with toy_plugin(tmp_path_factory.mktemp("plugin")) as folder:
        yield folder


@pytest.fixture(scope="session")
def two_nodes(toys: Path) -> Iterator[Any]:
    """A Ray cluster of two nodes that knows the toy encoders; yields its address."""
    from tests.support.ray_nodes import ray_cluster

    with ray_cluster(toys) as cluster:
        yield cluster.address
