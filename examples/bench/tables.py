"""The tables of docs/benchmarks.md, written from the JSON that the benchmarks left.

python examples/bench/tables.py [--check]

Each table stands between `<!-- NAME -->` and `<!-- end of NAME -->`; everything else on the
page is written by hand. With --check nothing is written, and the exit code tells whether
the page is what the JSON says.
"""

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
PAGE, FOLDER = DOCS / "benchmarks.md", DOCS / "benchmarks"
Record = dict[str, Any]


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def read(name: str) -> Record:
    content: Record = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return content


def by_case() -> dict[str, list[Record]]:
    """Return the entries of every case, one per seed."""
    cases: dict[str, list[Record]] = defaultdict(list)
    for entry in read("quality-flickr8k.json")["results"]:
        cases[entry["case"]].append(entry)
    return dict(sorted(cases.items(), key=lambda item: order_of(item[0])))


def order_of(case: str) -> tuple[str, str, float]:
    captions, noise, rate = case.split(":")
    return captions, noise, float(rate)


def title(case: str) -> list[str]:
    captions, noise, rate = case.split(":")
    return [
        "5" if captions == "all" else captions,
        f"{noise} {float(rate):.0%}".replace("%", " %"),
    ]


def aurocs(entries: list[Record]) -> dict[str, list[float]]:
    """Return method to its AUROC on every seed."""
    found: dict[str, list[float]] = defaultdict(list)
    for entry in entries:
        for row in entry["rows"]:
            found[row["method"]].append(row["auroc"])
    return found


def best_signal(entries: list[Record], of: dict[str, list[float]]) -> str:
    signals = [row["method"] for row in entries[0]["rows"] if row["kind"] == "signal"]
    best = max(signals, key=lambda name: fmean(of[name]))
    return f"{fmean(of[best]):.3f} `{best}`"


def mean(values: list[float]) -> str:
    return f"{fmean(values):.3f}"


def spread(values: list[float]) -> str:
    return f"{fmean(values):.3f} ({min(values):.3f}, {max(values):.3f})"


def quality() -> str:
    head = ["captions", "noise", "seeds", "fusion (`p_mismatch`)", "best single signal"]
    baselines = {
        "start_cosine": "CCA start, cosine",
        "start_neg_clip_loss": "CCA start, negCLIPLoss",
        "lemon_fixed": "LEMoN fixed",
        "lemon_tuned": "LEMoN tuned",
    }
    rows = []
    for case, entries in by_case().items():
        of = aurocs(entries)
        if None in of["fusion"]:
            continue
        numbers = [mean(of[name]) for name in baselines]
        found = [spread(of["fusion"]), best_signal(entries, of), *numbers]
        rows.append([*title(case), str(len(entries)), *found])
    return markdown([*head, *baselines.values()], rows)


def calibration() -> str:
    rows = []
    for case, entries in by_case().items():
        warned = sum(bool(entry["banner"]) for entry in entries)
        rows.append(
            [
                *title(case),
                spread([entry["ece"] for entry in entries]),
                spread([entry["estimated_rate"] for entry in entries]),
                spread([entry["true_rate"] for entry in entries]),
                f"{fmean(entry['share_at_half'] for entry in entries):.2%}".replace("%", " %"),
                f"{warned} of {len(entries)}",
            ]
        )
    head = [
        "captions",
        "noise",
        "ECE",
        "estimated rate",
        "true rate",
        "p at 0.5 or above",
        "warned",
    ]
    return markdown(head, rows)


def ablation() -> str:
    changed = {
        "fusion_without_neg_clip_loss": "without `neg_clip_loss`",
        "fusion_without_neighbour_discrepancy": "without `neighbour_discrepancy`",
        "fusion_without_crcl_match_probability": "without `crcl_match_probability`",
        "fusion_without_crcl_label": "without `crcl_label`",
        "fusion_with_mscn_similarity": "with self-taught `mscn_similarity`",
    }
    rows = []
    for case, entries in by_case().items():
        of = aurocs(entries)
        if None not in of["fusion"]:
            rows.append([*title(case), *(mean(of[name]) for name in ("fusion", *changed))])
    return markdown(["captions", "noise", "all", *changed.values()], rows)


def downstream() -> str:
    entries = read("downstream-flickr8k.json")["results"]
    by_method: dict[str, list[Record]] = defaultdict(list)
    for entry in entries:
        for row in entry["downstream"]["rows"]:
            by_method[row["method"]].append(row)
    rows = [
        [
            f"`{method}`",
            f"{fmean(row['n_kept'] for row in found):.0f}",
            f"{fmean(row['rsum'] for row in found):.1f}",
            "" if method in ("noisy", "oracle") else spread([row["recovery"] for row in found]),
        ]
        for method, found in by_method.items()
    ]
    return markdown(["trained on what is kept by", "pairs", "rSum", "recovery"], rows)


REMATCH_SETS = {
    "generated:0": "generated, 40 % exchanged",
    "generated:0.5": "generated, half of the partners gone",
    "1": "Flickr8k, one caption",
    "5": "Flickr8k, five captions",
}


def rematch() -> str:
    entries = [each for each in read("rematch.json")["results"] if each["case"] in REMATCH_SETS]
    entries.sort(key=lambda each: (list(REMATCH_SETS).index(each["case"]), each["seed"]))
    rows = [
        [
            REMATCH_SETS[each["case"]],
            str(each["seed"]),
            point(each["confidence_mass_mutual"]),
            at_recall(each["curve"], 0.5),
            f"{each['others']['top1']['precision']:.3f}",
            point(each["others"]["mutual"]),
            f"{each['others']['assignment']['precision']:.3f}"
            if "assignment" in each["others"]
            else "",
            f"{worst_bin(each['bins']):.3f}",
        ]
        for each in entries
    ]
    head = ["set", "seed", "accepted: precision, recall", "precision at recall 0.5", "top-1"]
    head += ["mutual nearest: precision, recall", "dense assignment", "confidence off by at most"]
    return markdown(head, rows)


def point(found: Record) -> str:
    if not found["n"]:
        return "none"
    return f"{found['precision']:.3f}, {found['recall']:.3f}"


def at_recall(curve: list[list[float]], wanted: float) -> str:
    reached = [precision for recall, precision in curve if recall >= wanted]
    return f"{max(reached):.3f}" if reached else "not reached"


def worst_bin(bins: list[Record]) -> float:
    """Return the largest error of the stated confidence in bins of 50 proposals or more."""
    return max(abs(each["confidence"] - each["right"]) for each in bins if each["n"] >= 50)


def throughput() -> str:
    names = {
        "embed_images_per_s": "whole way, images/s",
        "limit_images_per_s": "limit: decode + encode",
        "feed_images_per_s": "feeding alone",
        "share_of_limit": "share of the limit",
        "share_of_limit_least": "least",
        "share_of_limit_most": "most",
    }
    rows = []
    for file in ("throughput-bundled.json", "throughput-vitb32.json"):
        record = read(file)
        result = record["result"]
        numbers = [f"{result[name]:g}" for name in names]
        rows.append([f"`{record['encoder']}`", str(result["n_shards"]), *numbers])
    return markdown(["encoder", "shards", *names.values()], rows)


def million() -> str:
    rows = [
        [
            f"{each['n_pairs']:,}",
            str(each["n_shards"]),
            *(f"{each['stages'][name]:.0f}" for name in ("fit", "score", "rematch", "merge")),
            f"{each['seconds']:.0f}",
            f"{each['peak_mib'] / 1024:.1f}",
        ]
        for each in sorted(
            read("million.json")["sizes"].values(),
            key=lambda each: (each["n_pairs"], each["n_shards"]),
        )
    ]
    stages = [f"{name}, s" for name in ("fit", "score", "rematch", "merge", "all")]
    return markdown(["pairs", "shards", *stages, "peak memory, GiB"], rows)


def encoders() -> str:
    rows = [
        [
            each["name"],
            f"{each['images_per_s']:.0f}",
            f"{each['images_per_cpu_s']:.0f}",
            f"{each['cosine_mean']:.4f}",
            f"{each['cosine_min']:.4f}",
        ]
        for each in read("encoders.json")["images"]
    ]
    head = ["way through the network", "images/s", "images per processor second"]
    return markdown([*head, "mean cosine to float32", "least"], rows)


def beside() -> str:
    rows = [
        [
            f"`{name}`" if name != "feed" else "reading, decoding and resizing alone",
            *(f"{each['images_per_s'][tool]:.1f}" for tool in ("ncaudit", "clip-retrieval")),
            f"{each['times_as_fast']:.2f}",
        ]
        for name, each in read("beside-clip-retrieval.json")["results"].items()
    ]
    head = ["", "ncaudit, images/s", "clip-retrieval, images/s", "times as fast"]
    return markdown(head, rows)


def engines() -> str:
    seconds = read("engines.json")["seconds"]
    rows = [
        [
            {"local": "two local workers", "ray": "two Ray nodes"}[name],
            *(f"{each['whole']:.1f}" for each in runs),
        ]
        for name, runs in seconds.items()
    ]
    times = range(1, 1 + len(seconds["local"]))
    return markdown(["", *(f"time {number}, s" for number in times)], rows)


def objectives() -> str:
    names = ("fusion", "neg_clip_loss", "crcl_match_probability", "crcl_label", "mscn_similarity")
    by_variant: dict[str, list[Record]] = defaultdict(list)
    for each in read("objectives.json")["results"]:
        by_variant[each["variant"]].append(each)
    rows = [
        [
            variant,
            str(len(found)),
            *(mean([each[name] for each in found]) for name in names),
            mean([each["ece"] for each in found]),
        ]
        for variant, found in by_variant.items()
    ]
    return markdown(["trained by", "seeds", *(f"`{name}`" for name in names), "ECE"], rows)


TABLES: dict[str, Callable[[], str]] = {
    "quality": quality,
    "calibration": calibration,
    "ablation": ablation,
    "objectives": objectives,
    "downstream": downstream,
    "rematch": rematch,
    "throughput": throughput,
    "million": million,
    "encoders": encoders,
    "beside": beside,
    "engines": engines,
}


def filled(page: str) -> str:
    """Return the page with every table as its JSON says now."""
    for name, table in TABLES.items():
        marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        if not marks.search(page):
            raise SystemExit(f"{PAGE.name} has no place for the table {name}")
        page = marks.sub(lambda match, table=table: f"{match[1]}\n{table()}\n\n{match[2]}", page)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    page = PAGE.read_text(encoding="utf-8")
    if parser.parse_args().check:
        sys.exit(filled(page) != page)
    PAGE.write_text(filled(page), encoding="utf-8")


if __name__ == "__main__":
    main()
