"""Kill `score` and `clean` at random points, run them again, and compare every byte.

    PYTHONPATH=. python examples/bench/kill.py --work WORK --out docs/benchmarks/kill.json

Shards of striped pictures and the encoder of the tests: what is shown is how a run goes on,
which does not depend on the towers. A try kills a command, kills it again when it goes on, and
then lets it end. Half of the kills are drawn over the time of a run, half over the changes in
its folder. Every try is recorded when it is done: stopped and started again, the script goes
on. It ends with 1 if any byte differs or a temporary file is left.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Imported for the forked processes, which then have them at once.
import pyarrow.parquet  # noqa: F401
import scipy.optimize  # noqa: F401
import sklearn.mixture  # noqa: F401
import torch  # noqa: F401

import ncaudit.audit.clean
import ncaudit.audit.score
import ncaudit.cli
from tests.support.audits import toy_encoders, write_striped

N_SHARDS = 3
N_PAIRS = 70
KILLS_PER_TRY = 2
POLL_S = 0.002
COMPARED = (".csv", ".tar", ".parquet", ".npy", ".safetensors", "summary.json", "card.json")


@dataclass(frozen=True)
class Command:
    """A command that writes one folder."""

    name: str
    words: tuple[str, ...]
    out: Path

    def start(self) -> int:
        """Run it in a forked process, which has its imports already; returns its id."""
        process = os.fork()
        if process:
            return process
        try:
            log = os.open(self.out.parent / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            sys.argv = ["ncaudit", self.name, *self.words, "-o", str(self.out), "--quiet"]
            with toy_encoders():
                ncaudit.cli.main()
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else 1)
        finally:
            os._exit(1)


def score(work: Path, out: Path) -> Command:
    return Command("score", (str(work / "shards"), "--encoder", "toy"), out)


def clean(work: Path, out: Path) -> Command:
    return Command("clean", (str(work / "whole" / "audit"), "--keep-fraction", "0.7"), out)


COMMANDS: dict[str, Callable[[Path, Path], Command]] = {"score": score, "clean": clean}


def digests(folder: Path) -> dict[str, str]:
    """Return path to digest of everything that must not depend on when it was written."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name.endswith(COMPARED) and "ledger" not in path.parts
    }


def seen(folder: Path) -> list[str]:
    """Return the files of a folder that is being written."""
    found = []
    for where, _, names in os.walk(folder):
        found += [os.path.join(where, name) for name in names]  # noqa: PTH118 - polled often
    return found


def ended(process: int) -> int | None:
    """Return the exit code of a process, negative for a signal; None while it runs."""
    found, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def measure(command: Command) -> tuple[float, int]:
    """Run a command to its end; return its seconds and the changes seen in its folder."""
    began, known, code = time.monotonic(), set[str](), None
    process = command.start()
    while (code := ended(process)) is None:
        known.update(seen(command.out))
        time.sleep(POLL_S)
    if code:
        raise SystemExit(f"{command.name} failed: see {command.out.parent}/log.txt")
    return time.monotonic() - began, len(known)


def kill_at(command: Command, delay_s: float, n_changes: int) -> dict[str, Any]:
    """Kill a command `delay_s` after it began and changed `n_changes` files."""
    began, known, newest = time.monotonic(), set(seen(command.out)), ""
    n_before = len(known)
    process = command.start()
    reached = began if not n_changes else None
    while (code := ended(process)) is None:
        for path in seen(command.out):
            if path not in known:
                known.add(path)
                newest = path
        now = time.monotonic()
        if reached is None and len(known) - n_before >= n_changes:
            reached = now
        if reached is not None and now - reached >= delay_s:
            os.kill(process, signal.SIGKILL)
        time.sleep(POLL_S)
    return {
        "killed": code == -signal.SIGKILL,
        "seconds": round(time.monotonic() - began, 3),
        "files": len(known),
        "newest": os.path.relpath(newest, command.out) if newest else "",
    }


def prepare(work: Path) -> dict[str, Any]:
    """Write the shards and do both commands without interruption, once."""
    record = work / "prepared.json"
    if record.exists():
        return dict(json.loads(record.read_text()))
    shutil.rmtree(work, ignore_errors=True)
    (work / "whole").mkdir(parents=True)
    write_striped(work, N_SHARDS, N_PAIRS)
    found: dict[str, Any] = {}
    for name, make in COMMANDS.items():
        command = make(work, work / "whole" / ("audit" if name == "score" else "cleaned"))
        seconds, changes = measure(command)
        found[name] = {"seconds": seconds, "changes": changes, "digests": digests(command.out)}
    record.write_text(json.dumps(found))
    return found


def draw_kill(draw: random.Random, at: dict[str, Any]) -> tuple[float, int]:
    """Return seconds to wait, and changes in the folder to wait for before that."""
    share = draw.uniform(0, 0.8)  # a run that goes on has less to do
    if draw.random() < 0.5:
        return share * at["seconds"], 0
    return draw.uniform(0, 0.03), 1 + int(share * at["changes"])


def try_once(work: Path, whole: dict[str, Any], number: int) -> dict[str, Any]:
    """Kill a command, kill it again when it goes on, let it end, and compare."""
    draw = random.Random(number)  # noqa: S311 - not for secrets
    name = "clean" if number % 2 else "score"
    folder = work / f"try-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    command = COMMANDS[name](work, folder / "out")
    kills = [kill_at(command, *draw_kill(draw, whole[name])) for _ in range(KILLS_PER_TRY)]
    measure(command)
    wanted, found = whole[name]["digests"], digests(command.out)
    paths = sorted(found.keys() | wanted.keys())
    differs = [path for path in paths if found.get(path) != wanted.get(path)]
    left_over = [path for path in seen(command.out) if ".tmp-" in path]
    if not differs and not left_over:
        shutil.rmtree(folder)
    return {
        "try": number,
        "command": name,
        "kills": kills,
        "files_compared": len(wanted),
        "differs": differs,
        "left_over": len(left_over),
    }


def run(work: Path, out: Path, n_tries: int) -> int:
    """Do the tries that are not recorded yet; return 1 if any byte ever differed."""
    whole = prepare(work)
    tries = json.loads(out.read_text())["tries"] if out.exists() else []
    known = {each["try"] for each in tries}
    version = commit()
    for number in range(n_tries):
        if number not in known:
            tries.append(try_once(work, whole, number))
            record(out, tries, version)
            print(tries[-1], flush=True)
    return int(any(each["differs"] or each["left_over"] for each in tries))


def record(out: Path, tries: Sequence[dict[str, Any]], version: str) -> None:
    content = {
        "command": "examples/bench/kill.py",
        "commit": version,
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "shards": N_SHARDS,
        "pairs": N_SHARDS * N_PAIRS,
        "n_kills": sum(kill["killed"] for each in tries for kill in each["kills"]),
        "n_different": sum(bool(each["differs"] or each["left_over"]) for each in tries),
        "tries": tries,
    }
    temporary = out.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    temporary.replace(out)


def commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for shards and runs")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write, and to go on from")
    parser.add_argument("--tries", type=int, default=40)
    args = parser.parse_args()
    sys.exit(run(args.work.absolute(), args.out.absolute(), args.tries))


if __name__ == "__main__":
    main()
