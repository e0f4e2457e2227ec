import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from ncaudit.engine import open_engine
from ncaudit.engine.base import EngineOptions, Record
from ncaudit.engine.ray_cluster import _rooms
from ncaudit.errors import ConfigError
from ncaudit.testing.engine_tasks import MakeWriter, Task, tasks
from tests.support.ray_nodes import ray_cluster


def join(address: str) -> None:
    with open_engine(EngineOptions(name="ray", address=address), "cpu"):
        raise AssertionError("joined")


def node(cpus: float, gpus: float = 0, *, alive: bool = True) -> dict[str, Any]:
    return {"Alive": alive, "Resources": {"CPU": cpus, "GPU": gpus}}


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match="ray") as caught:
        join("auto")
    assert "ncaudit[ray]" in caught.value.hint


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:1"])
def test_an_address_where_nothing_answers_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=address):
        join(address)


@pytest.mark.slow
def test_an_address_that_stays_silent_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ncaudit.engine.ray_cluster._ANSWER_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ConfigError, match=address) as caught:
            join(address)
    assert "ray start --head" in caught.value.hint


@pytest.mark.parametrize(
    ("nodes", "wanted", "gpus", "rooms"),
    [
        ([node(1), node(1)], 0, 0, (2, 1)),
        ([node(16), node(16)], 0, 0, (8, 4)),
        ([node(16), node(4)], 2, 0, (2, 4)),
        ([node(2), node(2)], 9, 0, (4, 1)),
        ([node(16, 2), node(16)], 0, 0.5, (4, 4)),
        ([node(16), node(16, alive=False)], 0, 0, (4, 4)),
    ],
)
def test_workers_fit_on_the_nodes(
    nodes: list[dict[str, Any]], wanted: int, gpus: float, rooms: tuple[int, int]
) -> None:
    assert _rooms(nodes, wanted, gpus, "cuda" if gpus else "cpu") == rooms


def test_a_cluster_without_the_gpus_of_one_worker_is_refused() -> None:
    with pytest.raises(ConfigError, match="1 GPUs"):
        _rooms([node(8)], 0, 1, "cuda")


@pytest.mark.slow
def test_a_node_that_dies_is_survived(tmp_path: Path) -> None:
    done: dict[str, Record] = {}
    with ray_cluster() as cluster:
        node = cluster.worker_nodes.copy().pop()

        def lose_a_node(task: Task, record: Record) -> None:
            if not done:
                cluster.remove_node(node, allow_graceful=False)
            done[task.name] = record

        options = EngineOptions(name="ray", address=cluster.address, workers=2)
        with open_engine(options, "cpu") as engine:
            wanted = tasks(tmp_path, "work", *["wait a while"] * 3)
            failures = engine.run(wanted, MakeWriter(tmp_path), lose_a_node)
    assert failures == []
    assert set(done) == {task.name for task in wanted}
