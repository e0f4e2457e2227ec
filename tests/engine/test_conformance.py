"""What every engine promises."""

from pathlib import Path
from typing import Any

import pytest

from ncaudit.engine.base import Engine
from ncaudit.errors import InputError
from tests.support.engine_tasks import MakeWriter, Task, tasks


def run(engine: Engine, folder: Path, *does: str) -> tuple[dict[str, Any], list[Any]]:
    records: dict[str, Any] = {}

    def on_done(task: Task, record: dict[str, Any]) -> None:
        assert task.name not in records
        records[task.name] = record

    failures = engine.run(tasks(folder, *does), MakeWriter(folder), on_done)
    return records, failures


def n_built(folder: Path) -> int:
    return len(list(folder.glob("built-*")))


def test_every_task_is_done_once(engine: Engine, tmp_path: Path) -> None:
    records, failures = run(engine, tmp_path, *["work"] * 5)
    assert failures == []
    assert {name: record["index"] for name, record in records.items()} == {
        f"shard-{index}": index for index in range(5)
    }
    assert all((tmp_path / name).read_text() == name for name in records)


def test_models_are_built_once_per_worker(engine: Engine, tmp_path: Path) -> None:
    records, _ = run(engine, tmp_path, *["work"] * 6)
    assert n_built(tmp_path) == len({record["pid"] for record in records.values()}) <= 2


def test_an_engine_runs_one_stage_after_another(engine: Engine, tmp_path: Path) -> None:
    for stage in ("a", "b"):
        (tmp_path / stage).mkdir()
        records, _ = run(engine, tmp_path / stage, "work", "work")
        assert len(records) == 2


def test_no_tasks_need_no_worker(engine: Engine, tmp_path: Path) -> None:
    assert run(engine, tmp_path) == ({}, [])
    assert n_built(tmp_path) == 0


def test_what_the_work_raises_arrives_as_it_is(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="shard-1 is refused") as caught:
        run(engine, tmp_path, "work", "refuse")
    assert caught.value.hint == "Choose another."


def test_a_full_disk_is_told_from_other_errors(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        run(engine, tmp_path, "full disk")
    assert caught.value.errno == 28


def test_a_shard_whose_worker_dies_is_done_by_another(crew_engine: Engine, tmp_path: Path) -> None:
    records, failures = run(crew_engine, tmp_path, "killed once", "work", "work")
    assert failures == []
    assert set(records) == {"shard-0", "shard-1", "shard-2"}


def test_a_shard_that_kills_every_worker_is_reported_and_the_others_are_done(
    crew_engine: Engine, tmp_path: Path
) -> None:
    records, (failure,) = run(crew_engine, tmp_path, "work", "abort", "work", "work")
    assert (failure.name, failure.index) == ("shard-1", 1)
    assert failure.detail
    assert set(records) == {"shard-0", "shard-2", "shard-3"}
