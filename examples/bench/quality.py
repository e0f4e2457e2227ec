"""The table of docs/benchmarks.md: `ncaudit bench` on the cases it shows, one after another.

    python examples/bench/quality.py SHARDS -o bench --json quality.json
    python examples/bench/quality.py SHARDS -o bench --case 1:caption:0.4 --json quality.json

A case is CAPTIONS:KIND:RATE, as bench.json names it: how many captions of each image take
part (or `all`), what is exchanged, and the share. Started again, it goes on where it was.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

CASES = (
    *(f"{captions}:caption:{rate}" for captions in ("1", "all") for rate in (0, 0.2, 0.4, 0.6)),
    "all:image:0.4",
    "1:topic:0.4",
    "all:topic:0.4",
)


def run(shards: list[str], out: Path, case: str, more: list[str]) -> None:
    captions, noise, rate = case.split(":")
    command = [sys.executable, "-m", "ncaudit", "bench", *shards, "-o", str(out)]
    command += ["--captions-per-image", captions, "--noise", noise, "--rate", rate, *more]
    subprocess.run(command, check=True)  # noqa: S603 - the command is ours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", nargs="+")
    parser.add_argument("-o", "--out", type=Path, default=Path("bench"))
    parser.add_argument("--case", action="append")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--captions", default="json:captions")
    parser.add_argument("--baselines", default="all")
    parser.add_argument("--cache", default=None, help="embeddings to use and fill")
    parser.add_argument("--downstream", action="store_true")
    parser.add_argument("--json", type=Path, required=True, help="where bench.json is copied to")
    given = parser.parse_args()
    more = ["--seeds", str(given.seeds), "--captions", given.captions]
    more += ["--baselines", given.baselines]
    more += ["--cache", given.cache] if given.cache else []
    more += ["--downstream"] if given.downstream else []
    for case in given.case or CASES:
        run(given.shards, given.out, case, more)
        shutil.copy(given.out / "bench.json", given.json)


if __name__ == "__main__":
    main()
