"""Kill `score` and `clean` at random points of every stage, and compare every byte.

    PYTHONPATH=. python examples/bench/kill.py --work WORK --out docs/benchmarks/kill.json

Shards of striped pictures and the encoder of the tests: what is shown is how a run goes on,
which does not depend on the towers. A try kills a command, kills it again when it goes on, and
then lets it end. The first kill is in one stage after the other, the second in one that is drawn
from those that are left, each at a random moment of the time that the stage takes. Every try is recorded when it is done: stopped and started again, the script goes on. It
ends with 1 if any byte differs, if what was finished was done again, or if a temporary file is
left.
"""

import argparse
import hashlib
import importlib
import itertools
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ncaudit.cli
from tests.support.shards import write_shard
from tests.support.toy_encoder import striped
from tests.support.toy_plugin import toy_plugin

N_SHARDS = 4
N_PAIRS = 100
NOISE = 0.4
KILLS_PER_TRY = 2
POLL_S = 0.003
# Imported once for all forked processes, and not by the workers that they start.
HEAVY = ("faiss", "pyarrow.parquet", "scipy.optimize", "sklearn.mixture", "torch")
OURS = ("ncaudit.audit.clean", "ncaudit.audit.score")
COMPARED = (".csv", ".tar", ".parquet", ".npy", ".safetensors", ".json")
# What differs by design: what is done and by whom, and how long it took.
NOT_COMPARED = ("ledger", "run.json")
# Stage to what begins the paths of the files that are all there when it is done.
SCORING = {
    "embed": "embeddings/",
    "fit": "ledger/fit/",
    "score": "ledger/score/",
    "rematch": "ledger/rematch/",
    "merge": "run.json",
}
CLEANING = {"clean": "ledger/clean/", "reshard": "ledger/reshard/", "end": "clean.json"}


@dataclass(frozen=True)
class Command:
    """A command that writes one folder.

    Attributes:
        words: Its name and what follows, but for the folder.
        stages: Stage to the beginning of the paths that it leaves.
        tried: The stages in which it is killed first.
    """

    words: tuple[str, ...]
    stages: Mapping[str, str]
    tried: Sequence[str]

    def start(self, out: Path) -> int:
        """Run it in a forked process, which has its imports already; returns its id."""
        process = os.fork()
        if process:
            return process
        try:
            log = os.open(out.parent / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            sys.argv = ["ncaudit", *self.words, "-o", str(out), "--quiet"]
            ncaudit.cli.main()
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else 1)
        finally:
            os._exit(1)


def commands(work: Path) -> dict[str, Command]:
    """Return the commands that are killed."""
    audit = str(work / "whole/score")
    score = ("score", str(work / "shards"), "--encoder", "toy-aligned")
    repair = ("clean", audit, "--apply-rematch")
    without_packs = {name: CLEANING[name] for name in ("clean", "end")}
    return {
        "score": Command(score, SCORING, [*SCORING]),
        "clean": Command(repair, without_packs, [*without_packs]),
        "clean --reshard": Command((*repair, "--reshard", "60"), CLEANING, [*CLEANING]),
        # Where worker processes are, which end with the one that is killed.
        "score --workers 2": Command((*score, "--workers", "2"), SCORING, ["embed", "score"]),
    }


@dataclass(frozen=True)
class Whole:
    """A command that was not interrupted.

    Attributes:
        digests: Path to digest of everything that must not depend on when it was written.
        paths: All files it left.
        seconds: Stage to the time it took.
    """

    digests: Mapping[str, str]
    paths: Sequence[str]
    seconds: Mapping[str, float]

    def stage(self, stages: Mapping[str, str], found: Collection[str]) -> str:
        """Return the stage that a folder with the files `found` is in, "" if it is done."""
        for name, start in stages.items():
            if any(path.startswith(start) and path not in found for path in self.paths):
                return name
        return ""


def digests(folder: Path) -> dict[str, str]:
    """Return path to digest of everything that must not depend on when it was written."""
    return {
        path: hashlib.sha256((folder / path).read_bytes()).hexdigest()
        for path in sorted(seen(folder))
        if path.endswith(COMPARED) and not path.startswith(NOT_COMPARED)
    }


def seen(folder: Path) -> list[str]:
    """Return the files of a folder that is being written."""
    found = []
    for where, _, names in os.walk(folder):
        found += [os.path.relpath(os.path.join(where, name), folder) for name in names]  # noqa: PTH118 - polled often
    return found


def finished(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the files that are not to be written again, and what tells a new one."""
    done = [marker.parent.glob("*.npy") for marker in folder.glob("embeddings/*/shard.json")]
    if (folder / "ledger/fit/model.json").exists():
        done.append((folder / "model").iterdir())
    for marker in folder.glob("ledger/clean/*.json"):
        done += [folder.glob(f"{where}{marker.stem}.tar") for where in ("", "rejected/")]
    for marker in folder.glob("ledger/reshard/*.json"):
        done.append(folder.glob(f"{marker.stem}.tar"))
    files = {path: path.stat() for path in itertools.chain(*done) if path.is_file()}
    return {
        str(path.relative_to(folder)): (found.st_ino, found.st_mtime_ns)
        for path, found in files.items()
    }


def ended(process: int) -> int | None:
    """Return the exit code of a process, negative for a signal; None while it runs."""
    found, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def run_whole(command: Command, out: Path) -> None:
    process = command.start(out)
    if os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]):
        raise SystemExit(f"{command.words[0]} failed: see {out.parent}/log.txt")


def measure(command: Command, out: Path) -> Whole:
    """Run a command to its end, without interruption, and note how long each stage takes."""
    began, first_seen = time.monotonic(), dict[str, float]()
    process = command.start(out)
    while (code := ended(process)) is None:
        for path in seen(out):
            first_seen.setdefault(path, time.monotonic() - began)
        time.sleep(POLL_S)
    if code:
        raise SystemExit(f"{command.words[0]} failed: see {out.parent}/log.txt")
    paths, seconds, before = seen(out), {}, min(first_seen.values())
    for name, start in command.stages.items():
        # What was not seen while it ran came at the very end.
        mine = [path for path in paths if path.startswith(start)]
        end = max(first_seen.get(path, time.monotonic() - began) for path in mine)
        seconds[name], before = max(end - before, 0.0), end
    return Whole(digests(out), paths, seconds)


def kill_at(
    command: Command, out: Path, whole: Whole, stage: str, delay_s: float
) -> dict[str, Any]:
    """Kill a command `delay_s` after it works on a stage, and say where it was.

    One that goes on works from the first file on that it adds or removes.
    """
    order, before = [*command.stages, ""], set(seen(out))
    process, reached = command.start(out), None
    while (code := ended(process)) is None:
        now = time.monotonic()
        if reached is None:
            found = set(seen(out))
            at = whole.stage(command.stages, found)
            works = found != before and order.index(at) >= order.index(stage)
            reached = now if works else None
        if reached is not None and now - reached >= delay_s:
            os.kill(process, signal.SIGKILL)
        time.sleep(POLL_S)
    found = seen(out)
    return {
        "killed": code == -signal.SIGKILL,
        "stage": whole.stage(command.stages, found),
        "files": len(found),
        "half_written": sorted(path for path in found if ".tmp-" in path),
    }


def prepare(work: Path) -> None:
    """Write the shards, and the run that is cleaned."""
    if not work.exists():
        for number in range(N_SHARDS):
            samples, _ = striped(N_PAIRS, seed=number, noise=NOISE)
            write_shard(work / "shards" / f"{number}.tar", samples)
    find_whole(work, "score")


def find_whole(work: Path, name: str) -> Whole:
    """Do a command without interruption, once."""
    out, path = work / "whole" / name, work / "whole" / f"{name}.json"
    if not path.exists():
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(vars(measure(commands(work)[name], out))))
    return Whole(**json.loads(path.read_text()))


def try_once(work: Path, number: int) -> dict[str, Any]:
    """Kill a command, kill it again when it goes on, let it end, and compare."""
    draw = random.Random(number)  # noqa: S311 - not for secrets
    known_commands = commands(work)
    turns = [(name, stage) for name, each in known_commands.items() for stage in each.tried]
    name, stage = turns[number % len(turns)]
    command, whole, kills, redone = known_commands[name], find_whole(work, name), [], set[str]()
    folder = work / f"try-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    out, known = folder / "out", dict[str, tuple[int, int]]()
    for _ in range(KILLS_PER_TRY):
        delay_s = draw.uniform(0, 0.8) * whole.seconds[stage]
        kills.append(kill_at(command, out, whole, stage, delay_s))
        redone |= changed(known, out)
        known = finished(out)
        if not kills[-1]["stage"]:
            break
        left = list(command.stages)
        stage = draw.choice(left[left.index(kills[-1]["stage"]) :])
    run_whole(command, out)
    redone |= changed(known, out)
    found, left_over = digests(out), [path for path in seen(out) if ".tmp-" in path]
    paths = sorted(found.keys() | whole.digests.keys())
    differs = [path for path in paths if found.get(path) != whole.digests.get(path)]
    if not (differs or left_over or redone):
        shutil.rmtree(folder)
    return {
        "try": number,
        "command": name,
        "kills": kills,
        "files_compared": len(whole.digests),
        "differs": differs,
        "left_over": left_over,
        "redone": sorted(redone),
    }


def changed(known: Mapping[str, tuple[int, int]], out: Path) -> set[str]:
    """Return the finished files that were written again."""
    now = finished(out)
    return {path for path, file in known.items() if now.get(path) != file}


def is_bad(each: Mapping[str, Any]) -> bool:
    return bool(each["differs"] or each["left_over"] or each["redone"])


def run(work: Path, out: Path, n_tries: int) -> int:
    """Do the tries that are not recorded yet; return 1 if any went wrong."""
    tries = json.loads(out.read_text())["tries"] if out.exists() else []
    known = {each["try"] for each in tries}
    version = commit()
    for module in (*HEAVY, *OURS):
        importlib.import_module(module)
    with toy_plugin(work.with_name(f"{work.name}-plugin")):
        prepare(work)
        for number in range(n_tries):
            if number not in known:
                tries.append(try_once(work, number))
                record(out, tries, version)
                print(tries[-1], flush=True)
    return int(any(is_bad(each) for each in tries))


def record(out: Path, tries: Sequence[dict[str, Any]], version: str) -> None:
    kills = [(each, kill) for each in tries for kill in each["kills"] if kill["killed"]]
    content = {
        "command": "examples/bench/kill.py",
        "commit": version,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "shards": N_SHARDS,
        "pairs": N_SHARDS * N_PAIRS,
        "n_kills": len(kills),
        "n_kills_per_command": Counter(each["command"] for each, _ in kills),
        "n_kills_per_stage": Counter(kill["stage"] or "after the last" for _, kill in kills),
        "n_kills_with_half_written_files": sum(bool(kill["half_written"]) for _, kill in kills),
        "n_different": sum(map(is_bad, tries)),
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
    parser.add_argument("--tries", type=int, default=60)
    args = parser.parse_args()
    sys.exit(run(args.work.absolute(), args.out.absolute(), args.tries))


if __name__ == "__main__":
    main()
