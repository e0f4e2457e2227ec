import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ncaudit.devices import usable_cores
from ncaudit.engine.base import Record
from ncaudit.engine.local import LocalEngine, default_workers
from ncaudit.testing.engine_tasks import MakeWriter, Task, tasks

ORPHAN = """
import sys
from pathlib import Path
from ncaudit.engine.local import LocalEngine
from ncaudit.testing.engine_tasks import MakeWriter, tasks

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    LocalEngine(2).run(tasks(folder, "sleep", "sleep"), MakeWriter(folder), print)
"""


@pytest.mark.parametrize(
    ("cores", "device", "workers"), [(1, "cpu", 1), (2, "cpu", 1), (16, "cpu", 4), (16, "cuda", 1)]
)
def test_workers_follow_the_machine(cores: int, device: str, workers: int) -> None:
    assert default_workers(cores, device) == workers


def test_workers_share_the_cores(tmp_path: Path) -> None:
    engine, records = LocalEngine(2), []
    try:
        engine.run(tasks(tmp_path, "work"), MakeWriter(tmp_path), lambda _, r: records.append(r))
    finally:
        engine.close()
    assert records[0]["threads"] == max(1, usable_cores() // 2)


def test_a_stopped_engine_leaves_no_process_at_work(tmp_path: Path) -> None:
    engine = LocalEngine(2)

    def stop(_task: Task, _record: Record) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.run(tasks(tmp_path, "sleep", "work"), MakeWriter(tmp_path), stop)
    _wait_for(lambda: len(list(tmp_path.glob("built-*"))) == 2)
    engine.close()
    _wait_for(lambda: not multiprocessing.active_children())


def test_workers_end_with_a_process_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN)
    first = subprocess.Popen([sys.executable, script, tmp_path])
    try:
        _wait_for(lambda: len(list(tmp_path.glob("built-*"))) == 2)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    workers = [int(built.name.split("-")[1]) for built in tmp_path.glob("built-*")]
    _wait_for(lambda: not any(_is_running(pid) for pid in workers))


def _wait_for(condition: object, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    # Nobody may be there to collect it.
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")
