"""A real Ray cluster of two nodes on this machine."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}
_ROOT = Path(__file__).parents[2]


@contextmanager
def ray_cluster(*folders: Path) -> Iterator[Any]:
    """Start two nodes with one core each, whose workers find the tests and `folders`."""
    pytest.importorskip("ray", reason="needs the extra ray")
    # Ray leaves its log files and sockets for the interpreter to close.
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        patch.setenv("PYTHONPATH", os.pathsep.join(str(path) for path in (_ROOT, *folders)))
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("RAY_health_check_period_ms", "500")
        patch.setenv("RAY_health_check_failure_threshold", "2")
        from ray.cluster_utils import Cluster

        cluster = Cluster(
            initialize_head=True, head_node_args={**_NODE, "include_dashboard": False}
        )
        try:
            cluster.add_node(**_NODE)
            yield cluster
        finally:
            cluster.shutdown()
