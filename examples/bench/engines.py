"""Score the same shards with two local workers and with two Ray nodes, in turn.

python examples/bench/engines.py SHARDS... --json OUT [--encoder bundled] [--repeats 2]

Both nodes are on this machine, one core each, as the two local workers have one each. The
whole command is measured, with the start of the workers; the cluster runs already, as it
would. `share` is how fast Ray is against local workers, the median over the repeats.
"""

import argparse
import filecmp
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ncaudit.audit.bench.machine import machine

ENGINES = ("local", "ray")


def main() -> None:
    options = parse_options()
    from ray.cluster_utils import Cluster

    one_core = {"num_cpus": 1, "object_store_memory": 80 << 20}
    cluster = Cluster(
        initialize_head=True, head_node_args={**one_core, "include_dashboard": False}
    )
    cluster.add_node(**one_core)
    try:
        runs = [compare(options, cluster.address) for _ in range(options.repeats)]
    finally:
        cluster.shutdown()
    of = {name: [run[name] for run in runs] for name in ENGINES}
    content = {
        "encoder": options.encoder,
        "seconds": of,
        "share": round(
            statistics.median(
                local["whole"] / ray["whole"]
                for local, ray in zip(of["local"], of["ray"], strict=True)
            ),
            3,
        ),
        **machine("cpu"),
        "command": shlex.join(["python", *sys.argv]),
    }
    options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", nargs="+")
    parser.add_argument("--encoder", default="bundled")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--json", type=Path, required=True)
    return parser.parse_args()


def compare(options: argparse.Namespace, address: str) -> dict[str, dict[str, float]]:
    """Return engine to the seconds of the whole command and of its stages."""
    where = {"local": [], "ray": ["--engine", "ray", "--address", address]}
    with tempfile.TemporaryDirectory() as temporary:
        seconds = {}
        for name in ENGINES:
            out = Path(temporary) / name
            words = [*options.shards, "-o", str(out), "--encoder", options.encoder, "--quiet"]
            command = [sys.executable, "-m", "ncaudit", "score", *words, "--workers", "2"]
            at = time.perf_counter()
            subprocess.run([*command, *where[name]], check=True)  # noqa: S603 - ours
            record = json.loads((out / "run.json").read_text(encoding="utf-8"))
            seconds[name] = {"whole": round(time.perf_counter() - at, 1)} | record["seconds"]
            print(name, seconds[name], flush=True)
        tables = [Path(temporary) / name / "audit.csv" for name in ENGINES]
        if not filecmp.cmp(*tables, shallow=False):
            raise SystemExit("the engines did not write the same table")
    return seconds


if __name__ == "__main__":
    main()
