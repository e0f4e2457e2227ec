import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ncaudit.engine import ranks as module
from ncaudit.engine.local import LocalEngine
from ncaudit.engine.ranks import Rank, find_rank, follow, lead
from ncaudit.errors import ConfigError, ShardsFailedError
from ncaudit.testing.engine_tasks import MakeWriter, tasks


@pytest.mark.parametrize(
    ("environ", "rank"),
    [
        ({}, None),
        ({"RANK": "1", "WORLD_SIZE": "4"}, Rank(1, 4)),
        ({"RANK": "0", "WORLD_SIZE": "1"}, None),
        ({"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "3"}, Rank(2, 3)),
        # The script of a batch job: nothing was started with srun.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, None),
    ],
)
def test_the_rank_is_what_the_launcher_says(environ: dict[str, str], rank: Rank | None) -> None:
    assert find_rank(environ) == rank


@pytest.mark.parametrize(("rank", "size"), [("4", "4"), ("x", "2"), ("-1", "2"), ("0", "")])
def test_what_is_no_rank_is_refused(rank: str, size: str) -> None:
    with pytest.raises(ConfigError, match="RANK"):
        find_rank({"RANK": rank, "WORLD_SIZE": size})


def test_every_shard_has_one_owner() -> None:
    owners = [[rank for rank in range(3) if Rank(rank, 3).owns(index)] for index in range(7)]
    assert owners == [[0], [1], [2], [0], [1], [2], [0]]


def _beside(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Run `work` in a thread; what it returns or raises is in the list afterwards."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except Exception as error:  # noqa: BLE001 - the tests look at what it is
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


def test_ranks_share_the_shards_and_the_first_hears_of_all(tmp_path: Path) -> None:
    wanted = tasks(tmp_path, *["work"] * 5)
    of_second: list[str] = []

    def second() -> Any:
        with follow(Rank(1, 2), tmp_path, "same") as follower:
            engine = follower.share(LocalEngine(1))
            engine.run(wanted, MakeWriter(tmp_path), lambda task, _: of_second.append(task.name))
            return follower.hear("fitted")

    thread, said = _beside(second)
    of_first: list[str] = []
    with lead(Rank(0, 2), tmp_path, "same") as leader:
        assert leader is not None
        engine = leader.share(LocalEngine(1))
        engine.run(wanted, MakeWriter(tmp_path), lambda task, _: of_first.append(task.name))
        leader.say("fitted", {"key": "k"})
        thread.join()
    assert of_second == ["shard-1", "shard-3"]
    assert sorted(of_first) == [task.name for task in wanted]
    assert said == [{"key": "k"}]


def test_the_first_rank_does_what_looked_done_to_another(tmp_path: Path) -> None:
    def second() -> None:
        with follow(Rank(1, 2), tmp_path, "same") as follower:
            follower.share(LocalEngine(1)).run([], MakeWriter(tmp_path), lambda *_: None)
            follower.hear("end")

    thread, _ = _beside(second)
    done: list[str] = []
    with lead(Rank(0, 2), tmp_path, "same") as leader:
        assert leader is not None
        engine = leader.share(LocalEngine(1))
        engine.run(
            tasks(tmp_path, "work", "work"),
            MakeWriter(tmp_path),
            lambda task, _: done.append(task.name),
        )
    thread.join()
    assert done == ["shard-0", "shard-1"]


def test_a_rank_with_another_command_is_refused(tmp_path: Path) -> None:
    def second() -> None:
        with follow(Rank(1, 2), tmp_path, "other"):
            raise AssertionError("met")

    thread, (found) = _beside(second)
    with lead(Rank(0, 2), tmp_path, "same"):
        thread.join()
    assert isinstance(found[0], ConfigError)


def test_the_others_stop_when_the_first_fails(tmp_path: Path) -> None:
    met = threading.Event()

    def second() -> None:
        with follow(Rank(1, 2), tmp_path, "same") as follower:
            met.set()
            follower.hear("fitted")

    thread, found = _beside(second)
    with suppress(ValueError), lead(Rank(0, 2), tmp_path, "same"):
        assert met.wait(30)
        raise ValueError("no")
    thread.join()
    assert isinstance(found[0], ShardsFailedError)
    assert "rank 0 ended: no" in str(found[0])


def test_the_first_stops_when_another_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_CONTACT_S", 0.5)
    with lead(Rank(0, 2), tmp_path, "same") as leader:
        assert leader is not None
        engine = leader.share(LocalEngine(1))
        with pytest.raises(ShardsFailedError, match="rank 1 of 2 is gone"):
            engine.run([], MakeWriter(tmp_path), lambda *_: None)


def test_what_an_earlier_start_left_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lead(Rank(0, 2), tmp_path, "same") as leader:
        assert leader is not None
    monkeypatch.setattr(module, "_FIRST_CONTACT_S", 0.5)
    with (
        pytest.raises(ShardsFailedError, match="rank 0 has not come"),
        follow(Rank(1, 2), tmp_path, "same"),
    ):
        raise AssertionError("met")
