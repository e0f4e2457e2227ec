"""How fast `ncaudit clean` is: beside `tar`, and deciding about a million pairs.

    python examples/bench/clean.py speed RUN --json OUT
    python examples/bench/clean.py decide --json OUT

`speed` cleans a finished run, at the usual threshold and keeping everything, and copies the
same shards with `tar` to the same disk, which is then flushed as `clean` does. Processor
seconds are given too, since they hardly depend on what else the machine does. `decide`
generates the scores of a million pairs, without images, chooses thresholds and decides about
every pair. The file is written after every measurement; what it holds is not done again.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from ncaudit.audit.clean_plan import Rules
from ncaudit.audit.clean_shard import CleanJob, plan_of
from ncaudit.audit.decide import threshold_for_loss, threshold_to_keep
from ncaudit.audit.scored_run import ScoredShard, scored_p_mismatch
from ncaudit.report.parts import write_part

N_SHARDS, N_ROWS = 100, 10_000


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Return the wall and processor seconds of some work, child processes included."""
    before, started = processor_seconds(), time.perf_counter()
    work()
    wall_s = time.perf_counter() - started
    return {"wall_s": round(wall_s, 3), "processor_s": round(processor_seconds() - before, 3)}


def processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def clean_run(run: Path, out: Path, threshold: float) -> None:
    from ncaudit.audit.clean import clean
    from ncaudit.audit.clean_config import CleanConfig

    shutil.rmtree(out, ignore_errors=True)
    clean(CleanConfig(run=run, out=out, threshold=threshold), lambda _: None)


def copy_with_tar(shards: list[str], out: Path) -> None:
    subprocess.run(["tar", "-cPf", str(out), *shards], check=True)  # noqa: S603, S607
    subprocess.run(["sync", str(out)], check=True)  # noqa: S603, S607


def speed(run: Path, repeats: int) -> dict[str, Callable[[], dict[str, object]]]:
    record = json.loads((run / "run.json").read_text())
    shards = [each["path"] for each in record["shards"]]
    about = {
        "n_pairs": record["tallies"]["pairs"],
        "n_bytes": sum(each["n_bytes"] for each in record["shards"]),
        "embed_pairs_per_second": record["pairs_per_second"]["embed"],
    }

    def measure(kind: str) -> dict[str, object]:
        with tempfile.TemporaryDirectory(dir=run.parent) as folder:
            out = Path(folder) / "out"
            work: Callable[[], object] = partial(copy_with_tar, shards, out)
            if kind != "tar":
                work = partial(clean_run, run, out, float(kind.removeprefix("clean ")))
            found = timed(work)
        return {**about, **found, "pairs_per_second": about["n_pairs"] / found["wall_s"]}

    kinds = ("tar", "clean 0.5", "clean 1.0")
    measure("clean 1.0")  # imports, and shards into memory for all alike
    return {f"{kind}, {n}": partial(measure, kind) for n in range(repeats) for kind in kinds}


def million(folder: Path) -> list[ScoredShard]:
    """Write the scores of a million pairs, 40 % of them mismatched; returns their shards."""
    rng = np.random.default_rng(0)
    shards = []
    for number in range(N_SHARDS):
        wrong = rng.random(N_ROWS) < 0.4
        p = np.where(wrong, rng.beta(8, 1, N_ROWS), rng.beta(1, 12, N_ROWS))
        rows = np.arange(N_ROWS)
        table = {
            "shard": [f"{number:05d}"] * N_ROWS,
            "key": [f"{number:05d}{row:05d}" for row in rows],
            "caption_index": np.zeros(N_ROWS, np.int64),
            "status": ["scored"] * N_ROWS,
            "p_mismatch": p,
            "sample_index": rows,
            "sample_start": rows * 20_480,
            "sample_stop": (rows + 1) * 20_480,
        }
        path = folder / f"{number:05d}.parquet"
        write_part(path, table)
        shards.append(ScoredShard(f"{number:05d}", "", 0, "", "", path))
    return shards


def decide(folder: Path) -> dict[str, Callable[[], dict[str, object]]]:
    shards = million(folder)
    read = partial(scored_p_mismatch, shards)

    def by(choose: Callable[[], float]) -> dict[str, object]:
        found: dict[str, object] = {"n_pairs": N_SHARDS * N_ROWS}
        n_kept = 0

        def work() -> None:
            nonlocal n_kept
            rules = Rules(threshold=choose())
            found["threshold"] = rules.threshold
            for shard in shards:
                plan = plan_of(CleanJob(shard, folder, "auto", rules))
                n_kept += int(plan.stays.sum())

        return found | timed(work) | {"n_kept": n_kept}

    return {
        "threshold 0.5": partial(by, lambda: 0.5),
        "keep-fraction 0.6": partial(by, partial(threshold_to_keep, read, 0.6)),
        "max-good-loss 0.02": partial(by, partial(threshold_for_loss, read, 0.02)),
    }


def machine() -> dict[str, object]:
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False)  # noqa: S603
    return {
        "command": " ".join(["examples/bench/clean.py", sys.argv[1]]),
        "commit": commit.stdout.strip(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["speed", "decide"])
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    known = json.loads(given.json.read_text())["results"] if given.json.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        is_speed = given.what == "speed"
        cases = speed(given.run, given.repeats) if is_speed else decide(Path(folder))
        for name, measure in cases.items():
            if name in known:
                continue
            known[name] = measure()
            given.json.parent.mkdir(parents=True, exist_ok=True)
            content = json.dumps({**machine(), "results": known}, indent=2)
            given.json.write_text(content + "\n")
            print(name, known[name], flush=True)


if __name__ == "__main__":
    main()
